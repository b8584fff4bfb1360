//! The single integration test binary.

mod alloc;
mod book_conformance;
mod decode_alloc;
mod oracle;
mod simulated;
mod ccxt;
//! The one test binary: every integration test is a module of it.
mod tidy;
