//! Time as the stages see it: data carried by inputs, never a clock.

use serde::{Deserialize, Serialize};

/// Nanoseconds.
pub type Nanos = i64;

/// Nanoseconds in a microsecond.
pub const MICRO: Nanos = 1_000;
/// Nanoseconds in a millisecond.
pub const MILLI: Nanos = 1_000_000;
/// Nanoseconds in a second.
pub const SECOND: Nanos = 1_000_000_000;

/// The instant of an input.
///
/// `mono` never steps back and serves deadlines; `wall` is `mono` plus the last sequenced anchor, since
/// the Unix epoch, and serves venue timestamps and signing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Monotonic nanoseconds since the run began.
    pub mono: Nanos,
    /// Nanoseconds since the Unix epoch.
    pub wall: Nanos,
}

impl Stamp {
    /// Milliseconds since the Unix epoch, the unit of most venue timestamps.
    pub fn wall_ms(&self) -> i64 {
        self.wall / MILLI
    }
}
