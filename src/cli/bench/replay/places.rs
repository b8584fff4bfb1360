//! Snapshots of a journal and seeks to places in it.

use super::{Bench, SeekFigures, SnapshotFigures};
use crate::cli::Failure;
use crate::cli::progress::ProgressBar;
use crate::domain::event::Seq;
use crate::domain::time::{MILLI, Nanos};
use crate::replay::cursor::Cursor;
use rustix::fs::{Advice, fadvise};
use std::fs::{self, File};
use std::path::Path;

/// Passes the whole journal and leaves snapshots behind; loads every one of them.
///
/// # Errors
/// The journal's.
pub fn snapshots(bench: &mut Bench<'_>, spacing: u64, bar: &ProgressBar) -> Result<SnapshotFigures, Failure> {
    let mut cursor = Cursor::open(bench.dir)?;
    // Made here, between two inputs, so that they can be timed.
    cursor.snapshots().set_spacing(0);
    let (mut saves, mut state_bytes) = (Vec::new(), 0);
    while cursor.step(&mut ())? {
        if !cursor.seq().0.is_multiple_of(spacing) {
            continue;
        }
        bar.show(0, 0, &format!("snapshots: input {}", cursor.seq().0));
        let began = bench.clock.mono_ns();
        let snapshot = cursor.snapshot()?;
        cursor.snapshots().keep(&snapshot);
        saves.push(bench.clock.mono_ns() - began);
        state_bytes = state_bytes.max(snapshot.state().len() as u64);
    }
    let mut loads = Vec::new();
    let list = cursor.snapshots().list();
    let mut file_bytes = 0;
    for seq in &list {
        file_bytes += fs::metadata(cursor.snapshots().path(*seq))?.len();
        let mut at = Cursor::open(bench.dir)?;
        let began = bench.clock.mono_ns();
        at.seek(*seq, &mut (), &mut |_| {})?;
        loads.push(bench.clock.mono_ns() - began);
    }
    if let Some(told) = cursor.snapshots().take_told().first() {
        return Err(told.clone().into());
    }
    Ok(SnapshotFigures {
        spacing,
        count: list.len() as u64,
        state_bytes,
        file_bytes,
        save_ms: median_ms(&mut saves),
        load_ms: median_ms(&mut loads),
    })
}

/// Goes to places that a fixed sequence draws, each from nothing and from files that are in no cache.
///
/// # Errors
/// The journal's.
pub fn seek(bench: &mut Bench<'_>, last: Seq, count: u64, bar: &ProgressBar) -> Result<SeekFigures, Failure> {
    let mut draw = 0x9E37_79B9_7F4A_7C15_u64;
    let mut took = Vec::new();
    let (mut max_ns, mut max_inputs) = (0, 0);
    for done in 0..count {
        bar.show(done, count, "seeks");
        draw = draw.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = Seq(1 + ((u128::from(draw) * u128::from(last.0)) >> 64) as u64);
        forget(bench.dir)?;
        let began = bench.clock.mono_ns();
        let mut cursor = Cursor::open(bench.dir)?;
        cursor.seek(to, &mut (), &mut |_| {})?;
        let ns = bench.clock.mono_ns() - began;
        if cursor.seq() != to {
            return Err(format!("a seek to input {} ended at {}", to.0, cursor.seq().0).into());
        }
        took.push(ns);
        if ns > max_ns {
            let before = cursor.snapshots().list().into_iter().rfind(|seq| *seq <= to).unwrap_or_default();
            (max_ns, max_inputs) = (ns, to.0 - before.0);
        }
    }
    Ok(SeekFigures { count, p50_ms: median_ms(&mut took), max_ms: ms(max_ns), max_inputs })
}

fn ms(ns: Nanos) -> f64 {
    ns as f64 / MILLI as f64
}

fn median_ms(ns: &mut [Nanos]) -> f64 {
    ns.sort_unstable();
    ns.get(ns.len() / 2).map_or(0.0, |ns| ms(*ns))
}

/// The page cache is to forget the files of a directory; where it does not, a seek is only faster.
fn forget(dir: &Path) -> Result<(), Failure> {
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() {
            let _ = fadvise(File::open(path)?, 0, None, Advice::DontNeed);
        }
    }
    Ok(())
}
