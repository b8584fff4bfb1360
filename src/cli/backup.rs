//! `perpring backup` and `perpring restore`: journals to a directory or a bucket and back.

use super::Failure;
use super::progress::ProgressBar;
use crate::backup::{self, Plan, Store};
use crate::runtime::clock::ClockOrigin;
use clap::Args;
use std::path::PathBuf;

/// An object that no backup names stays for an hour: another backup may just have sent it.
const GRACE_NS: i64 = 3_600_000_000_000;

/// Arguments of `backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// What to back up: a journal, or a directory of journals; a run may go on writing it.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Where to: a directory, or s3://bucket/prefix with credentials, region and endpoint in AWS_* of the environment.
    #[arg(long, value_name = "DIR|S3")]
    pub to: String,
    /// A file or directory that belongs to it and lies elsewhere: a configuration, ledgers; may be repeated.
    #[arg(long = "also", value_name = "PATH")]
    pub also: Vec<PathBuf>,
    /// Remove older backups than the newest so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Remove backups that are older than so many days; with `--keep`, those that neither keeps.
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_days: Option<u32>,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `restore`.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// Where the backups are.
    #[arg(value_name = "DIR|S3")]
    pub from: String,
    /// The directory to restore; what is there is kept beside it.
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    pub to: Option<PathBuf>,
    /// Which backup; without it the newest.
    #[arg(long, value_name = "ID")]
    pub backup: Option<String>,
    /// Only list the backups.
    #[arg(long, conflicts_with_all = ["to", "backup"])]
    pub list: bool,
    /// One JSON object instead of text.
    #[arg(long)]
    pub json: bool,
}

fn show(bar: &ProgressBar) -> impl FnMut(u64, u64, &str) {
    move |done, whole, path: &str| {
        bar.show(done, whole, &format!("{} of {} MB  {path}", done / 1_000_000, whole / 1_000_000))
    }
}

/// Runs `backup`.
///
/// # Errors
/// Why there is no backup.
pub fn back_up(args: &BackupArgs) -> Result<u8, Failure> {
    let store = Store::open(&args.to, true)?;
    if let (Some(to), Ok(dir)) = (store.dir(), args.dir.canonicalize())
        && to.canonicalize().is_ok_and(|to| to.starts_with(&dir))
    {
        return Err(
            format!("{} lies inside of {}, which is to be backed up", args.to, args.dir.display()).into()
        );
    }
    let plan = Plan {
        dir: args.dir.clone(),
        also: args.also.clone(),
        keep: args.keep.map(|keep| keep as usize),
        keep_days: args.keep_days,
        grace_ns: GRACE_NS,
    };
    let now = ClockOrigin::begin().anchor().2;
    let bar = ProgressBar::new();
    let taken = backup::take(&store, &plan, now, &mut show(&bar))?;
    drop(bar);
    if args.json {
        say!("{}", serde_json::to_string_pretty(&taken)?)?;
        return Ok(0);
    }
    say!("backup {}: {} files, {} bytes", taken.id, taken.files, taken.bytes)?;
    say!("sent {} files, {} bytes; the store had the others", taken.sent_files, taken.sent_bytes)?;
    if taken.removed_backups + taken.removed_objects > 0 {
        say!("removed {} older backups, {} objects", taken.removed_backups, taken.removed_objects)?;
    }
    Ok(0)
}

/// Runs `restore`.
///
/// # Errors
/// Why nothing was restored.
pub fn restore(args: &RestoreArgs) -> Result<u8, Failure> {
    let store = Store::open(&args.from, false)?;
    let Some(dir) = args.to.as_ref().filter(|_| !args.list) else {
        let backups = backup::listings(&store)?;
        if args.json {
            say!("{}", serde_json::to_string_pretty(&backups)?)?;
            return Ok(0);
        }
        for listing in backups {
            say!("{}  {} files, {} bytes", listing.id, listing.files.len(), listing.bytes())?;
        }
        return Ok(0);
    };
    let bar = ProgressBar::new();
    let restored = backup::restore(&store, args.backup.as_deref(), dir, &mut show(&bar))?;
    drop(bar);
    if args.json {
        say!("{}", serde_json::to_string_pretty(&restored)?)?;
        return Ok(0);
    }
    say!(
        "restored backup {} to {}: {} files, {} bytes, every hash checked",
        restored.id,
        dir.display(),
        restored.files,
        restored.bytes
    )?;
    if let Some(before) = restored.before {
        say!("what was there before is now {}", before.display())?;
    }
    Ok(0)
}
