//! Housekeeping of a journal while it is written: a thread of its own archives what the writers have left behind,
//! removes what retention says, and watches the space that is left. Nobody waits for it, and what it cannot do
//! now it tries again.

use super::archive::{Archived, StreamArchive};
use super::error::JournalError;
use super::helper::now;
use super::layout::Stream;
use super::mark::Watermark;
use super::retain::{Floor, Retention};
use super::segment::space_free;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a failed piece of work waits before it is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Above a mark by this part of it, the space counts as enough again: 1/8.
const HYSTERESIS: u64 = 8;

/// What is done with a journal beside writing it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Housekeeping {
    /// zstd level for closed segments; `None` leaves them raw.
    pub compress: Option<i32>,
    /// Most bytes that all segments may occupy; closed ones are removed beyond it, the oldest first.
    pub keep_bytes: Option<u64>,
    /// Longest time that a closed segment is kept.
    pub keep_for: Option<Duration>,
    /// Inputs may be removed too, with the outputs that they caused, where there is a [`Floor`] to begin at. Otherwise only
    /// outputs are.
    pub cut_inputs: bool,
    /// The newest segments of each stream, which retention never removes; at least 1.
    pub floor_segments: u64,
    /// Below so many free bytes: an alarm. 0 = never.
    pub space_alarm_bytes: u64,
    /// Below so many free bytes: no new trades. 0 = never.
    pub space_stop_bytes: u64,
    /// How often it looks.
    pub every: Duration,
}

impl Default for Housekeeping {
    fn default() -> Self {
        Self {
            compress: Some(3),
            keep_bytes: None,
            keep_for: None,
            cut_inputs: true,
            floor_segments: 2,
            space_alarm_bytes: 0,
            space_stop_bytes: 0,
            every: Duration::from_millis(250),
        }
    }
}

/// How much room the file system has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[repr(u8)]
pub enum Space {
    /// Enough.
    #[default]
    Enough = 0,
    /// Below the first mark.
    Low = 1,
    /// Below the second: no new trades.
    Short = 2,
}

/// What housekeeping has done and found, for telemetry.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Kept {
    /// Segments archived.
    pub archived: Archived,
    /// Segments removed by retention.
    pub removed: u64,
    /// Free bytes when last looked.
    pub free_bytes: u64,
    /// The latest failure, in words, until the work succeeds.
    pub trouble: Option<String>,
}

#[derive(Debug, Default)]
struct Status {
    space: AtomicU8,
    free: AtomicU64,
    /// The run ends: nothing is begun that takes long.
    ending: AtomicBool,
    kept: Mutex<Kept>,
}

/// Looks at what housekeeping does, from any thread but a trading one.
#[derive(Clone, Debug)]
pub struct KeepWatch(Arc<Status>);

impl KeepWatch {
    /// The room that is left and what was done so far.
    pub fn look(&self) -> (Space, Kept) {
        let mut kept = self.0.kept.lock().map(|kept| kept.clone()).unwrap_or_default();
        kept.free_bytes = self.0.free.load(Ordering::Relaxed);
        (self.0.space(), kept)
    }
}

impl Status {
    fn space(&self) -> Space {
        match self.space.load(Ordering::Relaxed) {
            0 => Space::Enough,
            1 => Space::Low,
            _ => Space::Short,
        }
    }

    fn watch_space(&self, dir: &Path, options: &Housekeeping) {
        let Ok(free) = space_free(dir) else { return }; // no word is not enough for an alarm
        self.free.store(free, Ordering::Relaxed);
        let before = self.space.load(Ordering::Relaxed);
        let now = space_level(free, options.space_alarm_bytes, options.space_stop_bytes, before);
        self.space.store(now as u8, Ordering::Relaxed);
    }
}

/// The thread, while the journal is written.
#[derive(Debug)]
pub struct Housekeeper {
    stop: Sender<bool>,
    thread: Option<JoinHandle<()>>,
    status: Arc<Status>,
}

/// The wall time for the age of segments; never data.
#[allow(clippy::disallowed_methods)] // nothing that is recorded or decided depends on it
fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

impl Housekeeper {
    /// Starts it for a journal whose two streams have begun; `floor` is laid before inputs are removed.
    ///
    /// # Errors
    /// The system refuses a thread, or the chain cannot be read.
    pub fn start(
        dir: &Path,
        watermarks: [Arc<Watermark>; 2],
        segment_bytes: u64,
        options: &Housekeeping,
        floor: Option<Box<dyn Floor>>,
    ) -> Result<Self, JournalError> {
        let (stop, stopped) = channel();
        let status = Arc::new(Status::default());
        let mut work = Work::open(dir, options, floor, status.clone())?;
        let thread = std::thread::Builder::new()
            .name("journal-keep".into())
            .spawn(move || work.run(&watermarks, segment_bytes, &stopped))
            .map_err(|e| JournalError::io("start the housekeeping of", dir, &e))?;
        Ok(Self { stop, thread: Some(thread), status })
    }

    /// The room that is left, as of the last look. One load.
    #[inline]
    pub fn space(&self) -> Space {
        self.status.space()
    }

    /// A view for other threads.
    pub fn watch(&self) -> KeepWatch {
        KeepWatch(Arc::clone(&self.status))
    }

    /// What was done so far.
    pub fn kept(&self) -> Kept {
        self.watch().look().1
    }

    /// Ends it after both writers have closed: what is left is archived first. A failure leaves segments raw,
    /// which loses nothing.
    pub fn finish(mut self) -> Kept {
        self.end(true);
        self.kept()
    }

    fn end(&mut self, ended: bool) {
        self.status.ending.store(true, Ordering::Relaxed);
        let _ = self.stop.send(ended); // gone already: then the join returns at once
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Housekeeper {
    fn drop(&mut self) {
        self.end(false);
    }
}

/// What the thread works on.
pub(super) struct Work {
    dir: PathBuf,
    options: Housekeeping,
    streams: [StreamArchive; 2],
    retention: Retention,
    status: Arc<Status>,
    retry_at: Option<Instant>,
}

impl Work {
    fn open(
        dir: &Path,
        options: &Housekeeping,
        floor: Option<Box<dyn Floor>>,
        status: Arc<Status>,
    ) -> Result<Self, JournalError> {
        let open = |stream| StreamArchive::open(dir, stream, options.compress);
        let streams = [open(Stream::Inputs)?, open(Stream::Outputs)?];
        let retention = Retention::new(dir, options, floor)?;
        Ok(Self { dir: dir.to_owned(), options: options.clone(), streams, retention, status, retry_at: None })
    }

    fn run(&mut self, watermarks: &[Arc<Watermark>; 2], segment_bytes: u64, stopped: &Receiver<bool>) {
        step_back();
        loop {
            self.status.watch_space(&self.dir, &self.options);
            if self.retry_at.is_none_or(|at| now() >= at) {
                let closed = [0, 1].map(|stream| watermarks[stream].written() / segment_bytes);
                let done = self.archive(closed, false).and_then(|()| self.retain());
                self.note(done);
            }
            match stopped.recv_timeout(self.options.every) {
                Ok(true) => {
                    let ends = [0, 1].map(|stream| watermarks[stream].written().div_ceil(segment_bytes));
                    let done = self.archive(ends, true);
                    return self.note(done);
                }
                Ok(false) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn note(&mut self, done: Result<(), JournalError>) {
        self.retry_at = done.is_err().then(|| now() + RETRY);
        self.show();
        if let Ok(mut kept) = self.status.kept.lock() {
            kept.trouble = done.err().map(|failure| failure.to_string());
        }
    }

    fn show(&self) {
        let mut archived = Archived::default();
        self.streams.iter().for_each(|stream| archived.add(&stream.done));
        if let Ok(mut kept) = self.status.kept.lock() {
            kept.archived = archived;
            kept.removed = self.retention.removed;
        }
    }

    fn archive(&mut self, closed_below: [u64; 2], ended: bool) -> Result<(), JournalError> {
        for (which, below) in closed_below.into_iter().enumerate() {
            while self.streams[which].step(below, ended)? {
                self.show();
            }
        }
        Ok(())
    }

    fn retain(&mut self) -> Result<(), JournalError> {
        let Self { dir, options, streams, retention, status, .. } = self;
        // A floor may take minutes: the room is watched meanwhile.
        retention.apply(streams, wall_ns(), &|| {
            status.watch_space(dir, options);
            !status.ending.load(Ordering::Relaxed)
        })
    }
}

/// Below a mark at once; back only when the mark is exceeded by an eighth.
fn space_level(free: u64, low: u64, short: u64, before: u8) -> Space {
    let is_below = |mark: u64, level: Space| {
        let back = if before >= level as u8 { mark / HYSTERESIS } else { 0 };
        free < mark + back
    };
    if is_below(short, Space::Short) {
        Space::Short
    } else if is_below(low, Space::Low) {
        Space::Low
    } else {
        Space::Enough
    }
}

/// The trading threads go first. Refused, nothing is lost but smoothness.
fn step_back() {
    let thread = rustix::thread::gettid();
    let _ = rustix::process::setpriority_process(Some(thread), 19);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_short_at_once_and_enough_only_above_the_mark_by_an_eighth() {
        let levels = [1000, 799, 399, 449, 450, 899, 900, 399].into_iter().scan(0, |before, free| {
            let level = space_level(free, 800, 400, *before);
            *before = level as u8;
            Some(level)
        });
        let expected = [
            Space::Enough,
            Space::Low,
            Space::Short,
            Space::Short,
            Space::Low,
            Space::Low,
            Space::Enough,
            Space::Short,
        ];
        assert!(levels.eq(expected));
        assert_eq!(space_level(0, 0, 0, 0), Space::Enough, "marks of 0 are no marks");
    }
}
