//! `perpring backup` and `perpring restore`: journals to a directory or a bucket and back.

use super::progress::ProgressBar;
use super::stop::{self, EXIT_STOPPED};
use super::{CliError, Failure};
use crate::backup::{self, BackupError, Choice, Listings, Plan, Store, Taken};
use crate::runtime::clock::ClockOrigin;
use clap::Args;
use std::path::{Path, PathBuf};

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
    /// Remove older backups of the same directory than the newest so many.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub keep: Option<u32>,
    /// Remove backups of the same directory that are older than so many days; with `--keep`, those that neither keeps.
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
    /// The newest of this directory, by its name or the beginning of a run in it; needed where the backups are of several.
    #[arg(long, value_name = "NAME", conflicts_with = "backup")]
    pub of: Option<String>,
    /// Only list the backups.
    #[arg(long, conflicts_with_all = ["to", "backup", "of"])]
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

/// Whether `place`, which need not exist, lies inside of the directory `dir`.
fn is_inside(place: &Path, dir: &Path) -> bool {
    let (Ok(dir), Ok(place)) = (dir.canonicalize(), std::path::absolute(place)) else { return false };
    place.ancestors().find_map(|part| part.canonicalize().ok()).is_some_and(|there| there.starts_with(&dir))
}

/// Says that a command was ended before its time, where that is why it failed.
fn stopped<T>(done: Result<T, BackupError>, left: &str) -> Result<Option<T>, Failure> {
    match done {
        Err(BackupError::Stopped) => {
            tell!("perpring: stopped; {left}");
            Ok(None)
        }
        done => Ok(Some(done?)),
    }
}

/// Runs `backup`: 0 it is made, 1 it is made and what should have gone was left because a listing is damaged.
///
/// # Errors
/// Why there is no backup.
pub fn back_up(args: &BackupArgs) -> Result<u8, Failure> {
    if !args.to.contains("://") && is_inside(Path::new(&args.to), &args.dir) {
        let what = format!("{} lies inside of {}, which is to be backed up", args.to, args.dir.display());
        return Err(CliError::Argument(what).into());
    }
    let store = Store::open(&args.to, true)?.until(stop::flag()?);
    let plan = Plan {
        dir: args.dir.clone(),
        also: args.also.clone(),
        keep: args.keep.map(|keep| keep as usize),
        keep_days: args.keep_days,
        grace_ns: GRACE_NS,
    };
    let now = ClockOrigin::begin().anchor().2;
    let bar = ProgressBar::new();
    let taken = backup::take(&store, &plan, now, &mut show(&bar));
    drop(bar);
    let left = "there is no new backup; the next one goes on with what was sent";
    let Some(taken) = stopped(taken, left)? else { return Ok(EXIT_STOPPED) };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&taken)?)?;
    } else {
        tell_taken(&taken)?;
    }
    let Some(why) = &taken.kept_all else { return Ok(0) };
    tell!("perpring: the backup is made, and no older one was removed: {why}");
    Ok(1)
}

fn tell_taken(taken: &Taken) -> Result<(), CliError> {
    say!("backup {} of {}: {} files, {} bytes", taken.id, taken.source, taken.files, taken.bytes)?;
    match taken.files - taken.sent_files {
        0 => say!("sent all of them")?,
        had if had == taken.files => say!("sent nothing: the store had all of them")?,
        had => say!(
            "sent {} files, {} bytes; the store had the other {had}",
            taken.sent_files,
            taken.sent_bytes
        )?,
    }
    if taken.removed_backups + taken.removed_objects > 0 {
        say!("removed {} older backups of it, {} objects", taken.removed_backups, taken.removed_objects)?;
    }
    Ok(())
}

/// 0 all listings are whole, 1 some are damaged.
fn list(store: &Store, args: &RestoreArgs) -> Result<u8, Failure> {
    let Listings { good, damaged } = backup::listings(store)?;
    if args.json {
        say!("{}", serde_json::to_string_pretty(&good)?)?;
    } else if good.is_empty() && damaged.is_empty() {
        say!("no backup in {}; one that was interrupted does not count", args.from)?;
    } else {
        for listing in good {
            let of = listing.source.as_ref().map_or("not said of what".to_owned(), ToString::to_string);
            say!("{}  {of}  {} files, {} bytes", listing.id, listing.files.len(), listing.bytes())?;
        }
    }
    for (_, why) in &damaged {
        tell!("perpring: {why}");
    }
    Ok(u8::from(!damaged.is_empty()))
}

/// Runs `restore`.
///
/// # Errors
/// Why nothing was restored.
pub fn restore(args: &RestoreArgs) -> Result<u8, Failure> {
    let store = Store::open(&args.from, false)?;
    let Some(dir) = args.to.as_ref().filter(|_| !args.list) else { return list(&store, args) };
    let store = store.until(stop::flag()?);
    let choice = match (&args.backup, &args.of) {
        (Some(id), _) => Choice::Backup(id),
        (None, Some(of)) => Choice::Of(of),
        (None, None) => Choice::Newest,
    };
    let bar = ProgressBar::new();
    let restored = backup::restore(&store, choice, dir, &mut show(&bar));
    drop(bar);
    let left = "nothing was restored, and nothing is left of it";
    let Some(restored) = stopped(restored, left)? else { return Ok(EXIT_STOPPED) };
    if args.json {
        say!("{}", serde_json::to_string_pretty(&restored)?)?;
        return Ok(0);
    }
    let of = restored.source.as_ref().map_or(String::new(), |source| format!(" of {source}"));
    say!(
        "restored backup {}{of} to {}: {} files, {} bytes, every hash checked",
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
