//! A full disk under a whole engine, on every profile: a small file system of its own fills up while it trades.

use crate::simulated::TempDir;
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::domain::codec::{decode_input, decode_output};
use perpring::domain::event::Seq;
use perpring::domain::input::{Command as Order, Input};
use perpring::domain::intent::{BasketKind, Intent};
use perpring::domain::output::Output;
use perpring::journal::{Reader, Stream};
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A mounted file system, unmounted at the end.
pub struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is not permitted.
    fn new(at: &Path, kib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let size = format!("size={kib}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().ok()?;
        mounted.status.success().then(|| Self::over(at))
    }

    /// What is mounted there already.
    pub fn over(at: &Path) -> Self {
        Self(at.to_owned())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_stops_trading_cancels_and_leaves_a_record_that_replays() {
    for profile in ["fused", "split", "dedicated"] {
        let dir = TempDir::new();
        // Two streams of 256 KiB segments: room for the first ones and few more.
        let Some(mount) = Mount::new(&dir.path().join("disk"), 3 << 10) else {
            eprintln!("skipped: mounting is not permitted here");
            return;
        };
        let journal = mount.0.join("journal");
        let args = DemoArgs {
            duration: Some(Duration::from_secs(12)),
            instruments: 4,
            journal: Some(journal.clone()),
            pinning: Some(profile.into()),
            idle: Some(IdleMode::Yield),
            segment_kib: 256,
            raw_segments: true,
            json: true,
            ..DemoArgs::default()
        };
        let report = trade(&args, &Signals::default()).expect("the run ends with a report");
        assert!(report.has_finding(), "{profile}: exit code 1");
        let json = serde_json::to_value(&report).expect("plain data");
        println!("{profile}: {json}");
        let failure = json["failure"].as_str().unwrap_or_default();
        assert!(failure.contains("the disk is full") && failure.contains("intact"), "{profile}: {failure}");
        assert!(json["frames"].as_u64() > Some(0), "{profile}");
        // The books agree: nothing was left open or unknown at a venue.
        for ledger in json["ledgers"].as_array().expect("a list") {
            assert_eq!(ledger["equal"], true, "{profile}: {ledger}");
        }
        assert_eq!(json["open_at_end"], 0, "{profile}: trades were closed and orders cancelled");
        let report = verify(&journal, &mut |_| {}).expect("what was recorded can be read");
        assert_eq!(report.divergence, None, "{profile}");
        assert!(report.total() > 100, "{profile}: {report:?}");
    }
}

/// Follows the inputs of a running journal until one is wanted; its sequence.
#[allow(clippy::disallowed_methods)] // a deadline
pub fn follow(
    journal: &Path,
    reader: &mut Option<Reader>,
    what: &str,
    wanted: impl Fn(u64, &Input) -> bool,
) -> u64 {
    let begun = Instant::now();
    loop {
        assert!(begun.elapsed().as_secs() < 120, "{what}");
        if reader.is_none() {
            *reader = Reader::open(journal, Stream::Inputs).ok();
        }
        match reader.as_mut().and_then(|reader| reader.next().expect("a running journal has no damage")) {
            Some(record) => {
                let (input, _) = decode_input(record.body).expect("of this version");
                if wanted(record.seq, &input) {
                    return record.seq;
                }
            }
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_disk_short_of_room_stops_new_trades_until_there_is_room_again() {
    let dir = TempDir::new();
    let Some(mount) = Mount::new(&dir.path().join("disk"), 64 << 10) else {
        eprintln!("skipped: mounting is not permitted here");
        return;
    };
    let (journal, ballast) = (mount.0.join("journal"), mount.0.join("ballast"));
    let args = DemoArgs {
        duration: Some(Duration::from_secs(120)),
        instruments: 4,
        journal: Some(journal.clone()),
        pinning: Some("split".into()),
        idle: Some(IdleMode::Yield),
        segment_kib: 1024,
        space_stop_mib: 16,
        json: true,
        ..DemoArgs::default()
    };
    let signals = Signals::default();
    let stop = Arc::clone(&signals.stop);
    let run = std::thread::spawn(move || trade(&args, &signals).map_err(|failure| failure.to_string()));
    let mut reader = None;
    let told = |short| move |_: u64, input: &Input| *input == Input::Command(Order::JournalSpace { short });
    follow(&journal, &mut reader, "the engine reads the market", |seq, _| seq > 500);
    std::fs::write(&ballast, vec![1; 45 << 20]).expect("room for ballast");
    let short = follow(&journal, &mut reader, "the engine is told of the shortage", told(true));
    follow(&journal, &mut reader, "recording goes on", |seq, _| seq > short + 500);
    std::fs::remove_file(&ballast).expect("ballast");
    let again = follow(&journal, &mut reader, "the engine is told of the room", told(false));
    follow(&journal, &mut reader, "trading goes on", |seq, _| seq > again + 2000);
    stop.store(true, Ordering::Release);
    let report = run.join().expect("no panic").expect("the run ends with a report");
    let json = serde_json::to_value(&report).expect("plain data");
    println!("short from input {short} to {again}: {json}");
    assert_eq!(json["failure"], serde_json::Value::Null);
    let mut outputs = Reader::open(&journal, Stream::Outputs).expect("a journal");
    while let Some(record) = outputs.next().expect("whole") {
        let (key, output, _) = decode_output(Seq(record.seq), record.body).expect("of this version");
        let entry = matches!(output, Output::Approved(Intent::Basket(b)) if b.kind == BasketKind::Entry);
        assert!(!entry || !(short..again).contains(&key.cause.0), "opened at {}", key.cause.0);
    }
    let report = verify(&journal, &mut |_| {}).expect("a readable journal");
    assert_eq!((&report.divergence, report.unrecorded), (&None, 0));
}
