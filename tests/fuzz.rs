//! The fuzz targets on every run, without instrumentation: each entry of the corpus as it is, then mutated by
//! a seeded generator, so that a failure comes back with the next run. Coverage-guided runs of the same
//! targets: `fuzz/`.

pub mod targets;

use crate::oracle::shared;
use perpring::cli::capture;
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use std::path::{Path, PathBuf};

/// Pieces that parsers trip over.
const TOKENS: [&[u8]; 24] = [
    b"\"",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b"\\",
    b"\\u0000",
    b"null",
    b"true",
    b"-",
    b"-1",
    b"0",
    b"1e9",
    b"9223372036854775807",
    b"18446744073709551616",
    b"0.000000000000000000000000000001",
    b"99999999999999999999.9",
    b"\xff\xfe",
    b"\0",
    b"\r\n\r\n",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{}",
];

/// Ways to write a number that parsers disagree about.
const NUMBERS: [&[u8]; 16] = [
    b"",
    b".6",
    b"7.",
    b"-0",
    b"-1.5",
    b"+1",
    b"01",
    b"1.50",
    b"1e3",
    b"1.2.3",
    b"0",
    b"00.10",
    b"1 ",
    b"0x1",
    b"999999999999999999",
    b"1234567890123456789012345",
];

/// Says which bytes broke a promise, as they could be put into the corpus.
struct Culprit<'a>(&'a str, &'a [u8]);

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{} broke on: {}", self.0, self.1.escape_ascii());
        }
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).expect("a corpus").map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    let entries: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("readable")).collect();
    assert!(!entries.is_empty(), "{}: empty", folder.display());
    entries
}

/// One to four edits of an entry.
fn mutate(random: &mut ChaCha8Rng, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = entries[random.random_range(0..entries.len())].clone();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..bytes.len() + 1);
        let end = (at + random.random_range(0..24)).min(bytes.len());
        match random.random_range(0..12) {
            0 if at < bytes.len() => bytes[at] = random.next_u32() as u8,
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            // A digit becomes another: valid, and different.
            2 => {
                if let Some(digit) = bytes[at..].iter_mut().find(|byte| byte.is_ascii_digit()) {
                    *digit = b'0' + random.random_range(0..10) as u8;
                }
            }
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            5 => drop(bytes.splice(at..end, TOKENS[random.random_range(0..TOKENS.len())].iter().copied())),
            6 => drop(bytes.splice(at..at, TOKENS[random.random_range(0..TOKENS.len())].iter().copied())),
            7 => bytes.truncate(at),
            8..11 => {
                let number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
                let from = at + bytes[at..].iter().position(number).unwrap_or(0);
                let len = bytes[from..].iter().take_while(|byte| number(byte)).count();
                let other = NUMBERS[random.random_range(0..NUMBERS.len())];
                drop(bytes.splice(from..from + len, other.iter().copied()));
            }
            _ => {
                let other = &entries[random.random_range(0..entries.len())];
                let from = random.random_range(0..other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
    bytes
}

/// Every entry, then `rounds` mutations of them.
fn drive(target: &str, entries: &[Vec<u8>], rounds: usize, body: fn(&[u8])) {
    let mut random = ChaCha8Rng::seed_from_u64(rounds as u64);
    let mutated = (0..rounds).map(|_| mutate(&mut random, entries));
    for bytes in entries.iter().cloned().chain(mutated) {
        let _culprit = Culprit(target, &bytes);
        body(&bytes);
    }
}

#[test]
fn decoders_never_panic_and_short_cuts_equal_the_general_path() {
    drive("decode", &corpus("decode"), 40_000, targets::venues::decode);
}

#[test]
fn decoders_hold_with_mutated_captures() {
    let Some(shared) = shared() else { return };
    let mut entries = Vec::new();
    for venue in ["binance-usdm", "okx"] {
        let folder = shared.join("corpus").join(venue).join("capture");
        let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
            .expect("captures")
            .map(|entry| entry.expect("readable").path())
            .collect();
        files.sort();
        // The small ones: what is sampled here are kinds of messages.
        files.retain(|path| path.metadata().is_ok_and(|meta| meta.len() < 200_000));
        for file in files {
            let mut seen = 0;
            let _ = capture::read(&[file], |line| {
                seen += 1;
                if seen % 16 == 1 && line.payload.len() < 2_000 {
                    entries.push(line.payload.to_vec());
                }
                Ok(())
            });
        }
    }
    println!("{} entries", entries.len());
    if !entries.is_empty() {
        drive("decode", &entries, 20_000, targets::venues::decode);
    }
}

#[test]
fn adapters_never_panic_and_twins_agree() {
    let entries: Vec<Vec<u8>> =
        corpus("adapter").into_iter().chain([corpus("decode").join(&b'\n')]).collect();
    drive("adapter", &entries, 3_000, targets::venues::adapter);
}

#[test]
fn an_edited_journal_never_tells_what_nobody_wrote() {
    drive("journal", &corpus("journal"), 40, targets::journal::journal);
}

#[test]
fn the_configuration_parser_points_at_what_is_wrong() {
    let example = include_bytes!("../docs/config.example.toml").to_vec();
    let entries: Vec<Vec<u8>> = corpus("config").into_iter().chain([example]).collect();
    drive("config", &entries, 20_000, targets::config);
}

#[test]
fn lines_of_the_debugger_are_commands_or_errors_that_point() {
    drive("expression", &corpus("expression"), 4_000, targets::expression);
}

#[test]
fn web_socket_framing_equals_an_independent_implementation() {
    drive("frames", &corpus("frames"), 30_000, targets::wire::frames);
}

#[test]
fn http_from_strangers_is_an_answer_or_an_error_without_secrets() {
    drive("http", &corpus("http"), 300, targets::wire::http);
}
