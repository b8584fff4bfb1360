//! The helper thread of a writer: prepares the next segment ahead, unmaps the old one, and in `Async` mode
//! carries written records to the disk at an interval. The writer never waits for it in steady state.

use super::error::JournalError;
use super::manifest::sync_dir;
use super::mark::{Health, Mark, MarkFile, Watermark};
use super::segment::{Segment, SegmentPlan};
use std::fs::File;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long a failed preparation waits before it is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often it looks whether the reserve is there.
const REFILL: Duration = Duration::from_secs(5);
/// How long it sleeps when nothing is due; a command wakes it.
const IDLE: Duration = Duration::from_secs(60);

/// The time for pauses and patience of the journal's own threads; never data.
#[allow(clippy::disallowed_methods)] // nothing that is recorded or decided depends on it
pub(super) fn now() -> Instant {
    Instant::now()
}

/// What the writer tells its helper.
pub(super) enum Command {
    /// The writer moved on to a segment with this file; the old one is the helper's to drop.
    Rolled { old: Segment, file: Arc<File> },
    /// Finish.
    Stop,
}

/// Carries written bytes to the disk and records how far they came.
pub(super) struct Syncer {
    pub plan: SegmentPlan,
    pub watermark: Arc<Watermark>,
    pub mark: MarkFile,
    /// The segment being written.
    pub current: Arc<File>,
    /// Segments left since the last synchronisation; small.
    pub left: Vec<Arc<File>>,
    /// A file was created or renamed since then.
    pub rolled: bool,
}

impl Syncer {
    /// Notes that the writer moved to another file.
    pub fn roll(&mut self, file: Arc<File>) {
        self.left.push(std::mem::replace(&mut self.current, file));
        self.rolled = true;
    }

    /// Makes everything below `position` durable; a failure is final.
    pub fn sync(&mut self, position: u64, seq: u64) -> Result<(), JournalError> {
        if position <= self.watermark.synced() {
            return Ok(());
        }
        let done = self.sync_files(position, seq);
        if done.is_err() {
            self.watermark.set_health(Health::Failed);
        } else {
            self.watermark.set_synced(position, seq);
        }
        done
    }

    fn sync_files(&mut self, position: u64, seq: u64) -> Result<(), JournalError> {
        let dir = &self.plan.dir;
        for file in self.left.iter().chain([&self.current]) {
            file.sync_data().map_err(|e| JournalError::io("synchronise a segment in", dir, &e))?;
        }
        if self.rolled {
            sync_dir(dir)?;
        }
        self.left.clear();
        self.rolled = false;
        self.mark.write(Mark { position, seq, ..Mark::default() }, true)
    }
}

/// The helper's side of the bargain.
pub(super) struct Helper {
    pub plan: SegmentPlan,
    pub commands: Receiver<Command>,
    pub prepared: SyncSender<Segment>,
    pub trouble: Arc<Mutex<Option<JournalError>>>,
    pub watermark: Arc<Watermark>,
    /// Interval of synchronisation, when there is a `syncer`.
    pub sync_every: Duration,
    /// Present in `Async` mode; otherwise the writer keeps it.
    pub syncer: Option<Syncer>,
}

impl Helper {
    /// Works until told to stop; returns the syncer to the writer.
    pub fn run(mut self) -> Option<Syncer> {
        let mut prepare_at = Some(now());
        let mut refill_at = self.plan.reserve.then(now);
        let mut sync_at = now();
        loop {
            if prepare_at.is_some_and(|at| now() >= at) {
                prepare_at = if self.prepare() { None } else { Some(now() + RETRY) };
            }
            // Only when the next segment is there: it goes first.
            if prepare_at.is_none() && refill_at.is_some_and(|at| now() >= at) {
                let _ = self.plan.fill_reserve(); // tried again; without it a full disk is one all the same
                refill_at = Some(now() + REFILL);
            }
            // The position is read before the commands are drained: every roll that lies below it has then
            // been noted, because the writer announces a roll before it writes into the new segment.
            let (position, seq) = self.watermark.pair();
            loop {
                match self.commands.try_recv() {
                    Ok(Command::Rolled { old, file }) => {
                        self.rolled(old, file);
                        prepare_at = Some(now());
                    }
                    Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return self.syncer,
                    Err(TryRecvError::Empty) => break,
                }
            }
            if let Some(syncer) = &mut self.syncer
                && now() >= sync_at
            {
                let _ = syncer.sync(position, seq); // the health tells; the writer refuses from then on
                sync_at = now() + self.sync_every;
            }
            let wake_at =
                [prepare_at, refill_at, self.syncer.is_some().then_some(sync_at)].into_iter().flatten().min();
            let wait = wake_at.map_or(IDLE, |at| at.saturating_duration_since(now()));
            match self.commands.recv_timeout(wait) {
                Ok(Command::Rolled { old, file }) => {
                    self.rolled(old, file);
                    prepare_at = Some(now());
                }
                Ok(Command::Stop) | Err(RecvTimeoutError::Disconnected) => return self.syncer,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn rolled(&mut self, old: Segment, file: Arc<File>) {
        drop(old); // unmapping a segment costs up to milliseconds; here nobody waits
        if let Some(syncer) = &mut self.syncer {
            syncer.roll(file);
        }
    }

    /// True when a segment waits for the writer. Called at the start and after each roll, never while one
    /// waits: preparing truncates the waiting file.
    fn prepare(&self) -> bool {
        let prepared = self.plan.prepare_or_reserve();
        let health = if matches!(prepared, Ok((_, None))) { Health::Good } else { Health::NoRoomAhead };
        self.watermark.set_health(health);
        let (segment, trouble) = match prepared {
            Ok((segment, _)) => (Some(segment), None),
            Err(e) => (None, Some(e)),
        };
        if let Ok(mut place) = self.trouble.lock() {
            *place = trouble;
        }
        let Some(segment) = segment else { return false };
        let _ = self.prepared.try_send(segment); // fails only when the writer is gone; the stop follows
        true
    }
}
