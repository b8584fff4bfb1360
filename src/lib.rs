//! perpring: a low-latency engine for arbitrage of perpetual futures between venues.
pub mod domain;
pub mod journal;
pub mod telemetry;
#[cfg(any())]
pub mod venue;
