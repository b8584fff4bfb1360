//! A place in a recorded run: moves forward input by input and holds the stages as they were there.
//!
//! What every command that looks into a run stands on (`replay`, `step`, `why`, `diff`). Reads the inputs only; whoever
//! wants the recorded outputs beside them opens [`super::source::Outputs`]. Goes far by [`super::snapshot`]s and leaves
//! some behind, in a directory of their own; changes no file of the journal.

use super::course::Course;
use super::denials::Denials;
use super::part;
use super::snapshot::{Snapshot, Snapshots};
use super::source::{Inputs, ReplayError, RunConfig, read_config};
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{Input, InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::{OutputKey, Stage};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::Manifest;
use crate::stage::decode::UnknownDialect;
use crate::stage::river::{Parts, River, Tap};
use std::path::{Path, PathBuf};

/// Builds the stages for a configuration.
pub type Build = Box<dyn Fn(&RunConfig) -> Result<Parts, UnknownDialect>>;

/// A place in a run, after the input [`Cursor::seq`].
pub struct Cursor {
    dir: PathBuf,
    manifest: Manifest,
    config: RunConfig,
    build: Build,
    /// The stages before the first input, where that is not the run's first.
    start: Option<Snapshot>,
    snapshots: Snapshots,
    river: River,
    inputs: Inputs,
    denials: Denials,
    course: Course,
    seq: Seq,
}

impl Cursor {
    /// Before the first input of the journal in `dir`.
    pub fn open(dir: &Path) -> Result<Self, ReplayError> {
        Self::open_with(dir, None)
    }

    /// The same, with snapshots below the directory `cache` and not beside the journal.
    pub fn open_with(dir: &Path, cache: Option<&Path>) -> Result<Self, ReplayError> {
        Self::open_built(dir, cache, Box::new(|config| Parts::new(&config.params, config.trading)))
    }

    /// The same, with stages that `build` makes (tests plant faults this way).
    pub fn open_built(dir: &Path, cache: Option<&Path>, build: Build) -> Result<Self, ReplayError> {
        let (manifest, _, config) = read_config(dir)?;
        let start = part::start(dir, &manifest)?;
        let Beginning { river, denials, course, seq } = beginning(dir, &config, &build, start.as_ref())?;
        Ok(Self {
            river,
            inputs: Inputs::open(dir)?,
            snapshots: Snapshots::of(dir, &manifest, cache),
            dir: dir.to_owned(),
            manifest,
            config,
            build,
            start,
            denials,
            course,
            seq,
        })
    }

    /// Passes the next input through the stages; false at the end of the run (or at a hole, see [`Cursor::hole`]).
    pub fn step(&mut self, tap: &mut impl Tap) -> Result<bool, ReplayError> {
        let Some((seq, raw)) = self.inputs.next()? else { return Ok(false) };
        self.river.input(&raw, &mut Watched { tap, denials: &mut self.denials, course: &mut self.course });
        self.seq = seq;
        if self.snapshots.is_due(seq) {
            self.leave_snapshot();
        }
        Ok(true)
    }

    /// Goes to the place after input `to`, or to the end if that is earlier, forwards and backwards, from the nearest
    /// snapshot before it. `tap` sees the inputs that are passed on the way from there; `progress` gets the number of the
    /// last one now and then.
    pub fn seek(
        &mut self,
        to: Seq,
        tap: &mut impl Tap,
        progress: &mut dyn FnMut(Seq),
    ) -> Result<(), ReplayError> {
        let mut on = |seq| {
            progress(seq);
            true
        };
        self.seek_while(to, tap, &mut on).map(drop)
    }

    /// The same, which ends where `goes_on` says no; whether it was let go on.
    pub fn seek_while(
        &mut self,
        to: Seq,
        tap: &mut impl Tap,
        goes_on: &mut dyn FnMut(Seq) -> bool,
    ) -> Result<bool, ReplayError> {
        let here = if to < self.seq { self.begins_after() } else { self.seq };
        match self.snapshots.nearest(&self.manifest, here, to) {
            Some(snapshot) => self.enter(&snapshot)?,
            None if to < self.seq => self.begin()?,
            None => {}
        }
        while self.seq < to && self.step(tap)? {
            if self.seq.0.is_multiple_of(1 << 16) && !goes_on(self.seq) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes to the place of a snapshot.
    fn enter(&mut self, snapshot: &Snapshot) -> Result<(), ReplayError> {
        let mut river = fresh(&self.dir, &self.config, &self.build)?;
        match snapshot.restore(&mut river) {
            Ok((denials, course)) => {
                self.inputs = Inputs::open_after(&self.dir, snapshot.seq)?;
                (self.river, self.denials, self.course, self.seq) = (river, denials, course, snapshot.seq);
                Ok(())
            }
            Err(why) => {
                let why = format!("the snapshot after input {} is not used: {why}", snapshot.seq.0);
                self.snapshots.refuse(snapshot.seq, why);
                self.begin()
            }
        }
    }

    /// Goes before the first input.
    fn begin(&mut self) -> Result<(), ReplayError> {
        Beginning { river: self.river, denials: self.denials, course: self.course, seq: self.seq } =
            beginning(&self.dir, &self.config, &self.build, self.start.as_ref())?;
        self.inputs = Inputs::open(&self.dir)?;
        Ok(())
    }

    /// The last snapshot whose wall clock is before `wall`, and what that was ahead of the monotonic one; the beginning of
    /// the run where there is none.
    pub(super) fn known_before(&self, wall: Nanos) -> (Seq, Nanos) {
        let list = self.snapshots.list();
        // One that cannot be used lies before every time: then the search only begins earlier.
        let lies_before = |seq: &Seq| {
            self.snapshots.head(*seq).is_none_or(|head| head.mono.saturating_add(head.wall_anchor) < wall)
        };
        let after = list.partition_point(lies_before);
        // Only one that would be used is begun at.
        let usable = |seq: &Seq| self.snapshots.read(&self.manifest, *seq).ok();
        let before = list[..after].iter().rev().find_map(usable);
        let before = before.as_ref().or(self.start.as_ref());
        before.map_or((Seq(0), 0), |snapshot| (snapshot.seq, snapshot.wall_anchor))
    }

    fn leave_snapshot(&mut self) {
        if self.snapshots.path(self.seq).exists() {
            return;
        }
        match self.snapshot() {
            Ok(snapshot) => self.snapshots.keep(&snapshot),
            Err(why) => self.snapshots.refuse(self.seq, format!("no snapshot can be made: {why}")),
        }
    }

    /// The stages as they are here, to go on with alone.
    pub fn into_river(self) -> River {
        self.river
    }

    /// A snapshot of this place.
    pub fn snapshot(&self) -> Result<Snapshot, serde_json::Error> {
        Snapshot::take(&self.manifest, &self.river, &self.denials, &self.course)
    }

    /// The snapshots of the run.
    pub fn snapshots(&mut self) -> &mut Snapshots {
        &mut self.snapshots
    }

    /// Number of the last input that was passed; 0 = none yet.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The instant of that input.
    pub fn now(&self) -> Stamp {
        self.river.now().1
    }

    /// The stages composed, as they are here.
    pub(super) fn river(&self) -> &River {
        &self.river
    }

    /// The stages as they are here.
    pub fn parts(&self) -> &Parts {
        self.river.parts()
    }

    /// Denials that are on their way back as inputs here.
    pub fn denials(&self) -> &Denials {
        &self.denials
    }

    /// The input behind which the journal begins; 0 = it begins with the run.
    pub fn begins_after(&self) -> Seq {
        self.start.as_ref().map_or(Seq(0), |start| start.seq)
    }

    /// What the run was told up to here.
    pub fn course(&self) -> &Course {
        &self.course
    }

    /// Directory of the journal.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The recorded configuration.
    pub fn config(&self) -> &RunConfig {
        &self.config
    }

    /// What the journal says of its run.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the sequence of inputs breaks off: the number expected and the one found.
    pub fn hole(&self) -> Option<(u64, u64)> {
        self.inputs.hole().get().copied()
    }
}

/// Stages that have seen nothing yet.
fn fresh(dir: &Path, config: &RunConfig, build: &Build) -> Result<River, ReplayError> {
    let parts = build(config).map_err(|source| ReplayError::Dialect { dir: dir.to_owned(), source })?;
    Ok(River::new(parts))
}

/// Before the first input of the journal; `seq` is its number less one.
struct Beginning {
    river: River,
    denials: Denials,
    course: Course,
    seq: Seq,
}

fn beginning(
    dir: &Path,
    config: &RunConfig,
    build: &Build,
    start: Option<&Snapshot>,
) -> Result<Beginning, ReplayError> {
    let mut river = fresh(dir, config, build)?;
    let Some(start) = start else {
        return Ok(Beginning { river, denials: Denials::default(), course: Course::default(), seq: Seq(0) });
    };
    let (denials, course) = part::enter(dir, start, &mut river)?;
    Ok(Beginning { river, denials, course, seq: start.seq })
}

/// Keeps what a comparison that begins later must remember, and passes everything on.
struct Watched<'a, T> {
    tap: &'a mut T,
    denials: &'a mut Denials,
    course: &'a mut Course,
}

impl<T: Tap> Tap for Watched<'_, T> {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        if let Input::Denied(denial) = &raw.input {
            self.denials.on_recorded(seq, denial);
        }
        self.course.input(&raw.input, at.wall);
        self.tap.input(seq, at, class, raw);
    }

    fn event(&mut self, event: &Event) {
        self.tap.event(event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.tap.intent(key, intent);
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.tap.approved(key, intent);
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.denials.on_made(key.stage, denial);
        self.tap.denied(key, denial);
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        self.tap.message(key, message);
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.tap.near_miss(key, near);
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.tap.state(key, hash);
    }

    fn end(&mut self, seq: Seq) {
        self.tap.end(seq);
    }

    fn enter(&mut self, stage: Stage) {
        self.tap.enter(stage);
    }
}
