//! Ctrl-C (or SIGTERM) during work that leaves something behind: a flag that the work looks at, so that it can remove
//! what it began.

use super::Failure;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Exit code of what was stopped, as shells have it for Ctrl-C.
pub const EXIT_STOPPED: u8 = 130;

/// A flag that a signal sets. A second one ends the program, whatever it is doing.
///
/// # Errors
/// The system's, when it refuses a handler.
pub fn flag() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, EXIT_STOPPED.into(), Arc::clone(&stop))?;
        register(signal, Arc::clone(&stop))?;
    }
    Ok(stop)
}
