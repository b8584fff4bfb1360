//! Topology: the only place that wires stages, rings, cores and worlds together.
//!
//! `fused` runs the river on one thread; `threaded` puts its stages on several; `simulated` drives the
//! fused engine and simulated venues in process under one simulated clock; `imported` drives it over recorded
//! feeds; `live` owns the sockets.

pub mod fused;
pub mod imported;
pub mod keeper;
pub mod kill;
pub mod launch;
pub mod live;
pub mod observer;
pub mod opening;
pub mod probe;
pub mod publish;
pub mod replayed;
pub mod restart;
pub mod simulated;
pub mod threaded;
pub mod world;
