//! Operations: what people and monitors see and say. Decides nothing about trading.

pub mod drift;
pub mod http;
pub mod latency;
pub mod metrics;
pub mod view;
pub mod watch;
