//! The one integration test binary: every integration test is a module of it.

mod alloc;
mod bad_input;
mod bench;
mod book_conformance;
mod ccxt;
mod checker;
mod command_line;
mod decode_alloc;
mod deribit_world;
mod okx_world;
mod oracle;
mod profiles;
mod replay;
mod river_alloc;
mod simulated;
mod tidy;
