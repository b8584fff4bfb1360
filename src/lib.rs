//! perpring: a low-latency engine for arbitrage of perpetual futures between venues.
pub mod domain;
#[cfg(any())]
pub mod venue;
