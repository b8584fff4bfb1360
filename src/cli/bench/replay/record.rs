//! A journal that is mostly best prices: the simulated world on a finer grid of time, recorded as in a run.

use crate::cli::Failure;
use crate::cli::bench::pipeline::{close, simulation};
use crate::cli::progress::ProgressBar;
use crate::domain::time::{MILLI, SECOND};
use crate::journal::{Housekeeping, JournalOptions};
use std::path::Path;

/// Venues of the world.
const VENUES: [&str; 2] = ["binance-usdm", "okx"];
/// Instruments on each.
const INSTRUMENTS: usize = 4;
/// Quotes follow the price on this grid: best prices change on most steps, depth is published every 100 ms.
const STEP: i64 = MILLI;
/// Simulated time between two looks at the size.
const LOOK: i64 = SECOND / 4;
/// Segments of a run, and of a short one, so that it has several too.
const SEGMENT_BYTES: usize = 64 << 20;
const SHORT_SEGMENT_BYTES: usize = 1 << 20;
/// Bytes from which a run is no short one.
const LONG_BYTES: u64 = 256 << 20;

/// Records about so many bytes in `dir`.
///
/// # Errors
/// Nothing can be written.
pub fn record(dir: &Path, bytes: u64, raw: bool, bar: &ProgressBar) -> Result<(), Failure> {
    let segment_bytes = if bytes < LONG_BYTES { SHORT_SEGMENT_BYTES } else { SEGMENT_BYTES };
    let keep = Housekeeping { compress: (!raw).then_some(3), ..Housekeeping::default() };
    let options = JournalOptions { segment_bytes, keep: Some(keep), ..JournalOptions::default() };
    let (mut simulation, ..) = simulation(dir, &VENUES, INSTRUMENTS, &options, |sim| sim.step_ns = STEP)?;
    loop {
        simulation.run_for(LOOK);
        let recorder = simulation.engine().keeper().recorder().ok_or("the run is not recorded")?;
        if let Some(failure) = recorder.failure() {
            return Err(failure.to_string().into());
        }
        // Bodies, and the header of a record with its rounding.
        let (records, body_bytes) = recorder.totals();
        let written = body_bytes + records * 48;
        bar.show(written, bytes, "recording");
        if written >= bytes {
            break;
        }
    }
    close(simulation)
}
