//! A rehearsal walks the way of an order and leaves no trace: not in a journal, not in a state, not in memory.

use crate::alloc::allocations;
use crate::simulated::{START, TempDir, sim_config, simulation};
use perpring::domain::effect::{MessageId, OutMsg};
use perpring::domain::input::{Input, RawInput, SendFate};
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::time::{MICRO, Nanos, SECOND};
use perpring::journal::{JournalOptions, Manifest, RunId};
use perpring::replay::source::{Inputs, RunConfig};
use perpring::sim::SimConfig;
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, Rehearsal, River};
use perpring::topology::fused::Egress;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::world;
use std::collections::BTreeMap;
use std::path::Path;

/// Steps after each input: more than a whole round, so that rounds begin and end anywhere.
const STEPS: usize = 4;

/// Time, input and its bytes.
type Recorded = (Nanos, Input, Vec<u8>);

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a journal").map(|entry| entry.expect("listed").path())
        {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                let name = entry.strip_prefix(dir).expect("inside").to_string_lossy().into_owned();
                found.insert(name, std::fs::read(entry).expect("readable"));
            }
        }
    }
    assert!(found.values().map(Vec::len).sum::<usize>() > 10_000, "the journal is not empty");
    found
}

struct Trace {
    journal: BTreeMap<String, Vec<u8>>,
    /// Everything that scan and risk know, and the budgets of route.
    states: Vec<String>,
    messages: u64,
    /// Imagined messages that reached the gate, by venue.
    imagined: [u64; 3],
    /// Steps that allocated.
    allocated: u64,
}

/// Passes recorded inputs through a river and records what comes out, rehearsing after every input or never.
fn pass(config: &RunConfig, sim: &SimConfig, inputs: &[Recorded], steps: usize) -> Trace {
    let dir = TempDir::new();
    let bytes = config.to_bytes();
    let manifest = Manifest { run_id: RunId(42), ..manifest(&bytes, START, BTreeMap::new()) };
    let options = JournalOptions { segment_bytes: 4 << 20, helper: false, ..JournalOptions::default() };
    let recorder = Recorder::create(dir.path(), &manifest, &options).expect("a fresh directory");
    let mut river = River::new(Parts::new(&config.params, true).expect("known dialects"));
    let mut keeper = Keeper::new(Some(recorder));
    let mut rehearsal = Rehearsal::default();
    let (mut vault, mut sealed) = (Vault::new(world::credentials(sim)), Vec::with_capacity(8_192));
    let (mut imagined, mut allocated, mut states) = ([0; 3], 0, Vec::new());
    for (index, (mono, input, bytes)) in inputs.iter().enumerate() {
        river.input(&RawInput { mono: *mono, input: *input, bytes }, &mut keeper);
        let before = allocations();
        for _ in 0..steps {
            river.rehearse(&mut rehearsal, &mut |message| {
                let order = message.meta.order.expect("an order");
                // As the gateway: what takes long to sign is not signed for practice.
                if !message.payload.scheme.is_slow() {
                    vault.seal(order.venue.index(), &message.payload, &mut sealed).expect("credentials");
                }
                assert_eq!(message.meta.message, MessageId(0), "no number of a message is used");
                imagined[order.venue.index()] += 1;
            });
        }
        allocated += u64::from(allocations() > before);
        if index % 4_000 == 0 || index + 1 == inputs.len() {
            let parts = river.parts();
            let risk = serde_json::to_string(parts.risk.rules()).expect("plain data");
            states.push(format!("{:?} {:?} {risk}", parts.scan.scanner(), parts.route.budgets()));
        }
    }
    let messages = river.parts().route.messages();
    keeper.into_parts().0.expect("recorded").close().expect("temporary disk");
    Trace { journal: files(dir.path()), states, messages, imagined, allocated }
}

/// A recorded run, with what it was made of.
fn recorded(seconds: i64) -> (SimConfig, RunConfig, Vec<Recorded>) {
    let dir = TempDir::new();
    let sim = sim_config(7, &["binance-usdm", "hyperliquid", "okx"], |_| {});
    let (mut simulation, config) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(seconds * SECOND);
    crate::simulated::close(simulation);
    let mut source = Inputs::open(dir.path()).expect("a journal");
    let mut inputs = Vec::new();
    while let Some((_, raw)) = source.next().expect("undamaged") {
        inputs.push((raw.mono, raw.input, raw.bytes.to_vec()));
    }
    (sim, config, inputs)
}

#[test]
fn rehearsals_after_every_input_change_no_byte_of_the_journal_and_no_state_and_allocate_nothing() {
    let (sim, config, inputs) = recorded(20);
    let without = pass(&config, &sim, &inputs, 0);
    let with = pass(&config, &sim, &inputs, STEPS);
    assert!(without.messages > 20 && without.imagined == [0; 3]);
    assert!(with.imagined.iter().all(|count| *count > 1_000), "imagined orders: {:?}", with.imagined);
    assert_eq!(with.messages, without.messages);
    assert_eq!(with.allocated, 0, "steps that allocated");
    for (at, (with, without)) in with.states.iter().zip(&without.states).enumerate() {
        assert!(with == without, "the states differ at look {at}");
    }
    assert!(with.journal == without.journal, "the journals differ");
}

/// Takes imagined messages, and has nothing to do with real ones.
#[derive(Default)]
struct Nowhere(u64);

impl Egress for Nowhere {
    fn send(&mut self, _: &OutMsg, _: Nanos) -> Option<SendFate> {
        panic!("a rehearsal sent a message");
    }

    fn rehearse(&mut self, _: &OutMsg) {
        self.0 += 1;
    }
}

#[test]
fn an_engine_that_rehearses_trades_exactly_as_one_that_does_not() {
    let sim = sim_config(7, &["binance-usdm", "hyperliquid", "okx"], |_| {});
    let run = |rehearse: bool| {
        let dir = TempDir::new();
        let scan = ScanParams { edge_persist_ns: 0, ..world::demo_scan() };
        let (mut simulation, _) =
            simulation(&sim, scan, RiskParams::default(), 100 * MICRO, Some(dir.path()));
        let mut nowhere = Nowhere::default();
        for _ in 0..20_000 {
            simulation.run_for(SECOND / 1_000);
            if rehearse {
                let _ = simulation.engine().rehearse(&mut nowhere);
            }
        }
        let counts = *simulation.engine().keeper().watch().counts();
        crate::simulated::close(simulation);
        (counts, files(dir.path()), nowhere.0)
    };
    let (counts, journal, none) = run(false);
    let (counts_rehearsed, journal_rehearsed, imagined) = run(true);
    assert!(counts.trades_opened > 0 && none == 0 && imagined > 1_000, "{counts:?}, {imagined} imagined");
    assert_eq!(counts, counts_rehearsed);
    assert!(journal == journal_rehearsed, "the journals differ");
}
