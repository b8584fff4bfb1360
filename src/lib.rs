//! perpring: a low-latency engine for arbitrage of perpetual futures between venues.
pub mod cli;
pub mod domain;
pub mod venue;
