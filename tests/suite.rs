//! The single integration test binary.

mod book_conformance;
mod oracle;
mod simulated;
