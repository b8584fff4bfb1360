//! Bundles of incidents: every bug found so far stays found. Each file of `tests/incidents/` is replayed and must hold what
//! it expects; bugs that are planted again break it.

use crate::simulated::{TempDir, changed_simulation, sim_config};
use perpring::domain::effect::HttpId;
use perpring::domain::event::EventBody;
use perpring::domain::input::{Command, ConnId, DownReason, FrameMeta};
use perpring::domain::instrument::{Instrument, InstrumentId};
use perpring::domain::order::ClientId;
use perpring::domain::params::RiskParams;
use perpring::domain::standing::Pace;
use perpring::domain::state::{State, StateError};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::bundle::judge::{Verdict, judge, judge_built};
use perpring::replay::bundle::write::{Request, write};
use perpring::replay::place::duration;
use perpring::sim::FaultPlan;
use perpring::stage::river::Parts;
use perpring::topology::world;
use perpring::venue::copies::CopyCounts;
use perpring::venue::{Adapter, Emit, Out};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Where the bundles lie.
const DIR: &str = "tests/incidents";
/// Each stays small: it is in every checkout.
const BYTES_MAX: u64 = 1 << 20;

/// An incident that the simulated venues make again.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Incident {
    name: String,
    venues: Vec<String>,
    /// A plan of faults.
    faults: String,
    /// Simulated seconds of the whole run.
    seconds: i64,
    /// The place of the bundle.
    around: String,
    /// Time before and after it.
    before: String,
    after: String,
    expect: String,
    notes: String,
}

/// All of them: the worlds that the bundles were made of.
fn incidents() -> Vec<Incident> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR).join("incidents.toml"));
    let file: BTreeMap<String, Vec<Incident>> = toml::from_str(&text.expect("the list")).expect("the list");
    file.into_values().flatten().collect()
}

/// Records the world of an incident: one busy instrument, so that few seconds hold many trades.
fn record(dir: &Path, incident: &Incident) {
    let venues: Vec<&str> = incident.venues.iter().map(String::as_str).collect();
    let sim = sim_config(7, &venues, |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        for venue in &mut sim.venues {
            venue.levels = 6;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    });
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let params = world::engine_params(&sim, 7, world::demo_scan(), risk);
    let plan = FaultPlan::parse("faults", &incident.faults).expect("a plan");
    let (mut simulation, _) = changed_simulation(params, &sim, 100 * MICRO, Some(dir), &plan);
    simulation.run_for((incident.seconds - 3) * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(3 * SECOND);
    let (engine, _) = simulation.into_parts();
    engine.into_parts().1.into_parts().0.expect("recorded").close().expect("temporary disk");
}

/// Makes the bundle of an incident.
fn make(incident: &Incident, out: &Path) {
    let dir = TempDir::new();
    record(dir.path(), incident);
    let time = |text: &str| duration(text).expect("a length of time");
    let request = Request {
        dir: dir.path(),
        around: incident.around.parse().expect("a place"),
        said: &incident.around,
        before: time(&incident.before),
        after: time(&incident.after),
        out,
        expect: Some(incident.expect.clone()),
        notes: incident.notes.clone(),
    };
    let written = write(&request, &mut |_| {}).expect("a bundle");
    println!("{}: {} bytes, {:?}", incident.name, written.bytes, written.about.members.keys());
    println!("{:#?}", written.verdict.outcomes);
    assert!(written.verdict.divergence.is_none(), "{:?}", written.verdict.divergence);
    assert!(written.about.blanked.is_empty(), "{:?}", written.about.blanked);
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR).join(format!("{name}.ppz"))
}

/// Writes `tests/incidents/` anew: only where a bundle is added, never to make a failing one pass.
#[test]
#[ignore = "writes the bundles that are missing"]
fn missing_bundles_are_written() {
    for incident in incidents().iter().filter(|incident| !path(&incident.name).exists()) {
        make(incident, &path(&incident.name));
    }
}

fn told(name: &str, verdict: &Verdict) -> String {
    let broken: Vec<_> = verdict.outcomes.iter().filter(|outcome| !outcome.met).collect();
    format!("{name}: {broken:#?}; {:?}", verdict.divergence)
}

#[test]
fn every_bug_found_so_far_stays_found() {
    let mut count = 0;
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR);
    for entry in fs::read_dir(dir).expect("the bundles") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|end| end != "ppz") {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(fs::metadata(&path).expect("a file").len() <= BYTES_MAX, "{name} is too large");
        let bundle = Bundle::open(&path).expect("a bundle");
        assert!(bundle.text("notes.md").contains("Bug"), "{name}: its notes name the bug");
        let verdict = judge(&bundle).expect("a bundle");
        assert!(verdict.is_met(), "{}", told(&name, &verdict));
        count += 1;
    }
    assert_eq!(count, incidents().len(), "one bundle for each incident of the list");
}

/// What an adapter with a bug makes of what the right one made.
type Bug = fn(&mut Vec<Emit>);

/// An adapter with a bug.
struct Buggy(Box<dyn Adapter>, Bug);

impl Buggy {
    fn spoil(&self, out: &mut Out) {
        let mut items = out.items().to_vec();
        (self.1)(&mut items);
        out.clear();
        items.into_iter().for_each(|item| out.emit(item));
    }
}

impl State for Buggy {
    fn save(&self) -> Result<String, StateError> {
        self.0.save()
    }
    fn load(&mut self, saved: &str) -> Result<(), StateError> {
        self.0.load(saved)
    }
}

impl Adapter for Buggy {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_start(now, out);
    }
    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out) {
        self.0.on_conn_up(conn, epoch, now, out);
    }
    fn on_conn_down(&mut self, conn: ConnId, epoch: u32, reason: DownReason, now: Stamp, out: &mut Out) {
        self.0.on_conn_down(conn, epoch, reason, now, out);
        self.spoil(out);
    }
    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out) {
        self.0.on_frame(meta, frame, now, out);
        self.spoil(out);
    }
    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        self.0.on_http(id, status, body, now, out);
        self.spoil(out);
    }
    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out) {
        self.0.on_instrument(instrument, now, out);
    }
    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_order_wrong(now, out);
    }
    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_tick(now, out);
        self.spoil(out);
    }
    fn on_pace(&mut self, pace: &Pace, now: Stamp, out: &mut Out) {
        self.0.on_pace(pace, now, out);
    }
    fn funding_interval(&self, listing: InstrumentId) -> Option<Nanos> {
        self.0.funding_interval(listing)
    }
    fn copies(&self) -> Option<&CopyCounts> {
        self.0.copies()
    }
    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        self.0.depart(conn, now, out);
    }
    fn on_stop(&mut self, now: Stamp, out: &mut Out) {
        self.0.on_stop(now, out);
    }
}

/// The bundle replayed by an engine all of whose adapters have the bug: the expectations that it breaks.
fn broken_by(name: &str, bug: Bug) -> Vec<String> {
    let bundle = Bundle::open(&path(name)).expect("a bundle");
    assert!(judge(&bundle).expect("a bundle").is_met(), "without the bug it holds");
    let build = move |config: &perpring::replay::source::RunConfig| {
        Parts::with_adapters(&config.params, config.trading, |adapter| Box::new(Buggy(adapter, bug)))
    };
    let verdict = judge_built(&bundle, Box::new(build)).expect("a bundle");
    let broken = verdict.outcomes.iter().filter(|outcome| !outcome.met);
    broken.map(|outcome| format!("{}: {}", outcome.name, outcome.found)).collect()
}

#[test]
fn an_adapter_that_drops_executions_that_no_order_explains_breaks_its_bundle() {
    let broken = broken_by("taken-during-an-outage", |items| {
        items.retain(|item| !matches!(item, Emit::Report(report) if report.client_id == ClientId::NONE));
    });
    assert!(broken.iter().any(|what| what.starts_with("what the venue took away is found")), "{broken:?}");
}

#[test]
fn an_adapter_that_does_not_tell_a_lock_breaks_its_bundle() {
    let broken = broken_by("locked-contract", |items| {
        items.retain(|item| !matches!(item, Emit::Event(EventBody::Lock(_))));
    });
    assert!(broken.iter().any(|what| what.starts_with("the lock is seen")), "{broken:?}");
}
