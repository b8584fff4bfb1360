//! Losses of power, simulated: any subset of the pages that were not synchronised may be missing, files that were
//! created since may be missing or empty, and on top of that records stand in the wrong place. An oracle that
//! compares bytes with what was written says how many records are whole; recovery must say the same.
//!
//! `PERPRING_POWER_LOSSES=10000` runs so many of them; without it a short form.

use super::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;

const PAGE: usize = 4096;
/// Losses that are tried with one journal.
const LOSSES_EACH: u64 = 20;

type Files = BTreeMap<String, Vec<u8>>;

fn files(dir: &Path) -> Files {
    let entries = fs::read_dir(dir).expect("directory").map(|entry| entry.expect("entry").path());
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    entries.filter(|path| path.is_file()).map(|path| (name(&path), fs::read(path).expect("file"))).collect()
}

/// What was written, and what was on the disk for sure.
struct History {
    stream: Stream,
    size: u64,
    lens: Vec<usize>,
    /// Where each record begins and ends in the stream.
    places: Vec<(u64, u64)>,
    /// Everything in the page cache at the moment of the loss.
    last: Files,
    /// What had been synchronised, with the number of records that are safe.
    synced: Vec<(usize, Files)>,
}

impl History {
    /// The same for equal seeds, but for the run.
    fn write(dir: &Path, seed: u64, run_id: u128) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let stream = Stream::ALL[rng.random_range(0..2)];
        let size = [8192, 12_288, 16_384, 32_768][rng.random_range(0..4)];
        let options = JournalOptions {
            segment_bytes: size,
            sync: SyncPolicy::Sync,
            helper: false,
            ..JournalOptions::default()
        };
        let manifest = Manifest { run_id: RunId(run_id), ..manifest() };
        let mut writer = Writer::create(dir, stream, &manifest, &options).expect("fresh directory");
        let mut synced = vec![(0, Files::new())];
        let mut lens = Vec::new();
        for seq in 1..=rng.random_range(3..60) {
            let len = match rng.random_range(0..20) {
                0 => rng.random_range(3000..30_000),
                1..6 => rng.random_range(200..2000),
                _ => [0, 32, 96, 96, 100][rng.random_range(0..5)],
            };
            put(&mut writer, seq, len);
            lens.push(len);
            if rng.random_range(0..12) == 0 {
                writer.sync().expect("disk");
                synced.push((lens.len(), files(dir)));
            }
        }
        let last = files(dir);
        let mut reader = Reader::open(dir, stream).expect("open");
        let mut places = Vec::new();
        while let Some(end) = reader.next().expect("nothing lost yet").map(|record| record.position) {
            places.push((reader.began(), end));
        }
        assert_eq!(places.len(), lens.len());
        drop(writer);
        Self { stream, size: size as u64, lens, places, last, synced }
    }

    fn segment(&self, ordinal: u64) -> Option<&String> {
        let of = |name: &&String| {
            super::super::layout::parse_segment_name(self.stream, name).is_some_and(|(n, _)| n == ordinal)
        };
        self.last.keys().find(of)
    }

    /// What the disk holds after the loss.
    fn lose(&self, rng: &mut ChaCha8Rng) -> Files {
        let (_, safe) = self.synced.last().expect("at least nothing");
        let keep = [0.0, 0.3, 0.7, 0.95, 1.0][rng.random_range(0..5)];
        let mut image = Files::new();
        for (name, bytes) in self.last.iter().filter(|(name, _)| name.ends_with(".seg")) {
            let mut left = match safe.get(name) {
                Some(before) => before.clone(),
                None => match rng.random_range(0..10) {
                    0 => continue,
                    1 => {
                        image.insert(name.clone(), Vec::new());
                        continue;
                    }
                    _ => vec![0; bytes.len()],
                },
            };
            for at in (0..bytes.len()).step_by(PAGE) {
                let page = at..(at + PAGE).min(bytes.len());
                if left[page.clone()] != bytes[page.clone()] && rng.random_bool(keep) {
                    left[page.clone()].copy_from_slice(&bytes[page]);
                }
            }
            image.insert(name.clone(), left);
        }
        image
    }

    /// Which mark survived: a later one never says more than is true, an earlier one says less.
    fn mark(&self, rng: &mut ChaCha8Rng) -> (usize, Option<Vec<u8>>) {
        let back = if rng.random_bool(0.7) { 0 } else { rng.random_range(0..self.synced.len()) };
        let (records, files) = &self.synced[self.synced.len() - 1 - back];
        (*records, files.get(&format!("{}.mark", self.stream)).cloned())
    }

    /// Puts whole records where they do not belong, or takes a segment away.
    fn misplace(&self, image: &mut Files, other: &Files, rng: &mut ChaCha8Rng) {
        let fits = |&n: &usize| {
            let (from, to) = self.places[n];
            from / self.size == (to - 1) / self.size
        };
        let whole: Vec<usize> = (0..self.places.len()).filter(fits).collect();
        let Some(&a) = whole.get(rng.random_range(0..whole.len().max(1))) else { return };
        let length = |n: usize| self.places[n].1 - self.places[n].0;
        let alike: Vec<usize> =
            whole.iter().copied().filter(|n| *n != a && length(*n) == length(a)).collect();
        let place = |n: usize| {
            let from = self.places[n].0;
            let at = (from % self.size) as usize;
            (self.segment(from / self.size).expect("written").clone(), at..at + length(n) as usize)
        };
        let take = |files: &Files, n: usize| {
            let (name, range) = place(n);
            files.get(&name).and_then(|bytes| bytes.get(range)).map(<[u8]>::to_vec)
        };
        let set = |image: &mut Files, n: usize, bytes: Option<Vec<u8>>| {
            let (name, range) = place(n);
            let target = image.get_mut(&name).and_then(|file| file.get_mut(range));
            if let (Some(target), Some(bytes)) = (target, bytes) {
                target.copy_from_slice(&bytes);
            }
        };
        match (rng.random_range(0..4), alike.get(rng.random_range(0..alike.len().max(1)))) {
            (0, Some(&b)) => {
                let (of_a, of_b) = (take(&self.last, a), take(&self.last, b));
                set(image, a, of_b);
                set(image, b, of_a);
            }
            (1, Some(&b)) => set(image, a, take(&self.last, b)),
            (2, _) => set(image, a, take(other, a)),
            _ => {
                let names: Vec<String> = image.keys().cloned().collect();
                if let Some(name) = names.get(rng.random_range(0..names.len().max(1))) {
                    image.remove(name);
                }
            }
        }
    }

    /// True when `from..to` of the stream is in the image as it was written, with the headers of its segments.
    fn is_whole(&self, image: &Files, from: u64, to: u64) -> bool {
        (from / self.size..=(to - 1) / self.size).all(|ordinal| {
            let begin = ordinal * self.size;
            let name = self.segment(ordinal).expect("written");
            let (lo, hi) = (from.saturating_sub(begin) as usize, (to - begin).min(self.size) as usize);
            let same = |range: std::ops::Range<usize>| {
                image.get(name).and_then(|bytes| bytes.get(range.clone())) == Some(&self.last[name][range])
            };
            same(0..HEADER_BYTES) && same(lo..hi)
        })
    }

    /// How many records can be read from the beginning without a doubt.
    fn good(&self, image: &Files) -> usize {
        let mut end = HEADER_BYTES as u64;
        for (n, (from, to)) in self.places.iter().enumerate() {
            let padding = from > &end && !end.is_multiple_of(self.size);
            if padding && !self.is_whole(image, end, end + RECORD_HEADER_BYTES as u64) {
                return n;
            }
            if !self.is_whole(image, *from, *to) {
                return n;
            }
            end = *to;
        }
        self.places.len()
    }

    /// Bytes behind a position that are not zero up to the last of them, file by file.
    fn left_over(&self, image: &Files, position: u64) -> u64 {
        let of = |(name, bytes): (&String, &Vec<u8>)| {
            let (ordinal, _) =
                super::super::layout::parse_segment_name(self.stream, name).expect("a segment");
            let begin = ordinal * self.size;
            let from = position.saturating_sub(begin).max(HEADER_BYTES as u64) as usize;
            let tail = bytes.get(from..).unwrap_or(&[]);
            if begin + self.size <= position {
                return 0;
            }
            tail.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1)
        };
        image.iter().map(of).sum()
    }
}

fn lay_out(dir: &Path, history: &History, image: &Files, mark: Option<&Vec<u8>>) {
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir).expect("memory");
    fs::write(dir.join(MANIFEST_FILE), &history.last[MANIFEST_FILE]).expect("memory");
    for (name, bytes) in image {
        fs::write(dir.join(name), bytes).expect("memory");
    }
    if let Some(mark) = mark {
        fs::write(dir.join(format!("{}.mark", history.stream)), mark).expect("memory");
    }
}

/// One loss. True when it cost records.
fn lose_power(dir: &Path, history: &History, other: &Files, seed: u64) -> bool {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut image = history.lose(&mut rng);
    if rng.random_range(0..3) == 0 {
        history.misplace(&mut image, other, &mut rng);
    }
    let (durable, mark) = history.mark(&mut rng);
    lay_out(dir, history, &image, mark.as_ref());
    let good = history.good(&image);
    let what = format!("seed {seed}, {} of {} good, {durable} durable", good, history.lens.len());
    // Whatever is read equals what was written (`read` compares), and nothing whole is withheld.
    let (n, error) = read(dir, history.stream, &history.lens);
    assert_eq!(n, good, "{what}: {error:?}");
    let before = files(dir);
    match recover(dir) {
        Ok(verdict) => {
            assert!(good >= durable, "{what}: a synced record was given up: {verdict:?}");
            let found = &verdict.streams[history.stream.code() as usize];
            assert_eq!(found.records, good as u64, "{what}");
            assert_eq!(found.last_seq, (good > 0).then_some(good as u64), "{what}");
            let end = good.checked_sub(1).map_or(0, |last| history.places[last].1);
            match &found.end {
                End::Cut { file, offset, bytes, .. } => {
                    let name = file.file_name().expect("a name").to_string_lossy();
                    let (ordinal, _) = super::super::layout::parse_segment_name(history.stream, &name)
                        .expect("the segment that ends the stream");
                    let at = ordinal * history.size + offset;
                    // Behind the last record comes at most the padding of its segment and the next one's header.
                    let next = end.next_multiple_of(history.size) + HEADER_BYTES as u64;
                    assert!(at == end || (at > end && at <= next), "{what}: {found} {at} {end}");
                    assert_eq!(*bytes, history.left_over(&image, at), "{what}: {found}");
                }
                End::Complete | End::Closed => {
                    let next = end.next_multiple_of(history.size) + HEADER_BYTES as u64;
                    let whole_padding = history.left_over(&image, next) == 0;
                    assert!(history.left_over(&image, end) == 0 || whole_padding, "{what}: {found}");
                }
            }
            assert_eq!(read(dir, history.stream, &history.lens), (good, None), "{what}: after recovery");
            assert_eq!(verify(dir).expect("readable").damages(), 0, "{what}: after recovery");
            assert!(recover(dir).expect("whole").clean(), "{what}: recovered once");
        }
        Err(JournalError::Corrupt { damage, synced }) => {
            assert!(good < durable, "{what}: {damage}");
            assert!(damage.position < synced.max(1), "{what}: {damage} {synced}");
            assert_eq!(files(dir), before, "{what}: nothing is touched");
        }
        Err(other) => panic!("{what}: {other:?}"),
    }
    good < history.lens.len()
}

#[test]
fn after_a_loss_of_power_no_damaged_record_is_read_and_no_synced_one_is_lost() {
    let asked = std::env::var("PERPRING_POWER_LOSSES").ok().and_then(|n| n.parse::<u64>().ok());
    let losses = asked.unwrap_or(120);
    let root = Scratch::in_memory();
    fs::create_dir_all(&root.0).expect("memory");
    let mut costly = 0;
    for journal in 0..losses.div_ceil(LOSSES_EACH) {
        let (dir, twin) = (root.0.join("journal"), root.0.join("twin"));
        let (_, _) = (fs::remove_dir_all(&dir), fs::remove_dir_all(&twin));
        let history = History::write(&dir, journal, 77);
        let other = History::write(&twin, journal, 78).last;
        for loss in 0..LOSSES_EACH {
            let seed = journal * LOSSES_EACH + loss;
            costly += u64::from(lose_power(&root.0.join("after"), &history, &other, seed));
        }
    }
    println!("{losses} losses of power, {costly} of them cost records");
    assert!(costly > losses / 4, "the losses are real: {costly}");
}
