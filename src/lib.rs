//! perpring: a low-latency engine for arbitrage of perpetual futures between venues.
pub mod core;
pub mod domain;
pub mod journal;
pub mod net;
pub mod ring;
pub mod runtime;
pub mod telemetry;
#[cfg(any())]
pub mod venue;
pub mod sim;
