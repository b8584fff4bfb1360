//! The one integration test binary: every integration test is a module of it.

mod alloc;
mod bad_input;
mod bench;
mod book_conformance;
mod canaries;
mod ccxt;
mod checker;
mod coinm_world;
mod command_line;
mod decode_alloc;
mod economics;
mod frames;
mod fuzz;
mod gateway;
mod memory;
mod okx_world;
mod oracle;
mod profiles;
mod rehearsal;
mod replay;
mod report;
mod river_alloc;
mod safety;
mod simulated;
mod tidy;
