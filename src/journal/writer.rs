//! Appends records to one stream. In steady state an append is a copy into touched, mapped memory and one
//! release store: no allocation, no system call. At a segment's end it rolls to a prepared one.

use super::error::JournalError;
use super::helper::{Command, Helper, Syncer, now};
use super::keep::Housekeeping;
use super::layout::{
    ALIGN, BODY_BYTES_MAX, FLAG_CONTINUES, FLAG_PADDING, HEADER_BYTES, RECORD_HEADER_BYTES, RecordHeader,
    SEGMENT_BYTES_MAX, SEGMENT_BYTES_MIN, SegmentHeader, Stream, VERSION, align, crc_seed,
    parse_segment_name, record_crc,
};
use super::manifest::{Hash256, MANIFEST_FILE, Manifest, sync_dir};
use super::mark::{Health, Mark, MarkFile, Watermark};
use super::segment::{Segment, SegmentPlan};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a roll waits for a segment that the helper is still preparing.
const HELPER_WAIT: Duration = Duration::from_secs(5);
/// Segments (and their file descriptors) that may await a synchronisation.
const UNSYNCED_SEGMENTS_MAX: usize = 8;

/// When records are carried to the disk. A record survives the end of the process under each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncPolicy {
    /// When the kernel likes; nothing is known to be durable before the close.
    #[default]
    None,
    /// By the helper thread, every [`JournalOptions::sync_every`].
    Async,
    /// When the owner calls [`Writer::sync`]; the call waits.
    Sync,
}

/// A clock reading that ties the time-stamp counter to the wall clock; into each segment's header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anchor {
    /// Time-stamp counter.
    pub tsc: u64,
    /// Wall clock, ns since the Unix epoch.
    pub wall_ns: i64,
}

/// How a stream is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// Size of a segment; a multiple of 4096 between 8 KiB and 1 GiB.
    pub segment_bytes: usize,
    /// When records reach the disk.
    pub sync: SyncPolicy,
    /// Interval of `Async`.
    pub sync_every: Duration,
    /// A helper thread prepares segments ahead; without it they are prepared inside the append that needs
    /// them (simulation, tests).
    pub helper: bool,
    /// Space to leave free on the file system, bytes.
    pub space_min_bytes: u64,
    /// The first record's sequence, part of the first segment's name.
    pub first_seq: u64,
    /// The anchor of the first segment; see [`Writer::set_anchor`].
    pub anchor: Anchor,
    /// What is done with the journal beside writing it; the owner of both writers starts the
    /// [`Housekeeper`](super::Housekeeper).
    pub keep: Option<Housekeeping>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            sync: SyncPolicy::None,
            sync_every: Duration::from_millis(10),
            helper: true,
            space_min_bytes: 0,
            first_seq: 1,
            anchor: Anchor::default(),
            keep: None,
        }
    }
}

impl JournalOptions {
    fn check(&self) -> Result<(), JournalError> {
        let bytes = self.segment_bytes;
        if !(SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes) || !bytes.is_multiple_of(HEADER_BYTES) {
            let reason = format!(
                "segment_bytes = {bytes}: use a multiple of {HEADER_BYTES} from {SEGMENT_BYTES_MIN} to {SEGMENT_BYTES_MAX}"
            );
            return Err(JournalError::Options { reason });
        }
        if self.sync == SyncPolicy::Async && !self.helper {
            let reason = "sync = async needs helper = true; use sync = sync without a helper".to_owned();
            return Err(JournalError::Options { reason });
        }
        Ok(())
    }
}

/// A record to append. The body is the concatenation of `parts`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Record<'a> {
    /// What the body is; not 0.
    pub kind: u16,
    /// The input's class.
    pub class: u8,
    /// Sequence.
    pub seq: u64,
    /// Event time, ns.
    pub time_ns: i64,
    /// The body, in pieces.
    pub parts: &'a [&'a [u8]],
}

/// The end of a record in its stream: it is written (or durable) once the [`Watermark`] has reached it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

/// Counts of a writer, for telemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct WriterStats {
    /// Records appended.
    pub records: u64,
    /// Body bytes appended.
    pub body_bytes: u64,
    /// Segments begun.
    pub segments: u64,
    /// Rolls that had to wait for the helper.
    pub roll_waits: u64,
}

/// Writes one stream of a journal. Dropped without [`Writer::close`] it leaves what a crash leaves.
pub struct Writer {
    segment: Option<Segment>,
    offset: usize,
    base: u64,
    seed: u32,
    header: SegmentHeader,
    plan: SegmentPlan,
    watermark: Arc<Watermark>,
    sync: SyncPolicy,
    helper: Option<HelperLink>,
    /// Absent while the helper synchronises (`Async`).
    syncer: Option<Syncer>,
    stats: WriterStats,
}

struct HelperLink {
    commands: Sender<Command>,
    prepared: Receiver<Segment>,
    trouble: Arc<Mutex<Option<JournalError>>>,
    thread: JoinHandle<Option<Syncer>>,
}

impl Writer {
    /// Begins a stream in `dir`, which is created if only its last part is missing, and must be empty but
    /// for the other stream of the same run. The first stream writes the manifest.
    pub fn create(
        dir: &Path,
        stream: Stream,
        manifest: &Manifest,
        options: &JournalOptions,
    ) -> Result<Self, JournalError> {
        options.check()?;
        enter(dir, stream, manifest)?;
        let plan = SegmentPlan {
            dir: dir.to_owned(),
            stream,
            segment_bytes: options.segment_bytes,
            space_min_bytes: options.space_min_bytes,
            reserve: options.keep.as_ref().is_some_and(|keep| keep.space_stop_bytes > 0),
        };
        let header = SegmentHeader {
            version: VERSION,
            schema_hash: manifest.schema_hash,
            run_id: manifest.run_id.0,
            stream: stream.code(),
            ordinal: 0,
            base_seq: options.first_seq,
            segment_bytes: options.segment_bytes as u64,
            anchor_tsc: options.anchor.tsc,
            anchor_wall_ns: options.anchor.wall_ns,
            configuration_hash: Hash256::of(manifest.configuration_hash.as_bytes()).0,
            host_fingerprint: manifest.host.fingerprint().0,
        };
        let mark = MarkFile::create(dir, stream, manifest.run_id.0)?.hold(dir)?;
        let mut segment = plan.prepare()?;
        segment.begin(dir, stream, &header)?;
        plan.fill_reserve()?;
        sync_dir(dir)?;
        let watermark = Arc::new(Watermark::default());
        let syncer = Syncer {
            plan: plan.clone(),
            watermark: watermark.clone(),
            mark,
            current: segment.file.clone(),
            left: Vec::new(),
            rolled: false,
        };
        let (helper, syncer) = match options.helper {
            true if options.sync == SyncPolicy::Async => {
                (Some(HelperLink::start(&plan, options, watermark.clone(), Some(syncer))?), None)
            }
            true => (Some(HelperLink::start(&plan, options, watermark.clone(), None)?), Some(syncer)),
            false => (None, Some(syncer)),
        };
        Ok(Self {
            segment: Some(segment),
            offset: HEADER_BYTES,
            base: 0,
            seed: crc_seed(manifest.run_id.0),
            header,
            plan,
            watermark,
            sync: options.sync,
            helper,
            syncer,
            stats: WriterStats { segments: 1, ..WriterStats::default() },
        })
    }

    /// Appends a record. After an error everything before it is intact, readers skip what there is of it,
    /// and the call may be repeated (a full disk may have been freed meanwhile).
    #[inline]
    pub fn append(&mut self, record: &Record<'_>) -> Result<Token, JournalError> {
        debug_assert_ne!(record.kind, 0, "kind 0 is padding");
        let body: usize = record.parts.iter().map(|p| p.len()).sum();
        let need = align(RECORD_HEADER_BYTES + body);
        let fits = need <= self.plan.segment_bytes - self.offset && body <= BODY_BYTES_MAX;
        if fits && self.watermark.health() != Health::Failed {
            self.put(record, 0, body, body);
        } else {
            self.append_slow(record, body, need)?;
        }
        self.stats.records += 1;
        self.stats.body_bytes += body as u64;
        let position = self.base + self.offset as u64;
        self.watermark.set_written(position, record.seq);
        Ok(Token(position))
    }

    /// The watermark, for gates and monitors on other threads.
    pub fn watermark(&self) -> Arc<Watermark> {
        self.watermark.clone()
    }

    /// Position below which every record is complete in memory.
    pub fn written(&self) -> Token {
        Token(self.base + self.offset as u64)
    }

    /// Position below which every record is known to be on the disk.
    pub fn synced(&self) -> Token {
        Token(self.watermark.synced())
    }

    /// Counts so far.
    pub fn stats(&self) -> WriterStats {
        self.stats
    }

    /// The anchor for the headers of segments begun from now on.
    pub fn set_anchor(&mut self, anchor: Anchor) {
        self.header.anchor_tsc = anchor.tsc;
        self.header.anchor_wall_ns = anchor.wall_ns;
    }

    /// Carries everything appended so far to the disk and waits for it, under the `Sync` policy. Under
    /// `Async` the helper does it and under `None` nobody: then this only reports. A failure is final.
    pub fn sync(&mut self) -> Result<Token, JournalError> {
        if self.watermark.health() == Health::Failed {
            return Err(self.failed());
        }
        if self.sync == SyncPolicy::Sync
            && let Some(syncer) = &mut self.syncer
        {
            let (position, seq) = self.watermark.pair();
            syncer.sync(position, seq)?;
        }
        Ok(self.synced())
    }

    /// Ends the stream in order: trims the last segment, marks the end, and (unless the policy is `None`)
    /// waits for the disk.
    pub fn close(mut self) -> Result<(), JournalError> {
        let mut syncer = self.take_syncer()?;
        let (position, seq) = (self.base + self.offset as u64, self.watermark.written_seq());
        if let Some(segment) = self.segment.take() {
            syncer.current = segment.trim(self.offset as u64)?;
        }
        let durable = self.sync != SyncPolicy::None;
        if durable {
            syncer.sync(position, seq)?;
        }
        syncer.mark.write(Mark { position, seq, closed: true, recovered: false }, durable)?;
        if durable {
            sync_dir(&self.plan.dir)?;
        }
        Ok(())
    }

    fn failed(&self) -> JournalError {
        JournalError::Failed { path: self.plan.dir.clone() }
    }

    /// Writes one record (or a part of one) into space that is known to be there: body bytes
    /// `from..from + take` of `body`.
    #[inline]
    fn put(&mut self, record: &Record<'_>, from: usize, take: usize, body: usize) {
        let Some(segment) = self.segment.as_mut() else { return }; // only `close`, which consumes, takes it
        let length = (RECORD_HEADER_BYTES + take) as u32;
        let header = RecordHeader {
            length,
            crc: 0,
            kind: record.kind,
            class: record.class,
            flags: if from > 0 { FLAG_CONTINUES } else { 0 },
            rest: (body - from - take) as u32,
            seq: record.seq,
            time_ns: record.time_ns,
        };
        let bytes = segment.record_mut(self.offset, length as usize);
        header.encode_fields(bytes);
        if take == body {
            let mut at = RECORD_HEADER_BYTES;
            for part in record.parts {
                bytes[at..at + part.len()].copy_from_slice(part);
                at += part.len();
            }
        } else {
            copy_window(record.parts, from, &mut bytes[RECORD_HEADER_BYTES..]);
        }
        let crc = record_crc(self.seed, Some(self.base + self.offset as u64), length, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        segment.commit(self.offset, length);
        self.offset += align(length as usize);
    }

    /// The append of a record that does not fit what is left of the segment. Small ones go whole into the
    /// next segment, large ones span.
    #[cold]
    fn append_slow(&mut self, record: &Record<'_>, body: usize, need: usize) -> Result<(), JournalError> {
        if self.watermark.health() == Health::Failed {
            return Err(self.failed());
        }
        if body > BODY_BYTES_MAX {
            return Err(JournalError::BodyTooLarge { bytes: body });
        }
        let room = self.plan.segment_bytes - HEADER_BYTES;
        if need <= room / 8 || self.plan.segment_bytes - self.offset <= RECORD_HEADER_BYTES {
            self.roll(record.seq)?;
        }
        let mut from = 0;
        loop {
            let left = self.plan.segment_bytes - self.offset;
            let take = (body - from).min(left - RECORD_HEADER_BYTES);
            self.put(record, from, take, body);
            from += take;
            if from == body {
                return Ok(());
            }
            self.roll(record.seq)?;
        }
    }

    /// Moves on to the next segment; the rest of this one becomes padding.
    fn roll(&mut self, seq: u64) -> Result<(), JournalError> {
        let mut next = self.next_segment()?;
        let header = SegmentHeader { ordinal: self.header.ordinal + 1, base_seq: seq, ..self.header };
        if let Err(e) = next.begin(&self.plan.dir, self.plan.stream, &header) {
            self.watermark.set_health(Health::Failed); // the prepared segment is lost and none follows it
            return Err(e);
        }
        self.pad();
        self.header = header;
        let file = next.file.clone();
        let old = self.segment.replace(next);
        self.offset = HEADER_BYTES;
        self.base += self.plan.segment_bytes as u64;
        self.stats.segments += 1;
        if self.sync == SyncPolicy::Sync
            && let Some(syncer) = &mut self.syncer
        {
            syncer.roll(file.clone());
            if syncer.left.len() >= UNSYNCED_SEGMENTS_MAX {
                let (position, seq) = self.watermark.pair();
                syncer.sync(position, seq)?;
            }
        }
        if let (Some(link), Some(old)) = (&self.helper, old) {
            // A helper that is gone can prepare nothing either: the next roll reports it.
            let _ = link.commands.send(Command::Rolled { old, file });
        }
        Ok(())
    }

    fn pad(&mut self) {
        let left = self.plan.segment_bytes - self.offset;
        if left < ALIGN {
            return;
        }
        let Some(segment) = self.segment.as_mut() else { return };
        let length = left as u32;
        let header = RecordHeader { length, flags: FLAG_PADDING, ..RecordHeader::default() };
        let bytes = segment.record_mut(self.offset, RECORD_HEADER_BYTES);
        header.encode_fields(bytes);
        let crc = record_crc(self.seed, Some(self.base + self.offset as u64), length, &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        segment.commit(self.offset, length);
        self.offset += left;
    }

    fn next_segment(&mut self) -> Result<Segment, JournalError> {
        let Some(link) = &self.helper else { return Ok(self.plan.prepare_or_reserve()?.0) };
        match link.prepared.try_recv() {
            Ok(segment) => return Ok(segment),
            Err(TryRecvError::Disconnected) => return self.plan.prepare(), // the helper died: do it here
            Err(TryRecvError::Empty) => {}
        }
        self.stats.roll_waits += 1;
        let begun = now();
        loop {
            if let Ok(trouble) = link.trouble.lock()
                && let Some(e) = trouble.as_ref()
            {
                return Err(e.clone());
            }
            match link.prepared.recv_timeout(Duration::from_millis(5)) {
                Ok(segment) => return Ok(segment),
                Err(RecvTimeoutError::Disconnected) => return self.plan.prepare(),
                Err(RecvTimeoutError::Timeout) if begun.elapsed() > HELPER_WAIT => {
                    let waited_ms = begun.elapsed().as_millis() as u64;
                    return Err(JournalError::HelperLate { path: self.plan.dir.clone(), waited_ms });
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Stops the helper, if any, and takes over its duties.
    fn take_syncer(&mut self) -> Result<Syncer, JournalError> {
        if let Some(link) = self.helper.take() {
            let _ = link.commands.send(Command::Stop); // gone already: then the join tells
            drop(link.prepared);
            let died = |_| JournalError::Io {
                action: "finish the helper thread of",
                path: self.plan.dir.clone(),
                reason: "it panicked".into(),
            };
            self.syncer = link.thread.join().map_err(died)?.or(self.syncer.take());
        }
        let _ = fs::remove_file(self.plan.reserve_path()); // mostly absent
        let _ = fs::remove_file(self.plan.next_path()); // prepared but never begun: empty by construction
        self.syncer.take().ok_or_else(|| self.failed())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(link) = self.helper.take() {
            let _ = link.commands.send(Command::Stop);
            let _ = link.thread.join();
        }
    }
}

impl HelperLink {
    fn start(
        plan: &SegmentPlan,
        options: &JournalOptions,
        watermark: Arc<Watermark>,
        syncer: Option<Syncer>,
    ) -> Result<Self, JournalError> {
        let (commands, receiver) = channel();
        let (sender, prepared) = sync_channel(1);
        let trouble = Arc::new(Mutex::new(None));
        let helper = Helper {
            plan: plan.clone(),
            commands: receiver,
            prepared: sender,
            trouble: trouble.clone(),
            watermark,
            sync_every: options.sync_every,
            syncer,
        };
        let thread = std::thread::Builder::new()
            .name(format!("journal-{}", plan.stream))
            .spawn(move || helper.run())
            .map_err(|e| JournalError::io("start the helper thread of", &plan.dir, &e))?;
        Ok(Self { commands, prepared, trouble, thread })
    }
}

/// Copies `to.len()` bytes of the concatenation of `parts`, from byte `from` on.
fn copy_window(parts: &[&[u8]], mut from: usize, to: &mut [u8]) {
    let mut done = 0;
    for part in parts {
        if from >= part.len() {
            from -= part.len();
            continue;
        }
        let take = (part.len() - from).min(to.len() - done);
        to[done..done + take].copy_from_slice(&part[from..from + take]);
        done += take;
        from = 0;
        if done == to.len() {
            return;
        }
    }
}

/// Makes sure that `dir` can take a new stream of this run, and that the manifest is there.
fn enter(dir: &Path, stream: Stream, manifest: &Manifest) -> Result<(), JournalError> {
    if let Err(e) = fs::create_dir(dir) {
        match e.kind() {
            std::io::ErrorKind::AlreadyExists => {}
            std::io::ErrorKind::NotFound => {
                let parent = dir.parent().unwrap_or(dir).to_owned();
                return Err(JournalError::MissingParent { path: dir.to_owned(), parent });
            }
            _ => return Err(JournalError::write("create", dir, 4096, &e)),
        }
    }
    if dir.join(MANIFEST_FILE).exists() && Manifest::read(dir).is_ok_and(|m| m.run_id == manifest.run_id) {
        return match first_entry(dir, |name| parse_segment_name(stream, name).is_some())? {
            None => Ok(()),
            Some(found) => Err(JournalError::NotEmpty { path: dir.to_owned(), found }),
        };
    }
    match first_entry(dir, |_| true)? {
        None => manifest.write_new(dir),
        Some(found) => Err(JournalError::NotEmpty { path: dir.to_owned(), found }),
    }
}

fn first_entry(dir: &Path, of: impl Fn(&str) -> bool) -> Result<Option<String>, JournalError> {
    let fail = |e: &std::io::Error| match e.kind() {
        std::io::ErrorKind::NotADirectory => {
            JournalError::NotEmpty { path: dir.to_owned(), found: "a file".into() }
        }
        _ => JournalError::write("list", dir, 0, e),
    };
    let mut found: Option<PathBuf> = None;
    for entry in fs::read_dir(dir).map_err(|e| fail(&e))? {
        let name = entry.map_err(|e| fail(&e))?.file_name();
        if of(&name.to_string_lossy()) {
            found = Some(name.into());
            break;
        }
    }
    Ok(found.map(|p| p.to_string_lossy().into_owned()))
}
