//! Replay: journal → the same stages → compare.
//!
//! Reads a run's inputs, passes them through freshly built stages and holds every output against the
//! recorded one. Has no clock, no socket and no secret; loopback inputs come only from the journal, and
//! are themselves checked against what the stages regenerate.

pub mod audit;
pub mod bundle;
pub mod check;
pub mod course;
pub mod cursor;
pub mod denials;
pub mod diff;
pub mod divergence;
pub mod floor;
pub mod outputs;
pub mod part;
pub mod place;
pub mod plain;
pub mod snapshot;
pub mod source;
pub mod step;
pub mod verify;
pub mod whatif;
pub mod why;
