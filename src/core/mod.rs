//! The deterministic rules: books, edges and trades, order truth, contract scales, positions,
//! capital, limits, budgets.
//!
//! Imports only `domain`; never reads a clock, does no I/O, starts no thread, uses no randomness and no
//! floats. The same inputs give the same outputs, which is what makes a replay a proof.

pub mod band;
pub mod book;
pub mod budget;
pub mod cadence;
pub mod capital;
pub mod departure;
pub mod digest;
pub mod edge;
pub mod limits;
pub mod listing;
pub mod median;
pub mod miss;
pub mod mode;
pub mod order;
pub mod pair;
pub mod paper;
pub mod position;
pub mod quality;
pub mod reconcile;
pub mod registry;
pub mod restart;
pub mod risk;
pub mod scanner;
pub mod sentinel;
pub mod start_gate;
pub mod table;
pub mod trade;
pub mod venue_clock;
