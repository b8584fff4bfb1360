//! Telemetry: figures that leave the hot path without slowing it. Counters and errors live in memory-mapped
//! files that other processes read; histograms change owners instead of being copied. Nothing here decides
//! anything, knows the domain, or is waited for.

pub mod counters;
pub mod errors;
pub mod exchange;
pub mod histogram;
pub mod hlog;
mod mapped;
pub mod stall;

pub use mapped::TelemetryError;
