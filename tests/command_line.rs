//! The program itself, as a shell sees it: exit codes and words when its output is closed or full, or when
//! its arguments make no sense.

use crate::simulated::TempDir;
use perpring::journal::{JournalOptions, Manifest, Record, RunId, Stream, Writer};
use std::process::{Command, Output, Stdio};

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.example.toml");

fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perpring"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_reader_that_has_gone_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = program(&["check-config", EXAMPLE]).stdout(writer).output().expect("the program");
    assert_eq!((output.status.code(), said(&output).as_str()), (Some(0), ""));
}

#[test]
fn output_that_cannot_be_written_is_said() {
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = program(&["check-config", EXAMPLE]).stdout(full).output().expect("the program");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("cannot write the output"), "{}", said(&output));
}

#[test]
fn a_run_goes_on_when_nobody_reads_its_progress() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let args =
        ["demo", "--for", "2s", "--json", "--instruments", "1", "--pinning", "fused", "--idle", "park"];
    let output = program(&args).stderr(writer).stdout(Stdio::piped()).output().expect("the program");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert!(report["frames"].as_u64() > Some(0), "{report}");
}

#[test]
fn arguments_without_sense_cannot_run() {
    for (args, expected) in [
        (&["demo", "--venues", "binance"][..], "two venues are needed"),
        (&["demo", "--for", "0s"], "a run of no time"),
        (&["demo", "--for", "9999999999999999999h"], "is no time"),
        (&["demo", "--for", "5"], "write it with its unit"),
        (&["demo", "--faults", "nowhere/faults.toml"], "nowhere/faults.toml"),
        (&["demo", "--faults", EXAMPLE], "line 9: unknown field `engine`"),
        (&["sim", "--faults", EXAMPLE], "line 9: unknown field `engine`"),
        (&["bench", "hop", "--seconds", "0"], "not in 1..=3600"),
        (&["journal", "dump", "nowhere", "--from", "3", "--to", "2"], "--from 3 lies after --to 2"),
        (&["decode", "--venue", "okx", "nowhere/capture"], "nowhere/capture"),
    ] {
        let output = program(args).output().expect("the program");
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(expected), "{args:?}: {}", said(&output));
    }
}

#[test]
fn a_journal_that_cannot_be_made_is_said_before_anything_runs() {
    let output = program(&["demo", "--for", "2s", "--journal", "/nowhere/at/all/journal"])
        .output()
        .expect("the program");
    let said = said(&output);
    assert!(
        output.status.code() == Some(2) && said.contains("/nowhere/at/all"),
        "{:?}: {said}",
        output.status
    );
    assert!(!said.contains("frames"), "nothing ran: {said}");
}

#[test]
fn a_configuration_that_cannot_be_parsed_is_named_with_line_and_key() {
    let folder = std::env::temp_dir().join(format!("perpring-bad-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary disk");
    let example = std::fs::read_to_string(EXAMPLE).expect("the example");
    let line_of = |text: &str, part: &str| {
        text.lines().position(|line| line.starts_with(part)).expect("it is there") + 1
    };
    for (from, to, key) in [
        ("leverage = 5", "leverage = \"five\"", "leverage"),
        ("threshold_bps = 1.0", "treshold_bps = 1.0", "treshold_bps"),
        ("live = false", "live = maybe", "live"),
        ("notional_usd = 1000", "notional_usd = ", "notional_usd"),
    ] {
        let text = example.replacen(from, to, 1);
        let line = line_of(&text, to.trim_end());
        let path = folder.join("bad.toml");
        std::fs::write(&path, &text).expect("temporary disk");
        let path = path.display().to_string();
        for (args, code) in [(&["check-config", &path][..], 1), (&["run", "--config", &path], 2)] {
            let output = program(args).output().expect("the program");
            let said = String::from_utf8_lossy(&output.stdout).into_owned() + &said(&output);
            assert_eq!(output.status.code(), Some(code), "{args:?}, {to}: {said}");
            assert!(
                said.contains(&format!("line {line}")) && said.contains(key),
                "{to}, line {line}: {said}"
            );
        }
    }
    std::fs::remove_dir_all(folder).expect("clean up");
}

#[test]
fn a_journal_that_a_crash_left_is_recovered_and_then_packed() {
    let dir = TempDir::new();
    let journal = dir.path().join("journal");
    let manifest = Manifest { run_id: RunId(7), ..Manifest::default() };
    let options = JournalOptions { helper: false, segment_bytes: 8192, ..JournalOptions::default() };
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    for stream in Stream::ALL {
        let mut writer = Writer::create(&journal, stream, &manifest, &options).expect("a fresh directory");
        for seq in 1..=100 {
            let record = Record { kind: 1, seq, parts: &[&[7; 200]], ..Record::default() };
            writer.append(&record).expect("temporary disk");
        }
        // Dropped without an end: what a crash leaves.
    }
    let journal = journal.to_str().expect("text");
    let ran = |args: &[&str], code: i32, word: &str| {
        let output = program(args).output().expect("the program");
        let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), said(&output));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {words}");
        assert!(words.contains(word), "{args:?}: {words}");
    };
    ran(&["journal", "pack", journal], 2, "run `perpring journal recover` first");
    ran(&["journal", "recover", journal], 0, "inputs: 100 records, the last with sequence 100");
    ran(&["journal", "recover", journal], 0, "closed in order");
    ran(&["journal", "pack", journal], 0, "compressed");
    ran(&["journal", "verify", journal], 0, "no damage");
    ran(&["journal", "recover", "nowhere"], 2, "nowhere");
}

#[test]
fn a_run_is_seen_by_its_process_while_it_goes_on() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let journal = dir.path().join("journal");
    let args =
        ["demo", "--for", "60s", "--instruments", "1", "--pinning", "fused", "--idle", "park", "--journal"];
    let mut demo =
        program(&args).arg(&journal).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a run");
    let pid = demo.id().to_string();
    // Until it has its counters there is nothing to see.
    let seen = loop {
        let output = program(&["top", &pid, "--json"]).output().expect("the program");
        if output.status.success() || demo.try_wait().expect("a child").is_some() {
            break output;
        }
    };
    demo.kill().and_then(|()| demo.wait()).expect("a child");
    assert_eq!(seen.status.code(), Some(0), "{}", said(&seen));
    let seen: serde_json::Value = serde_json::from_slice(&seen.stdout).expect("a snapshot");
    assert_eq!(seen["running"], true, "{seen}");
    let shown =
        std::path::Path::new(seen["dir"].as_str().expect("a directory")).canonicalize().expect("it is there");
    assert_eq!(shown, journal.canonicalize().expect("it is there"));
}
