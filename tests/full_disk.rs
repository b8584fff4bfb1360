//! A full disk under a whole engine, on every profile: a small file system of its own fills up while it trades.

use crate::simulated::TempDir;
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A mounted file system, unmounted at the end.
struct Mount(PathBuf);

impl Mount {
    /// `None` where mounting is not permitted.
    fn new(at: &Path, kib: u32) -> Option<Self> {
        std::fs::create_dir_all(at).ok()?;
        let size = format!("size={kib}k");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output().ok()?;
        mounted.status.success().then(|| Self(at.to_owned()))
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
