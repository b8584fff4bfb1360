//! perpring: a low-latency engine for arbitrage of perpetual futures between venues.
//!
//! One river: every input is numbered in one place, recorded, and passed through pure stages. The modules
//! below stand in the order in which dependencies point: each may use those below it, never those above.

pub mod backup;
pub mod cli;
pub mod config;
pub mod topology;

pub mod export;
pub mod replay;
pub mod stage;

pub mod sim;

pub mod ops;

pub mod core;
pub mod venue;

pub mod net;

pub mod journal;
pub mod ring;
pub mod runtime;
pub mod telemetry;

pub mod domain;
