//! Retention: which closed segments go, in which order, and what must be there before the first input goes.
//!
//! A run is replayed from its first input. So before inputs are removed, a [`Floor`] puts the state in their place; then
//! they go, the oldest first, then the outputs that they caused, then the floor before. Broken off anywhere, the journal is
//! whole behind one of the two floors, and what is left over does no harm.

use super::archive::StreamArchive;
use super::chain::{Chain, ClosedSegment};
use super::error::JournalError;
use super::helper::now;
use super::index::{Index, index_path};
use super::keep::Housekeeping;
use super::layout::Stream;
use super::manifest::{Manifest, sync_dir};
use super::reader::{SegmentFile, list_segments};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a floor that could not be laid waits before it is tried again: it costs as much as a replay.
const FLOOR_RETRY: Duration = Duration::from_secs(60);

/// Puts into a journal what it takes to begin it later than its run did. The journal knows bytes and not what they mean;
/// who knows the stages gives one. Works on the thread of the housekeeping.
pub trait Floor: Send {
    /// Makes the journal in `dir` readable from behind input `after` on: on the disk, and tried. `go_on` is asked now and
    /// then; at `false` it breaks off.
    ///
    /// # Errors
    /// Why not, in words; then no input is removed.
    fn lay(&mut self, dir: &Path, after: u64, go_on: &dyn Fn() -> bool) -> Result<(), String>;

    /// The inputs up to `after` are gone; so may go what an earlier floor consists of.
    ///
    /// # Errors
    /// What could not be removed, in words.
    fn clear(&mut self, dir: &Path, after: u64) -> Result<(), String>;
}

/// A segment that is to go, and why.
struct Doomed {
    segment: SegmentFile,
    why: String,
}

/// What is to be done now.
struct Plan {
    /// By stream.
    doomed: [Vec<Doomed>; 2],
    /// The last input that goes.
    after: Option<u64>,
}

/// Decides and removes.
pub(super) struct Retention {
    dir: PathBuf,
    run_id: u128,
    options: Housekeeping,
    floor: Option<Box<dyn Floor>>,
    /// Why no floor could be laid, and until when that holds.
    refused: Option<(Instant, JournalError)>,
    /// Segments removed.
    pub removed: u64,
}

impl Retention {
    /// For the journal in `dir`; without a floor inputs are never removed.
    pub fn new(
        dir: &Path,
        options: &Housekeeping,
        floor: Option<Box<dyn Floor>>,
    ) -> Result<Self, JournalError> {
        let run_id = Manifest::read(dir)?.run_id.0;
        let floor = floor.filter(|_| options.cut_inputs);
        Ok(Self { dir: dir.to_owned(), run_id, options: options.clone(), floor, refused: None, removed: 0 })
    }

    /// Removes closed segments, the oldest first, as long as there are too many bytes or they are too old.
    pub fn apply(
        &mut self,
        streams: &mut [StreamArchive; 2],
        now_ns: i64,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), JournalError> {
        if self.options.keep_bytes.is_none() && self.options.keep_for.is_none() {
            return Ok(());
        }
        let lists = [list_segments(&self.dir, Stream::Inputs)?, list_segments(&self.dir, Stream::Outputs)?];
        let plan = self.plan(&lists, [streams[0].chain(), streams[1].chain()], now_ns);
        if let Some(after) = plan.after {
            self.lay(after, go_on)?;
        }
        for (which, doomed) in plan.doomed.iter().enumerate() {
            for Doomed { segment, why } in doomed {
                self.remove(&mut streams[which], Stream::ALL[which], segment, why)?;
            }
        }
        match (plan.after, &mut self.floor) {
            (Some(after), Some(floor)) => {
                floor.clear(&self.dir, after).map_err(|reason| self.failed("clear up", reason))
            }
            _ => Ok(()),
        }
    }

    fn failed(&self, action: &'static str, reason: String) -> JournalError {
        JournalError::Io { action, path: self.dir.clone(), reason }
    }

    fn lay(&mut self, after: u64, go_on: &dyn Fn() -> bool) -> Result<(), JournalError> {
        if let Some((until, why)) = &self.refused
            && now() < *until
        {
            return Err(why.clone());
        }
        let Some(floor) = &mut self.floor else { return Ok(()) };
        let laid = floor.lay(&self.dir, after, go_on);
        let laid = laid.map_err(|reason| self.failed("remove the oldest inputs of", reason));
        self.refused = laid.clone().err().map(|why| (now() + FLOOR_RETRY, why));
        laid
    }

    fn remove(
        &mut self,
        archive: &mut StreamArchive,
        stream: Stream,
        segment: &SegmentFile,
        why: &str,
    ) -> Result<(), JournalError> {
        // Said first: a segment that is gone without a word would be damage.
        archive.note_removed(segment.ordinal, why.to_owned())?;
        let fail = |e: &std::io::Error| JournalError::write("remove", &segment.path, 0, e);
        fs::remove_file(&segment.path).map_err(|e| fail(&e))?;
        let _ = fs::remove_file(index_path(&self.dir, stream, segment.ordinal, segment.base_seq)); // a cache
        self.removed += 1;
        // In this order on the disk, too: no hole in front of what is left.
        sync_dir(&self.dir)
    }

    fn plan(&self, lists: &[Vec<SegmentFile>; 2], chains: [&Chain; 2], now_ns: i64) -> Plan {
        let size = |segment: &SegmentFile| fs::metadata(&segment.path).map_or(0, |data| data.len());
        let mut total: u64 = lists.iter().flatten().map(size).sum();
        let (mut inputs, mut outputs, mut after) = (Vec::new(), Vec::new(), None);
        // The one being written is not closed, hence the one more.
        let floor = self.options.floor_segments.max(1) as usize + 1;
        let may_go = lists.each_ref().map(|list| &list[..list.len().saturating_sub(floor)]);
        if self.floor.is_none() {
            for segment in may_go[1] {
                let Some(closed) = chains[1].segment(segment.ordinal) else { break };
                let Some(why) = self.reason(total, closed, now_ns) else { break };
                total = total.saturating_sub(size(segment));
                outputs.push(Doomed { segment: segment.clone(), why });
            }
            return Plan { doomed: [inputs, outputs], after };
        }
        // Outputs go with what caused them, never before: what is left is compared whole.
        let mut caused = self.by_last_cause(may_go[1], &lists[1]).into_iter().peekable();
        let mut follow = |after: u64, total: &mut u64| {
            while let Some((segment, _)) = caused.next_if(|(_, cause)| *cause <= after) {
                *total = total.saturating_sub(size(segment));
                let why = format!("the inputs up to {after} are not kept");
                outputs.push(Doomed { segment: segment.clone(), why });
            }
        };
        let gone = chains[0].removed_below().checked_sub(1).and_then(|last| chains[0].segment(last));
        follow(gone.map_or(0, |closed| closed.last_seq), &mut total);
        for segment in may_go[0] {
            let Some(closed) = chains[0].segment(segment.ordinal) else { break };
            let Some(why) = self.reason(total, closed, now_ns) else { break };
            total = total.saturating_sub(size(segment));
            inputs.push(Doomed { segment: segment.clone(), why });
            after = Some(closed.last_seq);
            follow(closed.last_seq, &mut total);
        }
        Plan { doomed: [inputs, outputs], after }
    }

    /// Segments of outputs with the last input that caused one in them or before. Threads interleave there, so only the
    /// index of the next segment tells; where it is missing, nothing behind it goes.
    fn by_last_cause<'a>(
        &self,
        may_go: &'a [SegmentFile],
        all: &[SegmentFile],
    ) -> Vec<(&'a SegmentFile, u64)> {
        let cause = |at: usize| {
            let next = all.get(at + 1)?;
            let path = index_path(&self.dir, Stream::Outputs, next.ordinal, next.base_seq);
            Index::read(&path, self.run_id, next.ordinal).map(|index| index.seq)
        };
        may_go.iter().enumerate().map_while(|(at, segment)| Some((segment, cause(at)?))).collect()
    }

    fn reason(&self, total: u64, closed: &ClosedSegment, now_ns: i64) -> Option<String> {
        let options = &self.options;
        if let Some(keep) = options.keep_bytes.filter(|keep| total > *keep) {
            return Some(format!("the journal had {total} bytes, more than the {keep} to be kept"));
        }
        let age = u128::try_from(now_ns.saturating_sub(closed.closed_wall_ns)).unwrap_or(0);
        let keep = options.keep_for.filter(|keep| age > keep.as_nanos())?;
        Some(format!("it was older than the {} s to be kept", keep.as_secs()))
    }
}
