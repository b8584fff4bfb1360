//! What a venue sent is what we recorded: its own hash over the frames of each connection, as `--ledger` writes
//! it, equals the hash over the frames in our journal.

use crate::simulated::{TempDir, sim_config, simulation};
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::domain::codec::decode_input;
use perpring::domain::input::{FrameKind, Input};
use perpring::domain::params::RiskParams;
use perpring::domain::time::SECOND;
use perpring::journal::{Reader, Stream};
use perpring::replay::source::read_config;
use perpring::runtime::idle::IdleMode;
use perpring::topology::world;
use perpring::venue::{connections, dialect};
use ring::digest::{Context, SHA256};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Frames, bytes and hash of one connection, told the way the ledger tells them.
type Row = (u64, u64, String);

/// Per venue (by number), the rows of its connections: every text frame in the journal, in recorded order, by
/// connection and epoch.
fn recorded(dir: &Path) -> Vec<Vec<Row>> {
    let (_, _, config) = read_config(dir).expect("a journal");
    let mut venue_of = Vec::new();
    for (venue, params) in config.params.venues.iter().enumerate() {
        let dialect = dialect(&params.dialect).expect("it ran");
        venue_of.extend(connections(dialect, params.market_copies, config.trading).iter().map(|_| venue));
    }
    let mut sums: BTreeMap<(u8, u32), (Context, u64, u64)> = BTreeMap::new();
    let mut reader = Reader::open(dir, Stream::Inputs).expect("a journal");
    while let Some(record) = reader.next().expect("undamaged") {
        let (input, bytes) = decode_input(record.body).expect("a known input");
        match input {
            // Sessions without a frame are rows too.
            Input::ConnUp { conn, epoch } => {
                sums.entry((conn.0, epoch)).or_insert_with(|| (Context::new(&SHA256), 0, 0));
            }
            Input::Frame(meta) if meta.kind == FrameKind::Text => {
                let key = (meta.conn.0, meta.epoch);
                let (hash, frames, size) = sums.entry(key).or_insert_with(|| (Context::new(&SHA256), 0, 0));
                hash.update(bytes);
                hash.update(b"\n");
                (*frames, *size) = (*frames + 1, *size + bytes.len() as u64);
            }
            _ => {}
        }
    }
    let mut venues = vec![Vec::new(); config.params.venues.len()];
    for ((conn, _), (hash, frames, bytes)) in sums {
        let hex: String = hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        venues[venue_of[usize::from(conn)]].push((frames, bytes, hex));
    }
    venues.iter_mut().for_each(|rows| rows.sort());
    venues
}

/// The rows of a ledger's `frames.json`.
fn sent(dir: &Path) -> Vec<Row> {
    let text = std::fs::read(dir.join("frames.json")).expect("the ledger");
    let json: Value = serde_json::from_slice(&text).expect("JSON");
    let rows = json["connections"].as_array().expect("a list").iter();
    let number = |row: &Value, key: &str| row[key].as_u64().expect("a number");
    let hex = |row: &Value| row["sha256"].as_str().expect("hex").to_owned();
    let mut rows: Vec<Row> =
        rows.map(|row| (number(row, "frames"), number(row, "bytes"), hex(row))).collect();
    rows.sort();
    rows
}

#[test]
fn every_frame_that_the_venues_sent_in_a_simulated_run_is_in_the_journal() {
    let (dir, books) = (TempDir::new(), TempDir::new());
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    // No latency: nothing is on its way when the run ends.
    let (mut simulation, _) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 0, Some(dir.path()));
    simulation.run_for(20 * SECOND);
    let (engine, mut servers) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
    let recorded = recorded(dir.path());
    for (server, recorded) in servers.iter_mut().zip(&recorded) {
        let books = books.path().join(server.ledger().venue());
        server.write_ledger(&books).expect("temporary disk");
        assert!(recorded.iter().map(|row| row.0).sum::<u64>() > 2_000, "{recorded:?}");
        assert_eq!(&sent(&books), recorded, "{}", server.ledger().venue());
    }
}

#[test]
fn every_frame_of_a_run_over_sockets_is_in_the_journal() {
    let dir = TempDir::new();
    std::fs::create_dir_all(dir.path()).expect("temporary disk");
    let (journal, books) = (dir.path().join("journal"), dir.path().join("books"));
    let args = DemoArgs {
        duration: Some(Duration::from_secs(5)),
        instruments: 2,
        journal: Some(journal.clone()),
        ledger: Some(books.clone()),
        pinning: Some("fused".into()),
        idle: Some(IdleMode::Yield),
        json: true,
        ..DemoArgs::default()
    };
    trade(&args, &Signals::default()).expect("a demo on loopback");
    let recorded = recorded(&journal);
    for (venue, recorded) in ["binance-usdm", "okx"].iter().zip(&recorded) {
        let sent = sent(&books.join(venue));
        assert_eq!(sent.len(), recorded.len(), "{venue}: connections");
        let mut whole = 0;
        for (sent, recorded) in sent.iter().zip(recorded) {
            if sent.0 == recorded.0 {
                assert_eq!(sent, recorded, "{venue}");
                whole += recorded.0;
                continue;
            }
            // We hang up first: what the venue sent until it saw that is in its books only, and its hash with it.
            assert!(recorded.0 < sent.0 && recorded.1 < sent.1, "{venue}: {recorded:?} of {sent:?}");
        }
        assert!(whole > 0, "{venue}: no connection was quiet at the end: {recorded:?}");
    }
}
