//! perpring: a low-latency engine for arbitrage of perpetual futures between venues.
pub mod core;
pub mod domain;
pub mod venue;
