//! What becomes of closed segments: compressed, chained, indexed, removed; and that readers notice nothing of it.

use super::*;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SIZE: u64 = 16_384;

fn keep(options: Housekeeping) -> Housekeeping {
    Housekeeping { every: Duration::from_millis(1), ..options }
}

/// Both streams with their housekeeping.
struct Journal {
    inputs: Writer,
    outputs: Writer,
    keeper: Housekeeper,
}

impl Journal {
    fn begin(dir: &Path, options: Housekeeping) -> Self {
        Self::begin_on(dir, options, None)
    }

    fn begin_on(dir: &Path, options: Housekeeping, floor: Option<Box<dyn Floor>>) -> Self {
        let inputs = write(dir, Stream::Inputs, &small(), &[]);
        let outputs = write(dir, Stream::Outputs, &small(), &[]);
        let marks = [inputs.watermark(), outputs.watermark()];
        let keeper = Housekeeper::start(dir, marks, SIZE, &keep(options), floor).expect("a thread");
        Self { inputs, outputs, keeper }
    }

    fn until(&self, what: &str, holds: impl Fn(&Kept) -> bool) {
        let begun = Instant::now();
        while !holds(&self.keeper.kept()) {
            assert!(begun.elapsed().as_secs() < 60, "{what}: {:?}", self.keeper.kept());
            std::thread::yield_now();
        }
    }

    fn close(self) -> Kept {
        self.inputs.close().expect("close");
        self.outputs.close().expect("close");
        self.keeper.finish()
    }
}

fn lens(n: usize) -> Vec<usize> {
    (0..n).map(|i| [0, 5, 128, 700, 1800, 40_000, 96][i % 7]).collect()
}

fn names(dir: &Path, end: &str) -> Vec<String> {
    let all = fs::read_dir(dir).expect("directory").map(|entry| entry.expect("entry").file_name());
    let mut found: Vec<_> =
        all.map(|name| name.to_string_lossy().into_owned()).filter(|name| name.ends_with(end)).collect();
    found.sort();
    found
}

/// A finished journal of both streams, packed.
fn packed(dir: &Path, lens: &[usize]) -> Archived {
    write(dir, Stream::Inputs, &small(), lens).close().expect("close");
    write(dir, Stream::Outputs, &small(), lens).close().expect("close");
    pack(dir, 3).expect("undamaged")
}

#[test]
fn closed_segments_are_packed_while_a_reader_follows_and_nothing_changes_for_it() {
    let scratch = Scratch::in_memory();
    let mut journal = Journal::begin(&scratch.0, Housekeeping::default());
    let lens = lens(210);
    let total = lens.len();
    let (dir, expected) = (scratch.0.clone(), lens.clone());
    let reading = std::thread::spawn(move || {
        let mut reader = Reader::open(&dir, Stream::Inputs).expect("manifest is there");
        let mut n = 0;
        while n < total {
            match reader.next().expect("a running journal has no damage") {
                Some(record) => {
                    assert_eq!((record.seq, record.index), (n as u64 + 1, n as u64));
                    assert_eq!(record.body, body(record.seq, expected[n]));
                    n += 1;
                }
                None => std::thread::yield_now(),
            }
        }
    });
    for (i, len) in lens.iter().enumerate() {
        put(&mut journal.inputs, i as u64 + 1, *len);
        put(&mut journal.outputs, i as u64 + 1, *len / 2);
    }
    let segments = journal.inputs.stats().segments - 1;
    journal.until("all closed inputs are packed", |kept| kept.archived.packed > segments);
    reading.join().expect("reader");
    let kept = journal.close();
    assert_eq!(kept.trouble, None);
    assert!(kept.archived.raw_bytes > 4 * kept.archived.packed_bytes, "{kept:?}");
    assert_eq!(names(&scratch.0, ".tmp"), [""; 0]);
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (total, None));
    let report = verify(&scratch.0).expect("readable");
    assert_eq!(report.damages(), 0, "{}", report.streams[0]);
    for stream in &report.streams {
        assert_eq!((stream.chained, stream.packed), (stream.segments, stream.segments - 1), "{stream}");
    }
    assert!(recover(&scratch.0).expect("whole").clean());
}

#[test]
fn a_packed_segment_is_plain_zstd_of_the_bytes_that_were_written() {
    let scratch = Scratch::in_memory();
    write(&scratch.0, Stream::Inputs, &small(), &[900; 60]).close().expect("close");
    let before = fs::read(segment(&scratch.0, Stream::Inputs, 0)).expect("segment");
    let done = pack(&scratch.0, 3).expect("undamaged");
    assert!(done.packed > 2, "{done:?}");
    let name = names(&scratch.0, ".seg.zst").swap_remove(0);
    let file = fs::File::open(scratch.0.join(&name)).expect("packed");
    assert_eq!(zstd::decode_all(file).expect("zstd"), before);
    assert_eq!(pack(&scratch.0, 3).expect("nothing to do").packed, 0);
    assert_eq!(read(&scratch.0, Stream::Inputs, &[900; 60]), (60, None));
}

/// Sequences of outputs interleave where stages have threads of their own.
fn outputs(dir: &Path, n: u64) -> Vec<(u64, i64)> {
    let mut writer = Writer::create(dir, Stream::Outputs, &manifest(), &small()).expect("fresh directory");
    let mut written = Vec::new();
    for i in 0..n {
        let seq = 10 + i - (i % 5) * (i % 3);
        let (time_ns, body) = (seq as i64 * 10, body(seq, [0, 40, 300, 9000, 33_000][i as usize % 5]));
        writer.append(&Record { kind: 4, class: 1, seq, time_ns, parts: &[&body] }).expect("room");
        written.push((seq, time_ns));
    }
    writer.close().expect("close");
    written
}

#[test]
fn a_seek_finds_what_reading_from_the_beginning_finds() {
    let scratch = Scratch::in_memory();
    let lens = lens(120);
    write(&scratch.0, Stream::Inputs, &small(), &lens).close().expect("close");
    let written = outputs(&scratch.0, 100);
    let inputs: Vec<_> = (1..=120).map(|seq| (seq, seq as i64 * 10)).collect();
    let check = |stream: Stream, all: &[(u64, i64)], what: &str| {
        let mut reader = Reader::open(&scratch.0, stream).expect("open");
        for target in (0..126).step_by(5).chain([1, 2, 119, 120, 121]) {
            for by_time in [false, true] {
                let expected = all.iter().position(|(seq, _)| *seq >= target);
                if by_time {
                    reader.seek_time(target as i64 * 10).expect("whole");
                } else {
                    reader.seek(target).expect("whole");
                }
                let found = reader.next().expect("whole").map(|r| (r.index as usize, r.seq));
                assert_eq!(found, expected.map(|at| (at, all[at].0)), "{what} {stream} {target} {by_time}");
                let next = reader.next().expect("whole").map(|r| r.seq);
                assert_eq!(next, expected.and_then(|at| all.get(at + 1)).map(|r| r.0), "{what} {target}");
            }
        }
    };
    check(Stream::Inputs, &inputs, "without indexes");
    check(Stream::Outputs, &written, "without indexes");
    pack(&scratch.0, 3).expect("undamaged");
    check(Stream::Inputs, &inputs, "packed");
    check(Stream::Outputs, &written, "packed");
    let indexes = names(&scratch.0, ".idx");
    assert!(indexes.len() > 10);
    for (at, name) in indexes.iter().enumerate() {
        // Some damaged, some of another segment, some gone: caches all.
        match at % 4 {
            0 => poke(&scratch.0.join(name), 70, &[0xee]),
            1 => fs::remove_file(scratch.0.join(name)).expect("index"),
            2 => drop(fs::copy(scratch.0.join(indexes.last().unwrap()), scratch.0.join(name)).expect("copy")),
            _ => {}
        }
    }
    check(Stream::Inputs, &inputs, "with damaged indexes");
    check(Stream::Outputs, &written, "with damaged indexes");
}

#[test]
fn a_segment_changed_after_it_was_closed_is_named() {
    let scratch = Scratch::in_memory();
    packed(&scratch.0, &[900; 60]);
    // The same records, whole in themselves, packed anew: only the chain knows that they differ.
    let other = Scratch::in_memory();
    let mut writer =
        Writer::create(&other.0, Stream::Inputs, &manifest(), &small()).expect("fresh directory");
    for seq in 1..=60 {
        let bytes = if seq == 20 { body(99, 900) } else { body(seq, 900) };
        let record = Record { kind: 4, class: 1, seq, time_ns: seq as i64 * 10, parts: &[&bytes] };
        writer.append(&record).expect("room");
    }
    writer.close().expect("close");
    pack(&other.0, 3).expect("undamaged");
    let name = &names(&scratch.0, ".seg.zst")[1];
    fs::copy(other.0.join(name), scratch.0.join(name)).expect("copy");
    let report = verify(&scratch.0).expect("readable");
    let found: Vec<_> = report.streams[0].damage.iter().map(|d| d.kind.clone()).collect();
    assert_eq!(found, [DamageKind::Changed { ordinal: 1 }]);
    assert!(report.streams[0].to_string().contains(name.as_str()), "{}", report.streams[0]);
}

#[test]
fn a_chain_with_a_line_changed_left_out_or_swapped_is_broken_at_that_line() {
    let scratch = Scratch::in_memory();
    packed(&scratch.0, &[900; 100]);
    let path = chain_path(&scratch.0, Stream::Inputs);
    let text = fs::read_to_string(&path).expect("chain");
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() > 4);
    let changed = lines[2].replacen("\"records\":", "\"records\":1", 1);
    let cases: [(Vec<&str>, u64); 3] = [
        ([&lines[..2], &[&changed], &lines[3..]].concat(), 3),
        ([&lines[..1], &lines[2..]].concat(), 2),
        ([&lines[..1], &[lines[2], lines[1]], &lines[3..]].concat(), 2),
    ];
    for (lines, line) in cases {
        fs::write(&path, lines.join("\n") + "\n").expect("chain");
        let report = verify(&scratch.0).expect("readable");
        let found: Vec<_> = report.streams[0].damage.iter().map(|d| d.kind.clone()).collect();
        assert_eq!(found, [DamageKind::Link { line }]);
    }
    // Cut short: the compressed segments that nobody vouches for are named.
    fs::write(&path, lines[..1].join("\n") + "\n").expect("chain");
    let report = verify(&scratch.0).expect("readable");
    assert!(report.streams[0].damage.iter().any(|d| d.kind == DamageKind::Unchained { ordinal: 1 }));
    // A last line that a crash cut off is no damage where its segment is still raw.
    fs::write(&path, &text[..text.len() - 9]).expect("chain");
    assert_eq!(verify(&scratch.0).expect("readable").damages(), 0);
}

#[test]
fn damage_inside_a_packed_segment_is_corruption_wherever_the_mark_stands() {
    for at in [0u64, 300, 900] {
        let scratch = Scratch::in_memory();
        packed(&scratch.0, &[900; 60]);
        fs::remove_file(mark_path(&scratch.0, Stream::Inputs)).expect("mark");
        let path = scratch.0.join(names(&scratch.0, ".seg.zst").swap_remove(1));
        let len = fs::metadata(&path).expect("file").len();
        let byte = fs::read(&path).expect("file")[at.min(len - 1) as usize];
        poke(&path, at.min(len - 1), &[byte ^ 0x40]);
        let report = verify(&scratch.0).expect("readable");
        assert!(report.streams[0].damage.iter().any(|d| d.file == path), "{at}: {}", report.streams[0]);
        match recover(&scratch.0) {
            Err(JournalError::Corrupt { damage, .. }) => assert_eq!(damage.file, path),
            other => panic!("{at}: {other:?}"),
        }
    }
}

#[test]
fn a_crash_between_two_steps_of_packing_is_made_good_by_the_next_attempt() {
    let scratch = Scratch::in_memory();
    let lens = [900; 60];
    write(&scratch.0, Stream::Inputs, &small(), &lens).close().expect("close");
    let raw = segment(&scratch.0, Stream::Inputs, 0);
    let (bytes, aside) = (fs::read(&raw).expect("segment"), raw.with_extension("seg.zst.tmp"));
    pack(&scratch.0, 3).expect("undamaged");
    // Crashed after the rename and before the removal; and in the middle of a pack.
    fs::write(&raw, bytes).expect("segment");
    fs::write(&aside, b"half").expect("file");
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (60, None));
    let report = verify(&scratch.0).expect("readable");
    assert_eq!(report.damages(), 0, "{}", report.streams[0]);
    pack(&scratch.0, 3).expect("undamaged");
    assert!(!raw.exists() && !aside.exists(), "leftovers are removed");
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (60, None));
}

#[test]
fn retention_without_a_floor_removes_the_oldest_outputs_never_inputs_and_verify_says_so() {
    let scratch = Scratch::in_memory();
    let options = Housekeeping { keep_bytes: Some(1), compress: None, ..Housekeeping::default() };
    let mut journal = Journal::begin(&scratch.0, options);
    let lens = [900; 200];
    for seq in 1..=200 {
        put(&mut journal.inputs, seq, 900);
        put(&mut journal.outputs, seq, 900);
    }
    let segments = journal.outputs.stats().segments;
    journal.until("all but the floor are removed", |kept| kept.removed == segments - 3);
    journal.close();
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (200, None), "inputs are kept");
    let report = verify(&scratch.0).expect("readable");
    assert_eq!(report.damages(), 0, "{} {}", report.streams[0], report.streams[1]);
    let outputs = &report.streams[1];
    assert_eq!((outputs.removed, outputs.segments), (segments - 3, 3));
    let first = outputs.first_seq.expect("some are left");
    assert!(first > 1 && outputs.to_string().contains(&format!("starts at sequence {first} by retention")));
    let mut reader = Reader::open(&scratch.0, Stream::Outputs).expect("open");
    let record = reader.next().expect("whole").map(|r| (r.index, r.seq));
    assert_eq!(record, Some((first - 1, first)), "numbers go on from what was removed");
    reader.seek(first + 5).expect("whole");
    assert_eq!(reader.next().expect("whole").map(|r| (r.index, r.seq)), Some((first + 4, first + 5)));
    reader.seek(1).expect("whole");
    assert_eq!(reader.next().expect("whole").map(|r| r.seq), Some(first));
    // One that goes missing without a word is damage.
    fs::remove_file(segment(&scratch.0, Stream::Outputs, 0)).expect("segment");
    assert!(verify(&scratch.0).expect("readable").damages() > 0);
}

/// What was asked of a floor, and what the journal held then: the inputs that are gone after the call, and the first input
/// and the first output that are there at it.
type Asked = Arc<Mutex<Vec<(&'static str, u64, [u64; 2])>>>;

/// Looks at the journal when it is asked; refuses where that is said.
struct Watching(Asked, bool);

impl Watching {
    fn note(&self, what: &'static str, dir: &Path, after: u64) {
        let first = |stream| {
            let mut reader = Reader::open(dir, stream).expect("open");
            reader.next().expect("whole").expect("one at least").seq
        };
        let found = [first(Stream::Inputs), first(Stream::Outputs)];
        self.0.lock().expect("one thread").push((what, after, found));
    }
}

impl Floor for Watching {
    fn lay(&mut self, dir: &Path, after: u64, _: &dyn Fn() -> bool) -> Result<(), String> {
        self.note("lay", dir, after);
        if self.1 { Err("no room for a snapshot".to_owned()) } else { Ok(()) }
    }

    fn clear(&mut self, dir: &Path, after: u64) -> Result<(), String> {
        self.note("clear", dir, after);
        Ok(())
    }
}

#[test]
fn inputs_are_removed_behind_a_floor_only_and_outputs_with_their_causes() {
    let scratch = Scratch::in_memory();
    let options =
        Housekeeping { keep_for: Some(Duration::ZERO), floor_segments: 1, ..Housekeeping::default() };
    let asked = Asked::default();
    let mut journal = Journal::begin_on(&scratch.0, options, Some(Box::new(Watching(asked.clone(), false))));
    for seq in 1..=100 {
        put(&mut journal.inputs, seq, 900);
        // Stages lag: an output may stand behind those of later inputs.
        put(&mut journal.outputs, if seq % 10 == 5 { seq - 4 } else { seq }, 900);
    }
    let inputs = journal.inputs.stats().segments;
    journal.until("all but the floor are removed", |kept| kept.removed > inputs - 2);
    let kept = journal.close();
    assert_eq!(kept.trouble, None);
    let report = verify(&scratch.0).expect("readable");
    assert_eq!(report.damages(), 0, "{}", report.streams[0]);
    let [first_input, first_output] = [0, 1].map(|stream: usize| report.streams[stream].first_seq);
    assert!(first_input > Some(1) && first_output > Some(1), "{report:?}");
    assert!(recover(&scratch.0).expect("whole").clean());
    let asked = asked.lock().expect("ended");
    for pair in asked.chunks(2) {
        let [(before, after, at_first), (then, same, at_last)] = pair else { panic!("{pair:?}") };
        assert_eq!((*before, *then, after), ("lay", "clear", same));
        assert!(at_first[0] <= *after && at_last[0] == after + 1, "removed between the two: {pair:?}");
        assert!(at_last[1] <= after + 1, "outputs of what is left are there: {pair:?}");
    }
    assert_eq!(asked.last().map(|last| last.1 + 1), first_input);
}

#[test]
fn without_its_floor_no_input_is_removed_and_the_reason_is_told() {
    let scratch = Scratch::in_memory();
    let options =
        Housekeeping { keep_for: Some(Duration::ZERO), floor_segments: 1, ..Housekeeping::default() };
    let asked = Asked::default();
    let mut journal = Journal::begin_on(&scratch.0, options, Some(Box::new(Watching(asked.clone(), true))));
    for seq in 1..=100 {
        put(&mut journal.inputs, seq, 900);
        put(&mut journal.outputs, seq, 900);
    }
    journal.until("it is told", |kept| {
        kept.trouble.as_ref().is_some_and(|why| why.contains("no room for a snapshot"))
    });
    assert_eq!(journal.close().removed, 0);
    assert_eq!(read(&scratch.0, Stream::Inputs, &[900; 100]), (100, None));
    let asked = asked.lock().expect("ended");
    assert_eq!((asked.len(), asked[0].0), (1, "lay"), "it is not tried at every look");
}

#[test]
fn housekeeping_ends_with_its_journal_even_if_that_is_given_up() {
    let scratch = Scratch::in_memory();
    let journal = Journal::begin(&scratch.0, Housekeeping::default());
    let Journal { inputs, outputs, keeper } = journal;
    let mark: Arc<Watermark> = inputs.watermark();
    drop((inputs, outputs, keeper));
    assert_eq!(mark.written(), 0);
    assert_eq!(recover(&scratch.0).expect("whole").streams[0].end, End::Complete);
}
