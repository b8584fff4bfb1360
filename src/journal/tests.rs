//! What the journal promises, tested through its public face against real files.

use super::layout::{HEADER_BYTES, RECORD_HEADER_BYTES, align};
use super::*;
use proptest::prelude::*;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

mod archive;
mod power;
mod version;

/// A directory that is gone with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("perpring-journal-{}-{n}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    /// In memory where there is such a file system: many synchronisations cost nothing there.
    fn in_memory() -> Self {
        let scratch = Self::new();
        let name = scratch.0.file_name().expect("a name");
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { Self(memory.join(name)) } else { scratch }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn manifest() -> Manifest {
    Manifest {
        run_id: RunId(77),
        schema_hash: 5,
        logic_version: 1,
        host: Host::detect(),
        ..Manifest::default()
    }
}

fn small() -> JournalOptions {
    JournalOptions { segment_bytes: 16384, helper: false, ..JournalOptions::default() }
}

fn body(seq: u64, len: usize) -> Vec<u8> {
    (0..len).map(|i| (seq as usize * 31 + i * 7) as u8 | 1).collect()
}

fn put(writer: &mut Writer, seq: u64, len: usize) -> Token {
    let body = body(seq, len);
    let (a, b) = body.split_at(len / 3);
    let record = Record { kind: 4, class: 1, seq, time_ns: seq as i64 * 10, parts: &[a, b] };
    writer.append(&record).expect("room")
}

fn write(dir: &Path, stream: Stream, options: &JournalOptions, lens: &[usize]) -> Writer {
    let mut writer = Writer::create(dir, stream, &manifest(), options).expect("fresh directory");
    for (i, len) in lens.iter().enumerate() {
        put(&mut writer, i as u64 + 1, *len);
    }
    writer
}

/// Reads to the end, checking every record against what was written; the count and the final error.
fn read(dir: &Path, stream: Stream, lens: &[usize]) -> (usize, Option<JournalError>) {
    let mut reader = match Reader::open(dir, stream) {
        Ok(reader) => reader,
        Err(e) => return (0, Some(e)),
    };
    let mut n = 0;
    loop {
        match reader.next() {
            Ok(Some(record)) => {
                let seq = n as u64 + 1;
                assert_eq!(
                    (record.kind, record.class, record.seq, record.time_ns),
                    (4, 1, seq, seq as i64 * 10)
                );
                assert_eq!(record.body, body(seq, lens[n]), "record {seq}");
                n += 1;
            }
            Ok(None) => return (n, None),
            Err(e) => return (n, Some(e)),
        }
    }
}

fn segment(dir: &Path, stream: Stream, ordinal: usize) -> PathBuf {
    let mut names: Vec<_> = fs::read_dir(dir)
        .expect("directory")
        .map(|e| e.expect("entry").path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with(stream.name())))
        .filter(|p| p.extension().is_some_and(|e| e == "seg"))
        .collect();
    names.sort();
    names.swap_remove(ordinal)
}

fn poke(path: &Path, offset: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).expect("open").write_all_at(bytes, offset).expect("write");
}

const LENS: [usize; 8] = [0, 1, 31, 32, 33, 500, 3000, 100];

#[test]
fn what_is_written_is_read_back_over_many_segments_and_spanning_bodies() {
    for helper in [false, true] {
        let scratch = Scratch::new();
        let lens: Vec<usize> = (0..400).map(|i| [0, 5, 128, 700, 1800, 40_000, 96][i % 7]).collect();
        let options = JournalOptions { helper, ..small() };
        let writer = write(&scratch.0, Stream::Inputs, &options, &lens);
        let stats = writer.stats();
        assert!(stats.segments > 100 && stats.records == 400, "{stats:?}");
        writer.close().expect("close");
        assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (400, None));
        let report = verify(&scratch.0).expect("readable");
        assert_eq!(report.damages(), 0, "{}", report.streams[0]);
        assert_eq!((report.streams[0].first_seq, report.streams[0].last_seq), (Some(1), Some(400)));
        assert!(report.streams[0].closed);
        assert!(!scratch.0.join("inputs.next").exists(), "nothing prepared is left behind");
        let recovered = recover(&scratch.0).expect("clean");
        assert_eq!(recovered.streams[0].end, End::Closed);
    }
}

#[test]
fn both_streams_share_a_directory_and_a_manifest() {
    let scratch = Scratch::new();
    write(&scratch.0, Stream::Inputs, &small(), &LENS).close().expect("close");
    write(&scratch.0, Stream::Outputs, &small(), &LENS[..3]).close().expect("close");
    assert_eq!(read(&scratch.0, Stream::Inputs, &LENS), (8, None));
    assert_eq!(read(&scratch.0, Stream::Outputs, &LENS), (3, None));
    assert_eq!(Manifest::read(&scratch.0).expect("manifest"), manifest());
    assert!(recover(&scratch.0).expect("whole").clean());
}

#[test]
fn a_reader_follows_a_running_writer_across_rolls() {
    let scratch = Scratch::new();
    let mut writer = write(&scratch.0, Stream::Inputs, &small(), &[]);
    let mut reader = Reader::open(&scratch.0, Stream::Inputs).expect("manifest is there");
    for seq in 1..=300 {
        assert_eq!(reader.next().expect("good"), None);
        let len = [10, 2000, 17_000, 50_000][seq as usize % 4];
        let token = put(&mut writer, seq, len);
        assert_eq!(writer.watermark().written(), token.0);
        let record = reader.next().expect("good").expect("just written");
        assert_eq!((record.seq, record.position), (seq, token.0));
        assert_eq!(record.body, body(seq, len));
    }
}

#[test]
fn a_reader_on_another_thread_never_sees_half_a_record() {
    let scratch = Scratch::new();
    let mut writer = write(&scratch.0, Stream::Inputs, &JournalOptions { helper: true, ..small() }, &[]);
    let dir = scratch.0.clone();
    let reading = std::thread::spawn(move || {
        let mut reader = Reader::open(&dir, Stream::Inputs).expect("manifest is there");
        let mut seq = 0;
        while seq < 20_000 {
            match reader.next().expect("a running journal has no damage") {
                Some(record) => {
                    seq += 1;
                    assert_eq!(record.seq, seq);
                    assert_eq!(record.body, body(seq, seq as usize % 300));
                }
                None => std::thread::yield_now(),
            }
        }
    });
    for seq in 1..=20_000 {
        put(&mut writer, seq, seq as usize % 300);
    }
    reading.join().expect("reader");
}

#[test]
fn a_journal_is_neither_recovered_nor_packed_below_a_writer_that_is_alive() {
    let scratch = Scratch::new();
    let mut writer = write(&scratch.0, Stream::Inputs, &small(), &LENS);
    assert!(matches!(recover(&scratch.0), Err(JournalError::Alive { .. })));
    assert!(matches!(pack(&scratch.0, 3), Err(JournalError::Alive { .. })));
    put(&mut writer, 9, 1_000);
    writer.close().expect("close");
    assert_eq!(recover(&scratch.0).expect("clean").streams[0].records, 9, "nothing was taken away");
    assert!(pack(&scratch.0, 3).expect("closed").segments > 0);
}

#[test]
fn a_crash_loses_nothing_that_was_written_and_recovery_says_so() {
    let scratch = Scratch::new();
    drop(write(&scratch.0, Stream::Inputs, &JournalOptions { helper: true, ..small() }, &LENS));
    assert!(!verify(&scratch.0).expect("readable").streams[0].closed);
    let verdict = recover(&scratch.0).expect("whole");
    assert_eq!(verdict.streams[0].end, End::Complete);
    assert_eq!((verdict.streams[0].records, verdict.streams[0].last_seq), (8, Some(8)));
    assert!(!scratch.0.join("inputs.next").exists());
    assert!(recover(&scratch.0).expect("whole").clean(), "the second recovery finds nothing to do");
    assert_eq!(read(&scratch.0, Stream::Inputs, &LENS), (8, None));
}

#[test]
fn a_torn_record_above_the_watermark_is_cut_and_measured() {
    let scratch = Scratch::new();
    let lens = [100, 100, 100, 900];
    drop(write(&scratch.0, Stream::Inputs, &small(), &lens));
    let path = segment(&scratch.0, Stream::Inputs, 0);
    let last = HEADER_BYTES as u64 + 3 * align(RECORD_HEADER_BYTES + 100) as u64;
    poke(&path, last + 512, &[0; 420]); // a sector that never reached the disk
    assert_eq!(verify(&scratch.0).expect("readable").damages(), 1);
    let verdict = recover(&scratch.0).expect("cut");
    let End::Cut { damage, file, offset, bytes } = &verdict.streams[0].end else { panic!("{verdict:?}") };
    assert_eq!(damage.as_ref().map(|d| (&d.kind, d.offset)), Some((&DamageKind::Checksum, last)));
    assert_eq!((file, *offset, *bytes), (&path, last, 512));
    assert!(path.with_extension("seg.cut").exists(), "what was cut is kept");
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (3, None));
    assert_eq!(verify(&scratch.0).expect("readable").damages(), 0);
}

#[test]
fn a_zero_hole_above_the_watermark_is_cut_at_the_hole() {
    let scratch = Scratch::new();
    let lens = [1000; 30]; // two and a half segments
    drop(write(&scratch.0, Stream::Inputs, &small(), &lens));
    let hole = HEADER_BYTES as u64 + 5 * align(RECORD_HEADER_BYTES + 1000) as u64;
    poke(&segment(&scratch.0, Stream::Inputs, 0), hole, &vec![0; 4096]);
    let (read_before, error) = read(&scratch.0, Stream::Inputs, &lens);
    assert!(
        read_before == 5 && matches!(&error, Some(JournalError::Damaged(d)) if d.kind == DamageKind::Hole)
    );
    let verdict = recover(&scratch.0).expect("cut");
    let End::Cut { offset, bytes, .. } = &verdict.streams[0].end else { panic!("{verdict:?}") };
    assert_eq!(*offset, hole);
    assert!(*bytes > 24 * 1000 - 4096, "all later records count as lost: {bytes}");
    assert_eq!(read(&scratch.0, Stream::Inputs, &lens), (5, None));
}

#[test]
fn a_hole_at_the_end_of_the_only_segment_is_found_by_verify() {
    let scratch = Scratch::new();
    drop(write(&scratch.0, Stream::Inputs, &small(), &[1000; 8]));
    let hole = HEADER_BYTES as u64 + 5 * align(RECORD_HEADER_BYTES + 1000) as u64;
    poke(&segment(&scratch.0, Stream::Inputs, 0), hole, &[0; 4]);
    assert_eq!(read(&scratch.0, Stream::Inputs, &[1000; 8]), (5, None), "could be a running writer's end");
    let report = verify(&scratch.0).expect("readable");
    assert_eq!(
        report.streams[0].damage.first().map(|d| (&d.kind, d.offset)),
        Some((&DamageKind::NotZero, hole))
    );
}

#[test]
fn damage_below_the_durable_position_is_corruption_and_nothing_is_touched() {
    for policy in [SyncPolicy::Sync, SyncPolicy::None] {
        let scratch = Scratch::new();
        let mut writer =
            write(&scratch.0, Stream::Inputs, &JournalOptions { sync: policy, ..small() }, &[300; 20]);
        if policy == SyncPolicy::Sync {
            let token = writer.sync().expect("disk");
            assert_eq!((token, writer.watermark().synced_seq()), (writer.written(), 20));
            put(&mut writer, 21, 300);
            assert!(writer.synced() < writer.written());
            drop(writer);
        } else {
            writer.close().expect("close"); // an orderly end vouches for everything
        }
        let path = segment(&scratch.0, Stream::Inputs, 0);
        let at = HEADER_BYTES as u64 + 7 * align(RECORD_HEADER_BYTES + 300) as u64;
        poke(&path, at + 40, &[0xff]);
        let before = fs::read(&path).expect("file");
        match recover(&scratch.0) {
            Err(JournalError::Corrupt { damage, synced }) => {
                assert_eq!((damage.offset, damage.kind), (at, DamageKind::Checksum));
                assert!(synced > at);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(fs::read(&path).expect("file"), before);
    }
}

#[test]
fn a_tail_truncated_by_someone_else_is_noticed_even_without_a_checksum_to_fail() {
    let scratch = Scratch::new();
    write(&scratch.0, Stream::Inputs, &small(), &LENS).close().expect("close");
    let path = segment(&scratch.0, Stream::Inputs, 0);
    let len = fs::metadata(&path).expect("file").len();
    OpenOptions::new().write(true).open(&path).expect("open").set_len(len - 160).expect("truncate"); // exactly one record
    let (n, error) = read(&scratch.0, Stream::Inputs, &LENS);
    assert!(n == 7 && matches!(error, Some(JournalError::Damaged(d)) if d.kind == DamageKind::Hole));
    assert!(matches!(recover(&scratch.0), Err(JournalError::Corrupt { .. })));
}

#[test]
fn a_missing_segment_is_named() {
    for gone in [0, 1, 2] {
        let scratch = Scratch::new();
        let lens = [1000; 30];
        write(&scratch.0, Stream::Inputs, &small(), &lens).close().expect("close");
        fs::remove_file(segment(&scratch.0, Stream::Inputs, gone)).expect("segment");
        let (_, error) = read(&scratch.0, Stream::Inputs, &lens);
        let Some(JournalError::Damaged(damage)) = error else { panic!("{error:?}") };
        assert_eq!(damage.kind, DamageKind::MissingSegment { ordinal: gone as u64 });
        assert!(verify(&scratch.0).expect("readable").damages() > 0);
        assert!(matches!(recover(&scratch.0), Err(JournalError::Corrupt { .. })));
    }
}

#[test]
fn a_segment_of_another_run_is_refused() {
    let (a, b) = (Scratch::new(), Scratch::new());
    write(&a.0, Stream::Inputs, &small(), &[1000; 30]).close().expect("close");
    let other = Manifest { run_id: RunId(78), ..manifest() };
    let mut writer = Writer::create(&b.0, Stream::Inputs, &other, &small()).expect("fresh directory");
    (1..=30).for_each(|seq| {
        put(&mut writer, seq, 1000);
    });
    writer.close().expect("close");
    fs::copy(segment(&b.0, Stream::Inputs, 1), segment(&a.0, Stream::Inputs, 1)).expect("copy");
    let (n, error) = read(&a.0, Stream::Inputs, &[1000; 30]);
    assert!(n > 0 && matches!(error, Some(JournalError::ForeignRun { found: 78, expected: 77, .. })));
    assert!(matches!(recover(&a.0), Err(JournalError::ForeignRun { .. })));
    assert_eq!(
        verify(&a.0).expect("readable").streams[0].damage[0].kind,
        DamageKind::Misplaced { what: "run" }
    );
}

#[test]
fn a_record_of_another_run_does_not_pass() {
    let (a, b) = (Scratch::new(), Scratch::new());
    drop(write(&a.0, Stream::Inputs, &small(), &[64; 3]));
    let other = Manifest { run_id: RunId(78), ..manifest() };
    let mut writer = Writer::create(&b.0, Stream::Inputs, &other, &small()).expect("fresh directory");
    put(&mut writer, 1, 64);
    drop(writer);
    let at = HEADER_BYTES as u64;
    let mut foreign = [0; 96];
    fs::File::open(segment(&b.0, Stream::Inputs, 0))
        .expect("open")
        .read_exact_at(&mut foreign, at)
        .expect("read");
    poke(&segment(&a.0, Stream::Inputs, 0), at, &foreign);
    assert_eq!(read(&a.0, Stream::Inputs, &[64; 3]).0, 0);
}

#[test]
fn a_dropped_input_shows_as_a_jump_in_the_sequence() {
    let scratch = Scratch::new();
    write(&scratch.0, Stream::Inputs, &small(), &[40; 10]).close().expect("close");
    let left = rewrite(&scratch.0, Stream::Inputs, |index, record, out| {
        if index != 4 {
            out.push(record);
        }
    });
    assert_eq!(left, Ok(9));
    let report = verify(&scratch.0).expect("readable");
    let kinds: Vec<_> = report.streams[0].damage.iter().map(|d| d.kind.clone()).collect();
    assert_eq!(kinds, [DamageKind::Sequence { from: 4, to: 6 }]);
}

#[test]
fn a_patched_record_reads_as_good_with_its_new_body() {
    let scratch = Scratch::new();
    write(&scratch.0, Stream::Outputs, &small(), &[40; 10]).close().expect("close");
    patch_record(&scratch.0, Stream::Outputs, 3, b"changed").expect("patch");
    let mut reader = Reader::open(&scratch.0, Stream::Outputs).expect("open");
    for index in 0..10 {
        let record = reader.next().expect("good").expect("there");
        assert_eq!((record.index, record.body == b"changed"), (index, index == 3));
    }
    assert_eq!(verify(&scratch.0).expect("readable").damages(), 0);
    let missing = patch_record(&scratch.0, Stream::Outputs, 10, b"");
    assert!(matches!(missing, Err(JournalError::NoSuchRecord { index: 10, records: 10, .. })), "{missing:?}");
}

#[test]
fn a_directory_with_something_in_it_is_refused_with_advice() {
    let scratch = Scratch::new();
    fs::create_dir(&scratch.0).expect("fresh");
    fs::write(scratch.0.join("precious.txt"), "x").expect("file");
    let error = Writer::create(&scratch.0, Stream::Inputs, &manifest(), &small()).err().expect("refused");
    assert!(
        error.to_string().contains("precious.txt") && error.to_string().contains("choose a new directory")
    );
    let used = Scratch::new();
    write(&used.0, Stream::Inputs, &small(), &LENS).close().expect("close");
    for run in [77, 78] {
        let again = Manifest { run_id: RunId(run), ..manifest() };
        let error = Writer::create(&used.0, Stream::Inputs, &again, &small()).err().expect("refused");
        assert!(matches!(error, JournalError::NotEmpty { .. }), "{error}");
    }
    assert_eq!(read(&used.0, Stream::Inputs, &LENS), (8, None));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let scratch = Scratch::new();
    let deep = scratch.0.join("absent/journal");
    let error = Writer::create(&deep, Stream::Inputs, &manifest(), &small()).err().expect("refused");
    assert!(matches!(error, JournalError::MissingParent { .. }), "{error}");
    let error = Writer::create(Path::new("/proc/journal"), Stream::Inputs, &manifest(), &small()).err();
    assert!(error.as_ref().is_some_and(|e| e.to_string().contains("/proc/journal")), "{error:?}");
    fs::write(&scratch.0, "a file").expect("file");
    let error = Writer::create(&scratch.0, Stream::Inputs, &manifest(), &small()).err();
    assert!(matches!(error, Some(JournalError::NotEmpty { .. })), "{error:?}");
    fs::remove_file(&scratch.0).expect("file");
    assert!(matches!(Reader::open(&scratch.0, Stream::Inputs), Err(JournalError::NotAJournal { .. })));
}

#[test]
fn options_out_of_bounds_are_explained() {
    let scratch = Scratch::new();
    for options in [
        JournalOptions { segment_bytes: 4096, ..small() },
        JournalOptions { segment_bytes: 16385, ..small() },
        JournalOptions { sync: SyncPolicy::Async, ..small() },
    ] {
        let error = Writer::create(&scratch.0, Stream::Inputs, &manifest(), &options).err();
        assert!(matches!(error, Some(JournalError::Options { .. })), "{error:?}");
    }
    assert!(!scratch.0.exists());
}

#[test]
fn space_below_the_reserve_is_refused_before_anything_is_written() {
    let scratch = Scratch::new();
    let options = JournalOptions { space_min_bytes: u64::MAX / 2, ..small() };
    let error = Writer::create(&scratch.0, Stream::Inputs, &manifest(), &options).err();
    assert!(matches!(error, Some(JournalError::SpaceLow { .. })), "{error:?}");
}

/// A real file system of one megabyte; `None` where the test may not mount.
struct TinyDisk(Scratch);

impl TinyDisk {
    fn mount() -> Option<Self> {
        let scratch = Scratch::new();
        fs::create_dir(&scratch.0).ok()?;
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "perpring-test"]).arg(&scratch.0);
        mount.stderr(std::process::Stdio::null());
        mount.status().is_ok_and(|s| s.success()).then_some(Self(scratch))
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0.0).status();
    }
}

#[test]
fn a_full_disk_is_an_error_that_loses_nothing_and_can_be_survived() {
    let Some(disk) = TinyDisk::mount() else {
        println!("skipped: mounting a small file system is not permitted here");
        return;
    };
    for helper in [false, true] {
        let dir = disk.0.0.join(format!("journal-{helper}"));
        let ballast = disk.0.0.join("ballast");
        let options = JournalOptions { segment_bytes: 128 << 10, helper, ..JournalOptions::default() };
        let mut writer = Writer::create(&dir, Stream::Inputs, &manifest(), &options).expect("room for some");
        fs::write(&ballast, vec![1; 400 << 10]).expect("room for ballast");
        let record = |seq| Record { kind: 4, class: 1, seq, time_ns: seq as i64 * 10, parts: &[] };
        let mut written = 0;
        let error = loop {
            let bytes = body(written + 1, 5000);
            match writer.append(&Record { parts: &[&bytes], ..record(written + 1) }) {
                Ok(_) => written += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, JournalError::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("free space"));
        if helper {
            assert_eq!(writer.watermark().health(), Health::NoRoomAhead);
        }
        let lens = vec![5000; 1000];
        assert_eq!(read(&dir, Stream::Inputs, &lens), (written as usize, None));
        // A body that would span is given up as well, and does not disturb what follows.
        let large = vec![7; 100 << 10];
        assert!(writer.append(&Record { parts: &[&large], ..record(written + 1) }).is_err());
        fs::remove_file(&ballast).expect("ballast");
        let begun = std::time::Instant::now();
        while writer.append(&Record { parts: &[&body(written + 1, 5000)], ..record(written + 1) }).is_err() {
            assert!(begun.elapsed().as_secs() < 20, "the helper tries again every second");
            std::thread::yield_now();
        }
        writer.close().expect("close");
        assert_eq!(read(&dir, Stream::Inputs, &lens), (written as usize + 1, None));
        assert_eq!(verify(&dir).expect("readable").damages(), 0);
        fs::remove_dir_all(&dir).expect("clean up");
    }
}

#[test]
fn the_helper_carries_records_to_the_disk_by_itself() {
    let scratch = Scratch::new();
    let options = JournalOptions { sync: SyncPolicy::Async, helper: true, ..small() };
    let writer = write(&scratch.0, Stream::Inputs, &options, &[900; 60]);
    let (watermark, written) = (writer.watermark(), writer.written().0);
    let begun = std::time::Instant::now();
    while watermark.synced() < written {
        assert!(begun.elapsed().as_secs() < 30, "synced {} of {written}", watermark.synced());
        std::thread::yield_now();
    }
    assert_eq!(watermark.synced_seq(), 60);
    drop(writer); // a crash; the mark on disk knows
    let mark = read_mark(&scratch.0, Stream::Inputs, 77).expect("mark");
    assert_eq!(mark, Mark { position: written, seq: 60, ..Mark::default() });
}

#[test]
fn a_missing_mark_means_that_nothing_is_known_to_be_durable() {
    let scratch = Scratch::new();
    write(&scratch.0, Stream::Inputs, &small(), &LENS).close().expect("close");
    fs::remove_file(mark_path(&scratch.0, Stream::Inputs)).expect("mark");
    assert_eq!(read(&scratch.0, Stream::Inputs, &LENS), (8, None));
    assert_eq!(recover(&scratch.0).expect("whole").streams[0].end, End::Complete);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whatever is done to the bytes of the segments: no panic, and no record that was not written.
    #[test]
    fn damaged_bytes_never_pass_for_a_record(
        lens in prop::collection::vec(prop_oneof![0usize..200, 1000usize..20_000], 1..20),
        wounds in prop::collection::vec((any::<u32>(), any::<u8>(), 1usize..64), 1..6),
        closed in any::<bool>(),
        truncate in prop::option::of(any::<u32>()),
    ) {
        let scratch = Scratch::new();
        let writer = write(&scratch.0, Stream::Inputs, &small(), &lens);
        if closed { writer.close().expect("close"); } else { drop(writer); }
        let mut hit = false;
        for (at, value, len) in &wounds {
            let path = segment(&scratch.0, Stream::Inputs, 0);
            let mut bytes = fs::read(&path).expect("segment");
            let at = *at as usize % bytes.len();
            let end = (at + len).min(bytes.len());
            for byte in &mut bytes[at..end] {
                hit |= *byte != *value;
                *byte = *value;
            }
            fs::write(&path, bytes).expect("segment");
        }
        if let Some(to) = truncate {
            let path = segment(&scratch.0, Stream::Inputs, 0);
            let len = fs::metadata(&path).expect("segment").len();
            let file = OpenOptions::new().write(true).open(&path).expect("segment");
            file.set_len(u64::from(to) % (len + 1)).expect("truncate");
        }
        // `read` asserts that each record equals what was written at its place.
        let (n, error) = read(&scratch.0, Stream::Inputs, &lens);
        prop_assert!(n <= lens.len());
        if closed && hit {
            prop_assert!(error.is_some() || n == lens.len());
        }
        let report = verify(&scratch.0).expect("a report, whatever the damage");
        prop_assert!(report.damages() > 0 || n == lens.len() || !closed);
        if recover(&scratch.0).is_ok() {
            let (after, error) = read(&scratch.0, Stream::Inputs, &lens);
            prop_assert_eq!(error, None);
            prop_assert_eq!(after, n);
        }
    }
}
