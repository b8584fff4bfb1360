//! What the inputs of a run say of its course: what a restart must know and no stage keeps. Part of a snapshot.

use crate::domain::input::{Command, Input};
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// The course of a run up to a place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// It was told to trade.
    pub started: bool,
    /// It was told to end.
    pub stopped: bool,
    /// When the operator lifted halts for the last time (wall, ns); 0 = never.
    pub resumed: Nanos,
}

impl Course {
    /// Of a snapshot that does not tell: the least that is safe. A run that may have started counts, and so does a kill.
    pub(super) fn unknown() -> Self {
        Self { started: true, ..Self::default() }
    }

    /// Takes an input at a wall time.
    #[inline]
    pub(super) fn input(&mut self, input: &Input, wall: Nanos) {
        match input {
            Input::Command(Command::Start) => self.started = true,
            Input::Command(Command::Stop) => self.stopped = true,
            Input::Command(Command::Resume) => self.resumed = wall,
            _ => {}
        }
    }
}
