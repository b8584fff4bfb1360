//! The floor of a journal whose first inputs retention removes: the state behind them, made by replaying them on the thread
//! of the housekeeping, read back and put into fresh stages before anything goes.
//!
//! Beside the segments, in this order: `config.json`, `checks-<N>.json.zst` (what a [`super::check::Checker`] knows), `start-<N>.json.zst`.
//! [`super::part`] reads them.

use super::check::CheckLimits;
use super::cursor::Cursor;
use super::part;
use super::snapshot::{Rules, Snapshot, write_packed, write_whole};
use super::source::read_config;
use crate::domain::event::Seq;
use crate::journal::{Floor, Hash256};
use crate::stage::river::{Parts, River};
use std::error::Error;
use std::fs;
use std::io::Write as _;
use std::path::Path;

/// Inputs between two looks at whether the run ends.
const LOOK_EVERY: u64 = 1024;

/// Lays floors of snapshots.
#[derive(Debug)]
pub struct SnapshotFloor;

impl Floor for SnapshotFloor {
    fn lay(&mut self, dir: &Path, after: u64, go_on: &dyn Fn() -> bool) -> Result<(), String> {
        lay(dir, Seq(after), go_on).map_err(|why| why.to_string())
    }

    fn clear(&mut self, dir: &Path, after: u64) -> Result<(), String> {
        for (seq, path) in part::floors(dir) {
            if seq < Seq(after) {
                fs::remove_file(&path).map_err(|why| format!("{}: {why}", path.display()))?;
            }
        }
        Ok(())
    }
}

fn lay(dir: &Path, after: Seq, go_on: &dyn Fn() -> bool) -> Result<(), Box<dyn Error>> {
    keep_config(dir)?;
    let mut cursor = Cursor::open(dir)?;
    let limits = CheckLimits::of(&cursor.config().params);
    let mut checker = part::checker(dir, cursor.seq(), limits)?;
    while cursor.seq() < after {
        if cursor.seq().0.is_multiple_of(LOOK_EVERY) && !go_on() {
            return Err("the run ended first".into());
        }
        if !cursor.step(&mut checker)? {
            return Err(format!("its record breaks off behind input {}", cursor.seq().0).into());
        }
    }
    checker.forget_old();
    write_packed(&part::checks_path(dir, after), &serde_json::to_vec(&checker)?)?;
    let path = part::start_path(dir, after);
    cursor.snapshot()?.write(&path)?;
    prove(&cursor, &path)
}

/// Reads the snapshot back and puts it into fresh stages, which must save the same.
fn prove(cursor: &Cursor, path: &Path) -> Result<(), Box<dyn Error>> {
    let (manifest, config) = (cursor.manifest(), cursor.config());
    let snapshot = Snapshot::read(path, manifest, cursor.seq(), Rules::Own)?;
    let mut river = River::new(Parts::new(&config.params, config.trading)?);
    let (denials, course) = snapshot.restore(&mut river)?;
    let again = Snapshot::take(manifest, &river, &denials, &course)?;
    if again.sha256 != cursor.snapshot()?.sha256 {
        return Err(
            format!("{}: stages that begin with it are not those that made it", path.display()).into()
        );
    }
    Ok(())
}

/// The recorded configuration as a file, unless it is there.
fn keep_config(dir: &Path) -> Result<(), Box<dyn Error>> {
    let (manifest, bytes, _) = read_config(dir)?;
    if Hash256::of(&bytes).to_string() != manifest.configuration_hash {
        return Err("its configuration is not the one that its manifest names".into());
    }
    let path = dir.join(part::CONFIG_FILE);
    if fs::read(&path).is_ok_and(|kept| kept == bytes) {
        return Ok(());
    }
    Ok(write_whole(&path, |mut file| {
        file.write_all(&bytes)?;
        Ok(file)
    })?)
}
