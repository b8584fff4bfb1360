//! A place in a recorded run: moves forward input by input and holds the stages as they were there.
//!
//! What every command that looks into a run stands on (`step`, `why`, `diff`). Reads the inputs only; whoever wants the
//! recorded outputs beside them opens [`super::source::Outputs`]. Changes no file of the journal.

use super::source::{Inputs, ReplayError, RunConfig, read_config};
use crate::domain::event::Seq;
use crate::journal::Manifest;
use crate::stage::river::{Parts, River, Tap};
use std::path::{Path, PathBuf};

/// A place in a run, after the input [`Cursor::seq`].
pub struct Cursor {
    dir: PathBuf,
    manifest: Manifest,
    config: RunConfig,
    river: River,
    inputs: Inputs,
    seq: Seq,
}

impl Cursor {
    /// Before the first input of the journal in `dir`.
    pub fn open(dir: &Path) -> Result<Self, ReplayError> {
        let (manifest, _, config) = read_config(dir)?;
        let parts = Parts::new(&config.params, config.trading)
            .map_err(|source| ReplayError::Dialect { dir: dir.to_owned(), source })?;
        Ok(Self {
            dir: dir.to_owned(),
            manifest,
            config,
            river: River::new(parts),
            inputs: Inputs::open(dir)?,
            seq: Seq(0),
        })
    }

    /// Passes the next input through the stages; false at the end of the run (or at a hole, see [`Cursor::hole`]).
    pub fn step(&mut self, tap: &mut impl Tap) -> Result<bool, ReplayError> {
        let Some((seq, raw)) = self.inputs.next()? else { return Ok(false) };
        self.river.input(&raw, tap);
        self.seq = seq;
        Ok(true)
    }

    /// Goes to the place after input `to`, or to the end if that is earlier; backwards by beginning anew.
    /// `tap` sees every input that is passed; `progress` gets the number now and then.
    pub fn seek(
        &mut self,
        to: Seq,
        tap: &mut impl Tap,
        progress: &mut dyn FnMut(Seq),
    ) -> Result<(), ReplayError> {
        if to < self.seq {
            *self = Self::open(&self.dir)?;
        }
        while self.seq < to && self.step(tap)? {
            if self.seq.0.is_multiple_of(1 << 16) {
                progress(self.seq);
            }
        }
        Ok(())
    }

    /// Number of the last input that was passed; 0 = none yet.
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// The stages as they are here.
    pub fn parts(&self) -> &Parts {
        self.river.parts()
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
