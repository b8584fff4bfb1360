//! Bundles of incidents: every bug found so far stays found. Each file of `tests/incidents/` is replayed and must hold what
//! it expects; bugs that are planted again break it.

use crate::restart::{Desk, lose_tail, until_between_legs};
use crate::simulated::{START, TempDir, changed_simulation, close, sim_config};
use perpring::domain::effect::HttpId;
use perpring::domain::event::EventBody;
use perpring::domain::input::{Command, ConnId, DownReason, FrameMeta, Scope};
use perpring::domain::instrument::{Instrument, InstrumentId};
use perpring::domain::order::ClientId;
use perpring::domain::params::{RiskParams, ScanParams};
use perpring::domain::standing::Pace;
use perpring::domain::state::{State, StateError};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};
use perpring::replay::bundle::file::Bundle;
use perpring::replay::bundle::judge::{Verdict, judge, judge_built};
use perpring::replay::bundle::member;
use perpring::replay::bundle::write::{Request, write};
use perpring::replay::place::duration;
use perpring::sim::{FaultPlan, SimConfig};
use perpring::stage::river::Parts;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::copies::CopyCounts;
use perpring::venue::{Adapter, Emit, Out};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;

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
    /// A plan of faults; empty = nothing goes wrong at the venues.
    #[serde(default)]
    faults: String,
    /// Simulated seconds of the whole run.
    seconds: i64,
    /// When everything is closed, s; without it, three seconds before the end.
    reduce_at: Option<f64>,
    /// Another run came before, and ended so: the bundle is of the run that took over.
    after_run: Option<Before>,
    /// Between two ticks while nothing else comes, ms; without it, 1.
    tick_ms: Option<i64>,
    /// How much later than usual the engine hears that a message was sent, ms.
    #[serde(default)]
    fates_late_ms: i64,
    /// One way between engine and venues, ms; without it, a tenth.
    latency_ms: Option<i64>,
    /// What of the world and of the engine is not as usual.
    #[serde(default)]
    change: Change,
    /// The place of the bundle.
    around: String,
    /// Time before and after it.
    before: String,
    after: String,
    expect: String,
    notes: String,
}

/// How the run before ended.
#[derive(Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Before {
    /// It crashed when one leg had filled and the other order was under way; that one fills while nobody is there.
    BetweenLegs,
    /// The operator killed it, and then it crashed.
    Killed,
    /// Its host lost its power between two legs, and the end of its record, from before that trade was wished for.
    PowerLost,
}

/// Values that replace the usual ones, by their names.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Change {
    sim: Table,
    /// Of every instrument.
    instrument: Table,
    /// Of every venue.
    venue: Table,
    /// Of the venue of that name.
    venues: BTreeMap<String, Table>,
    scan: Table,
    risk: Table,
    /// What the engine knows of every venue.
    params: Table,
}

type Table = serde_json::Map<String, Value>;

/// `of` with the values of `table` in the place of its own.
fn with<T: serde::Serialize + serde::de::DeserializeOwned>(of: &T, table: &Table) -> T {
    let mut value = serde_json::to_value(of).expect("a value");
    for (key, to) in table {
        *value.get_mut(key).unwrap_or_else(|| panic!("there is no `{key}`")) = to.clone();
    }
    serde_json::from_value(value).expect("a value of the same kind")
}

/// All of them: the worlds that the bundles were made of.
fn incidents() -> Vec<Incident> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(DIR).join("incidents.toml"));
    let file: BTreeMap<String, Vec<Incident>> = toml::from_str(&text.expect("the list")).expect("the list");
    file.into_values().flatten().collect()
}

impl Incident {
    /// Its world: one busy instrument, so that few seconds hold many trades.
    fn world(&self) -> SimConfig {
        let venues: Vec<&str> = self.venues.iter().map(String::as_str).collect();
        let change = &self.change;
        let sim = sim_config(7, &venues, |sim| {
            sim.step_ns = 10 * MILLI;
            for instrument in &mut sim.instruments {
                instrument.jump_every_ns = 2 * SECOND;
                *instrument = with(instrument, &change.instrument);
            }
            for venue in &mut sim.venues {
                venue.levels = 6;
                venue.listings.retain(|listing| listing.instrument == 0);
                *venue = with(venue, &change.venue);
                *venue = with(venue, change.venues.get(&venue.name).unwrap_or(&Table::new()));
            }
        });
        with(&sim, &change.sim)
    }

    fn scan(&self) -> ScanParams {
        with(&world::demo_scan(), &self.change.scan)
    }

    fn risk(&self) -> RiskParams {
        let risk = RiskParams {
            consecutive_failures_max: 1_000_000,
            daily_loss_max_usd: 1_000_000,
            ..RiskParams::default()
        };
        with(&risk, &self.change.risk)
    }

    fn plan(&self) -> FaultPlan {
        match self.faults.as_str() {
            "" => FaultPlan::default(),
            faults => FaultPlan::parse("faults", faults).expect("a plan"),
        }
    }

    fn pace(&self, simulation: &mut Simulation) {
        simulation.tick_every(self.tick_ms.unwrap_or(1) * MILLI);
        simulation.tell_fates_after(self.fates_late_ms * MILLI);
    }

    /// Runs it to its end.
    fn run(&self, mut simulation: Simulation) {
        self.pace(&mut simulation);
        let end = self.seconds * SECOND;
        let reduce_at = self.reduce_at.map_or(end - 3 * SECOND, |at| (at * SECOND as f64) as Nanos);
        simulation.run_for(reduce_at);
        simulation.command(Command::Reduce);
        simulation.run_for(end - reduce_at);
        close(simulation);
    }

    /// Records its run in `dir`.
    fn record(&self, dir: &Path) {
        let sim = self.world();
        let mut params = world::engine_params(&sim, 7, self.scan(), self.risk());
        params.venues.iter_mut().for_each(|venue| *venue = with(venue, &self.change.params));
        let latency = self.latency_ms.map_or(100 * MICRO, |ms| ms * MILLI);
        let (simulation, _) = changed_simulation(params, &sim, latency, Some(dir), &self.plan());
        self.run(simulation);
    }

    /// The same of a run that takes over from one that ended in that way.
    fn record_after(&self, ends: Before, dir: &Path) {
        let usual = self.change.params.is_empty() && self.latency_ms.is_none();
        assert!(
            usual,
            "{}: `change.params` and `latency_ms` are of a run that took over from none",
            self.name
        );
        let mut desk = Desk::of(self.world(), self.scan(), self.risk(), self.plan());
        let venues = desk.venues();
        let (mut first, _) = desk.run(venues, START);
        self.pace(&mut first);
        if ends == Before::Killed {
            first.run_for(6 * SECOND);
            first.command(Command::Kill(Scope::Global));
            first.run_for(SECOND);
        }
        let trade = (ends != Before::Killed).then(|| until_between_legs(&mut first));
        let now = first.now();
        let venues = first.die(SECOND);
        if let (Before::PowerLost, Some(trade)) = (ends, trade) {
            lose_tail(&desk.dir(1), &trade, 60);
        }
        let (next, _) = desk.run(venues, now + SECOND);
        self.run(next);
        fs::rename(desk.dir(2), dir).expect("temporary disk");
    }
}

/// Makes the bundle of an incident.
fn make(incident: &Incident, out: &Path) {
    let dir = TempDir::new();
    match incident.after_run {
        Some(ends) => incident.record_after(ends, dir.path()),
        None => incident.record(dir.path()),
    }
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

/// What each bundle expects now stands in the list: it is put into the bundles, whose inputs stay as they were recorded.
#[test]
#[ignore = "changes the expectations and notes of the bundles"]
fn expectations_are_those_of_the_list() {
    for incident in incidents() {
        let mut bundle = Bundle::open(&path(&incident.name)).expect("a bundle");
        bundle.set(member::EXPECT, incident.expect.clone().into_bytes());
        bundle.set(member::NOTES, incident.notes.clone().into_bytes());
        fs::write(path(&incident.name), bundle.to_bytes().expect("packs")).expect("the checkout");
    }
}

/// The bugs, and what plants them.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Bugs {
    bug: Vec<Planted>,
    edit: Vec<Edit>,
}

/// A bug as it is planted again.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Planted {
    name: String,
    /// What is switched on for it.
    switches: Vec<String>,
    /// The bundle that then fails.
    bundle: String,
    /// By this expectation.
    breaks: String,
}

/// Text of a source file and what stands there in its place.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Edit {
    file: PathBuf,
    find: String,
    put: String,
}

/// What a copy of the project gets, so that its bugs have switches.
const SWITCH: &str = r#"
/// Whether the bug of this switch is on.
pub fn planted(switch: &str) -> bool {
    static ON: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    let on = ON.get_or_init(|| std::env::var("PERPRING_PLANTED").unwrap_or_default());
    on.split(',').any(|one| one == switch)
}
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn bugs() -> Bugs {
    let text = fs::read_to_string(root().join(DIR).join("bugs.toml")).expect("the bugs");
    toml::from_str(&text).expect("the bugs")
}

impl Bugs {
    /// The files with their edits.
    fn made(&self) -> BTreeMap<&Path, String> {
        let mut files = BTreeMap::new();
        for Edit { file, find, put } in &self.edit {
            let read = || fs::read_to_string(root().join(file)).unwrap_or_default();
            let text = files.entry(file.as_path()).or_insert_with(read);
            let count = text.matches(find).count();
            let file = file.display();
            assert_eq!(
                count, 1,
                "{file} has other words now: mend bugs.toml, and run tests/incidents/prove.\n{find}"
            );
            *text = text.replacen(find, put, 1);
        }
        files
    }
}

#[test]
fn every_bundle_has_a_bug_and_every_bug_can_be_planted_again() {
    let bugs = bugs();
    let files = bugs.made();
    for bug in &bugs.bug {
        let expects = Bundle::open(&path(&bug.bundle)).expect("a bundle").text(member::EXPECT);
        assert!(expects.contains(&format!("name = \"{}\"", bug.breaks)), "{}: {}", bug.name, bug.breaks);
        for switch in &bug.switches {
            let asked = format!("crate::planted(\"{switch}\")");
            assert!(files.values().any(|text| text.contains(&asked)), "{}: {asked}", bug.name);
        }
    }
    for incident in incidents() {
        assert!(bugs.bug.iter().any(|bug| bug.bundle == incident.name), "no bug breaks {}", incident.name);
    }
}

/// The program of a copy of the project in which every bug has a switch.
fn program_with_bugs(bugs: &Bugs) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("its directory");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("planted");
    let copy = place.join("perpring");
    // What an earlier run left there.
    let _ = fs::remove_dir_all(&copy);
    fs::create_dir_all(&copy).expect("room");
    for name in ["Cargo.toml", "Cargo.lock", "src", "pinning", "bench", "tests"] {
        let done = process::Command::new("cp").arg("-R").arg(root().join(name)).arg(&copy).status();
        assert!(done.expect("cp").success(), "{name}");
    }
    for (file, text) in bugs.made() {
        fs::write(copy.join(file), text).expect("room");
    }
    let lib = copy.join("src/lib.rs");
    let text = fs::read_to_string(&lib).expect("the library") + SWITCH;
    fs::write(lib, text).expect("room");
    // Named together with a test, the program gets its dependencies as they are compiled for tests.
    fs::write(copy.join("tests/suite.rs"), "//! Nothing.\n").expect("room");
    let built = process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--bin", "perpring", "--test", "suite"])
        .current_dir(&copy)
        .env("CARGO_TARGET_DIR", target)
        .output()
        .expect("cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Its dependencies are those of the project; the program itself must not stand where the project's is looked for.
    let program = place.join("planted");
    fs::rename(target.join("debug/perpring"), &program).expect("room");
    program
}

/// In one build each bug has a switch. Without any, every bundle holds; with those of a bug, its bundle fails by what the bug
/// breaks.
#[test]
#[ignore = "builds the program once more: tests/incidents/prove"]
fn every_bug_breaks_its_bundle() {
    let bugs = bugs();
    let program = program_with_bugs(&bugs);
    let replayed = |bundle: &str, switches: &str| {
        let mut command = process::Command::new(&program);
        command.arg("replay").arg(path(bundle)).args(["--expect", "--json"]);
        let done = command.env("PERPRING_PLANTED", switches).output().expect("the program");
        (done.status.code(), broken(&done.stdout), String::from_utf8_lossy(&done.stderr).into_owned())
    };
    for incident in incidents() {
        let (code, broken, said) = replayed(&incident.name, "");
        assert_eq!(code, Some(0), "{} without a bug: {broken:?} {said}", incident.name);
    }
    let mut survived = Vec::new();
    for bug in &bugs.bug {
        let (code, broken, said) = replayed(&bug.bundle, &bug.switches.join(","));
        println!("{}\n  {}\n  {}", bug.bundle, bug.name, broken.join("\n  "));
        if code != Some(1) || !broken.iter().any(|what| what.starts_with(&bug.breaks)) {
            survived.push(format!("{}: {}: {broken:?} {said}", bug.bundle, bug.name));
        }
    }
    assert!(survived.is_empty(), "not found: {survived:#?}");
}

/// The expectations that a verdict in JSON tells as broken, and where.
fn broken(json: &[u8]) -> Vec<String> {
    let verdict: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    let outcomes = verdict["outcomes"].as_array().cloned().unwrap_or_default();
    let broken = outcomes.iter().filter(|outcome| outcome["met"] == false);
    let text = |of: &serde_json::Value| of.as_str().unwrap_or_default().to_owned();
    broken.map(|outcome| format!("{}: {}", text(&outcome["name"]), text(&outcome["found"]))).collect()
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
