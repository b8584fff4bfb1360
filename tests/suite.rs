//! The single integration test binary.

mod alloc;
mod decode_alloc;
