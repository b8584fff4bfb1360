//! Snapshots: a replay that begins at one is the replay from the beginning, wherever it was taken, and nothing but the
//! right one is ever used.

use crate::faults::every_kind;
use crate::simulated::{START, TempDir, sim_config};
use perpring::domain::calendar;
use perpring::domain::codec::{HEADER_MAX, decode_output, encode_output};
use perpring::domain::effect::{OutMeta, OutMsg};
use perpring::domain::event::{Event, Seq};
use perpring::domain::input::{Command, InputClass, RawInput};
use perpring::domain::intent::{Denial, Intent, NearMiss};
use perpring::domain::output::{Output, OutputKey};
use perpring::domain::params::{PaperParams, RiskParams};
use perpring::domain::state::State as _;
use perpring::domain::time::{MICRO, MILLI, SECOND, Stamp};
use perpring::journal::{self, JournalOptions, Manifest, OwnedRecord, RunId, Stream, rewrite};
use perpring::replay::cursor::Cursor;
use perpring::replay::place::Place;
use perpring::replay::source::{Inputs, RunConfig, read_config};
use perpring::replay::verify::{Report, verify, verify_behind};
use perpring::sim::{FaultPlan, server_with};
use perpring::stage::LOGIC_VERSION;
use perpring::stage::egress::Vault;
use perpring::stage::record::Recorder;
use perpring::stage::river::{Parts, River, Tap};
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::launch::manifest;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::fs;
use std::path::Path;

const ALL: [&str; 5] = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];

/// What a recorded world is made of.
struct World<'a> {
    venues: &'a [&'a str],
    seconds: i64,
    faults: bool,
    paper: bool,
    /// Every entry is denied.
    denied: bool,
    segment_bytes: usize,
}

impl Default for World<'_> {
    fn default() -> Self {
        Self {
            venues: &["binance-usdm", "okx"],
            seconds: 12,
            faults: false,
            paper: false,
            denied: false,
            segment_bytes: 4 << 20,
        }
    }
}

/// Records it: one busy instrument, so that few seconds hold many trades.
fn record(dir: &Path, world: &World<'_>) {
    let sim = sim_config(7, world.venues, |sim| {
        sim.step_ns = 10 * MILLI;
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        for venue in &mut sim.venues {
            venue.levels = 12;
            venue.listings.retain(|listing| listing.instrument == 0);
        }
    });
    let plan = match world.faults {
        true => every_kind(7, world.venues, world.seconds),
        false => FaultPlan::default(),
    };
    let mut risk = RiskParams::default();
    if world.denied {
        // Less than the orders of a basket.
        risk.order_rate_per_s_max = 1;
    }
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), risk);
    params.paper = world.paper.then(PaperParams::default);
    let config = RunConfig { trading: !world.paper, params };
    let bytes = config.to_bytes();
    let about = Manifest { run_id: RunId(42), ..manifest(&bytes, START, Default::default()) };
    let options =
        JournalOptions { segment_bytes: world.segment_bytes, helper: false, ..JournalOptions::default() };
    let recorder = Recorder::create(dir, &about, &options).expect("a fresh directory");
    let parts = Parts::new(&config.params, config.trading).expect("known dialects");
    let conns = parts.conns.clone();
    let servers = (0..sim.venues.len()).map(|venue| server_with(&sim, venue, &plan).expect("a valid world"));
    let servers = servers.collect();
    let engine = Fused::new(River::new(parts), Keeper::new(Some(recorder)));
    let vault = Vault::new(world::credentials(&sim));
    let mut simulation = Simulation::new(engine, servers, conns, vault, START, 100 * MICRO, &bytes);
    simulation.run_for(world.seconds * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(SECOND);
    crate::simulated::close(simulation);
}

/// Everything that passed.
#[derive(Default, PartialEq, Debug)]
struct Seen {
    events: Vec<Event>,
    intents: Vec<(OutputKey, Intent)>,
    denials: Vec<(OutputKey, Denial)>,
    messages: Vec<(OutputKey, OutMeta, Vec<u8>)>,
    near_misses: Vec<(OutputKey, NearMiss)>,
    states: Vec<(OutputKey, u64)>,
}

impl Tap for Seen {
    fn input(&mut self, _seq: Seq, _at: Stamp, _class: InputClass, _raw: &RawInput<'_>) {}
    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }
    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.intents.push((key, *intent));
    }
    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.intents.push((key, *intent));
    }
    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.denials.push((key, *denial));
    }
    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        let len = usize::from(message.payload.text_len + message.payload.sign_len);
        self.messages.push((key, message.meta, message.payload.bytes[..len].to_vec()));
    }
    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.near_misses.push((key, *near));
    }
    fn state(&mut self, key: OutputKey, hash: u64) {
        self.states.push((key, hash));
    }
    fn end(&mut self, _seq: Seq) {}
}

fn fresh(config: &RunConfig) -> River {
    River::new(Parts::new(&config.params, config.trading).expect("known dialects"))
}

/// What a river knows, in ways that saving it has no part in.
fn known(river: &River) -> (u64, u64, String) {
    let parts = river.parts();
    let scanner = parts.scan.scanner();
    (scanner.digest(), parts.risk.rules().digest(), format!("{scanner:?}"))
}

/// Replays the run in `dir`. Beside the river that runs from the beginning stands one that is time and again made anew
/// from the state of the first, and two that are made at a third and at two thirds of the run and go on to its end. Returns how often there was an open trade when a state was put back.
fn put_back_everywhere(dir: &Path, every: u64) -> u32 {
    let (_, _, config) = read_config(dir).expect("a journal");
    let (mut count, mut inputs) = (0, Inputs::open(dir).expect("a journal"));
    while inputs.next().expect("undamaged").is_some() {
        count += 1;
    }
    let far = [count / 3, count * 2 / 3];
    let (mut kept, mut others, mut near) = (fresh(&config), Vec::new(), fresh(&config));
    let (mut in_trade, mut was_in_trade) = (0, false);
    let mut inputs = Inputs::open(dir).expect("a journal");
    while let Some((seq, raw)) = inputs.next().expect("undamaged") {
        let mut seen = Seen::default();
        kept.input(&raw, &mut seen);
        for river in std::iter::once(&mut near).chain(&mut others) {
            let mut also = Seen::default();
            river.input(&raw, &mut also);
            assert_eq!(also, seen, "input {}", seq.0);
        }
        let trading = kept.parts().scan.scanner().totals().trades_open > 0;
        let turned = std::mem::replace(&mut was_in_trade, trading) != trading;
        let is_far = far.contains(&seq.0);
        if seq.0 > 12 && !seq.0.is_multiple_of(every) && !turned && !is_far {
            continue;
        }
        in_trade += u32::from(trading);
        let text = kept.save().expect("saves");
        near = fresh(&config);
        near.load(&text).expect("loads");
        assert!(
            near.save().expect("saves") == text,
            "what was put back is saved the same way: input {}",
            seq.0
        );
        if is_far {
            assert_eq!(known(&near), known(&kept), "input {}", seq.0);
            others.push(std::mem::replace(&mut near, fresh(&config)));
            near.load(&text).expect("loads");
        }
    }
    let end = kept.save().expect("saves");
    assert_eq!(others.len(), far.len());
    for other in others.iter().chain([&near]) {
        assert!(other.save().expect("saves") == end, "the final states are the same to the byte");
        assert_eq!(known(other), known(&kept));
    }
    in_trade
}

#[test]
fn stages_put_back_anywhere_go_on_as_if_nothing_had_happened() {
    let dir = TempDir::new();
    record(dir.path(), &World { venues: &ALL, seconds: 12, faults: true, ..World::default() });
    assert!(put_back_everywhere(dir.path(), 1_999) >= 3, "in the middle of trades too");
}

#[test]
fn paper_put_back_anywhere_goes_on_as_if_nothing_had_happened() {
    let dir = TempDir::new();
    record(dir.path(), &World { seconds: 8, paper: true, ..World::default() });
    assert!(put_back_everywhere(dir.path(), 997) >= 3, "in the middle of trades too");
}

/// At `to`, from the beginning and without a snapshot.
fn slowly(dir: &Path, to: u64) -> String {
    let mut cursor = Cursor::open(dir).expect("a journal");
    cursor.snapshots().set_spacing(0);
    while cursor.seq() < Seq(to) && cursor.step(&mut ()).expect("undamaged") {}
    assert_eq!(cursor.seq(), Seq(to));
    cursor.snapshot().expect("saves").state().to_owned()
}

/// A cursor that leaves a snapshot every 500 inputs.
fn dense(dir: &Path, cache: Option<&Path>) -> Cursor {
    let mut cursor = Cursor::open_with(dir, cache).expect("a journal");
    cursor.snapshots().set_spacing(500);
    cursor
}

/// Goes there and tells the state, and how many inputs were passed on the way.
fn state_at(cursor: &mut Cursor, to: u64) -> (String, usize) {
    struct Count(usize);
    impl Tap for Count {
        fn input(&mut self, _seq: Seq, _at: Stamp, _class: InputClass, _raw: &RawInput<'_>) {
            self.0 += 1;
        }
        fn event(&mut self, _event: &Event) {}
        fn intent(&mut self, _key: OutputKey, _intent: &Intent) {}
        fn approved(&mut self, _key: OutputKey, _intent: &Intent) {}
        fn denied(&mut self, _key: OutputKey, _denial: &Denial) {}
        fn message(&mut self, _key: OutputKey, _message: &OutMsg) {}
        fn near_miss(&mut self, _key: OutputKey, _near: &NearMiss) {}
        fn state(&mut self, _key: OutputKey, _hash: u64) {}
        fn end(&mut self, _seq: Seq) {}
    }
    let mut passed = Count(0);
    cursor.seek(Seq(to), &mut passed, &mut |_| {}).expect("undamaged");
    assert_eq!(cursor.seq(), Seq(to));
    (cursor.snapshot().expect("saves").state().to_owned(), passed.0)
}

#[test]
fn a_seek_ends_where_a_replay_from_the_beginning_does_and_passes_few_inputs() {
    let dir = TempDir::new();
    record(dir.path(), &World::default());
    let before = journal::verify(dir.path()).expect("a journal");
    let mut cursor = dense(dir.path(), None);
    assert_eq!(state_at(&mut cursor, 3_210).1, 3_210, "no snapshot yet");
    assert_eq!(cursor.snapshots().list(), [500, 1_000, 1_500, 2_000, 2_500, 3_000].map(Seq));
    for to in [1_234, 3_000, 499, 2_999, 1] {
        let (state, passed) = state_at(&mut cursor, to);
        assert_eq!(passed as u64, to % 500, "backwards and forwards from the nearest");
        assert!(state == slowly(dir.path(), to), "input {to}");
    }
    let (state, passed) = state_at(&mut dense(dir.path(), None), 3_100);
    assert_eq!(passed, 100, "another cursor finds them");
    assert!(state == slowly(dir.path(), 3_100));
    assert_eq!(cursor.snapshots().take_told(), [""; 0]);
    // Nobody else notices.
    assert_eq!(journal::verify(dir.path()).expect("a journal"), before);
    assert_eq!(verify(dir.path(), &mut |_| {}).expect("a journal").divergence, None);
    journal::pack(dir.path(), 3).expect("packs");
    assert_eq!(state_at(&mut dense(dir.path(), None), 3_100), (state, 100), "compressed as well");
}

#[test]
fn a_snapshot_that_does_not_belong_or_is_damaged_is_told_never_used_and_made_anew() {
    let dir = TempDir::new();
    record(dir.path(), &World::default());
    let mut cursor = dense(dir.path(), None);
    let right = state_at(&mut cursor, 1_600).0;
    let path = cursor.snapshots().path(Seq(1_500));
    let good = fs::read(&path).expect("a snapshot");
    let text = || zstd::decode_all(&good[..]).expect("a snapshot");
    let changed = |from: &str, to: &str| {
        let text = String::from_utf8(text()).expect("text");
        assert_eq!(text.matches(from).count(), 1, "{from}");
        zstd::encode_all(text.replace(from, to).as_bytes(), 3).expect("packs")
    };
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 4;
    let earlier = fs::read(cursor.snapshots().path(Seq(1_000))).expect("a snapshot");
    let version = format!("\"logic_version\":{LOGIC_VERSION},");
    let hash = format!("\"configuration_hash\":\"{}\"", cursor.manifest().configuration_hash);
    for (bytes, why) in [
        (Vec::new(), "damaged"),
        (good[..good.len() - 9].to_vec(), "damaged"),
        (flipped, "damaged"),
        (b"not zstd".to_vec(), "damaged"),
        (earlier, "name is that of another input"),
        (changed(&RunId(42).to_string(), &RunId(43).to_string()), "another run"),
        (changed(&version, "\"logic_version\":1,"), "other rules"),
        (changed("\"format\":1,", "\"format\":2,"), "another format"),
        (changed(&hash, "\"configuration_hash\":\"\""), "another configuration"),
        (changed("\"next_message\":", "\"next_message\":1"), "SHA-256"),
    ] {
        fs::write(&path, bytes).expect("temporary disk");
        let mut cursor = dense(dir.path(), None);
        let (state, passed) = state_at(&mut cursor, 1_600);
        assert_eq!(passed, 600, "from the one before ({why})");
        assert!(state == right, "{why}");
        let told = cursor.snapshots().take_told();
        assert!(told.len() == 1 && told[0].contains(why) && told[0].contains("1500"), "{why}: {told:?}");
        assert_eq!(fs::read(&path).expect("made anew"), good, "byte for byte ({why})");
    }
}

#[test]
fn beside_a_run_that_has_not_ended_nothing_is_written_but_a_cache_elsewhere_is() {
    let (dir, cache) = (TempDir::new(), TempDir::new());
    record(dir.path(), &World { seconds: 6, ..World::default() });
    // As long as a writer has not closed the stream, its mark does not say so.
    fs::remove_file(journal::mark_path(dir.path(), Stream::Inputs)).expect("a mark");
    let files = |dir: &Path| fs::read_dir(dir).map_or(0, |entries| entries.count());
    let before = files(dir.path());
    let (state, passed) = state_at(&mut dense(dir.path(), None), 1_600);
    assert_eq!(passed, 1_600);
    assert_eq!((files(dir.path()), dense(dir.path(), None).snapshots().list().len()), (before, 0));
    assert_eq!(state_at(&mut dense(dir.path(), Some(cache.path())), 1_600).1, 1_600);
    assert_eq!(state_at(&mut dense(dir.path(), Some(cache.path())), 1_600), (state, 100));
    assert_eq!(files(dir.path()), before);
    // Where it cannot be written, that is told, and all else goes on.
    let blocked = cache.path().join("file");
    fs::write(&blocked, "").expect("temporary disk");
    let mut cursor = dense(dir.path(), Some(&blocked));
    assert_eq!(state_at(&mut cursor, 1_600).1, 1_600);
    let told = cursor.snapshots().take_told();
    assert!(told.len() == 1 && told[0].contains("no snapshots are kept"), "{told:?}");
}

#[test]
fn a_seek_in_a_long_journal_reads_only_the_segments_that_it_needs() {
    let dir = TempDir::new();
    record(dir.path(), &World { segment_bytes: 64 << 10, ..World::default() });
    journal::pack(dir.path(), 3).expect("packs");
    let mut segments: Vec<_> = fs::read_dir(dir.path())
        .expect("a journal")
        .map(|entry| entry.expect("a journal").path())
        .filter(|path| path.to_str().is_some_and(|name| name.contains("/inputs-") && name.contains(".seg")))
        .collect();
    segments.sort();
    assert!(segments.len() > 8, "{}", segments.len());
    let to = 3_210;
    let (state, _) = state_at(&mut dense(dir.path(), None), to);
    // All but the first, which has the configuration, and those between the snapshot and the place become unreadable.
    let base = |path: &Path| -> u64 {
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name");
        name["inputs-000000-".len()..][..20].parse().expect("a number")
    };
    let needed = |at: usize| {
        let next = segments.get(at + 1).map_or(u64::MAX, |path| base(path));
        at == 0 || (base(&segments[at]) <= to && next >= 3_000)
    };
    let spoilt: Vec<_> = (0..segments.len()).filter(|at| !needed(*at)).collect();
    assert!(spoilt.len() + 6 >= segments.len(), "{spoilt:?} of {}", segments.len());
    for at in spoilt {
        fs::write(&segments[at], b"no segment").expect("temporary disk");
    }
    let mut cursor = dense(dir.path(), None);
    assert_eq!(state_at(&mut cursor, to), (state, 210));
    assert!(cursor.seek(Seq(1_499), &mut (), &mut |_| {}).is_err(), "the others are really unreadable");
}

/// Compares inputs `from..=to` from the nearest snapshot.
fn compare(dir: &Path, from: u64, to: u64) -> Report {
    let mut cursor = dense(dir, None);
    cursor.seek(Seq(from - 1), &mut (), &mut |_| {}).expect("undamaged");
    verify_behind(&mut cursor, Seq(to), &mut |_, _| {}).expect("undamaged")
}

#[test]
fn a_comparison_may_begin_and_end_anywhere() {
    let dir = TempDir::new();
    record(dir.path(), &World { denied: true, ..World::default() });
    let whole = verify(dir.path(), &mut |_| {}).expect("a journal");
    assert_eq!(whole.divergence, None);
    assert!(
        whole.compared.get("denial").is_some_and(|count| *count > 0),
        "denials are on their way: {whole:?}"
    );
    let parts = [1, 2, 77, 1_000, 2_222, 3_001, whole.inputs + 1];
    let mut sum = Report::default();
    for part in parts.windows(2) {
        let report = compare(dir.path(), part[0], part[1] - 1);
        assert_eq!(report.divergence, None, "{part:?}");
        assert_eq!(report.inputs, part[1] - part[0]);
        sum.inputs += report.inputs;
        for (kind, count) in report.compared {
            *sum.compared.entry(kind).or_default() += count;
        }
    }
    assert_eq!((sum.inputs, sum.compared), (whole.inputs, whole.compared), "nothing twice, nothing left out");
    // A changed output is found by whoever compares its input, and by nobody else.
    let mut at = 0;
    rewrite(dir.path(), Stream::Outputs, |_, mut record: OwnedRecord, out| {
        if let Ok((key, Output::Intent(Intent::Basket(mut basket)), _)) =
            decode_output(Seq(record.seq), &record.body)
            && at == 0
            && record.seq > 1_200
        {
            at = record.seq;
            basket.legs[0].price.0 += 1;
            let (intent, mut scratch) = (Intent::Basket(basket), [0; HEADER_MAX]);
            record.body = encode_output(key, &Output::Intent(intent), &mut scratch).to_vec();
        }
        out.push(record);
    })
    .expect("temporary disk");
    let found = compare(dir.path(), at - 1, at + 1).divergence.expect("it is there");
    assert_eq!((found.seq, found.field.as_str()), (at, "Intent.Basket.legs[0].price"));
    assert_eq!(compare(dir.path(), 1, at - 1).divergence, None);
    assert_eq!(compare(dir.path(), at + 1, whole.inputs).divergence, None);
}

#[test]
fn a_place_is_found_by_number_and_by_every_kind_of_time() {
    let dir = TempDir::new();
    record(dir.path(), &World { seconds: 6, ..World::default() });
    let mut instants: Vec<(u64, Stamp)> = Vec::new();
    let mut cursor = dense(dir.path(), None);
    while cursor.step(&mut ()).expect("undamaged") {
        instants.push((cursor.seq().0, cursor.now()));
    }
    let begun = instants[0].1.mono;
    let end = instants.last().expect("inputs").1;
    for offset in [0, 1, 1_234_567_890, 3 * SECOND, 5 * SECOND + 1] {
        let (mono, wall) = (begun + offset, begun + START + offset);
        let first = instants.iter().find(|(_, at)| at.mono >= mono).map(|(seq, _)| Seq(*seq));
        let last = instants.iter().rfind(|(_, at)| at.mono <= mono).map(|(seq, _)| Seq(*seq));
        let text = calendar::shown(wall);
        // The first inputs come before the first word about the wall clock.
        let later = |seq: Option<Seq>| if offset == 0 { seq.max(Some(Seq(2))) } else { seq };
        for (place, first) in [
            (format!("+{offset}ns"), first),
            (wall.to_string(), later(first)),
            (text[..text.len() - 1].split_once('T').expect("a time").1.to_owned(), later(first)),
            (text, later(first)),
        ] {
            let parsed: Place = place.parse().expect("a place");
            assert_eq!(parsed.first(&mut cursor).expect("a journal"), first, "{place}");
            assert_eq!(parsed.last(&mut cursor).expect("a journal"), last, "{place}");
        }
    }
    let after: Place = (end.wall + 1).to_string().parse().expect("a place");
    assert_eq!(after.first(&mut cursor).expect("a journal"), None);
    assert_eq!("17".parse::<Place>().expect("a place").last(&mut cursor).expect("a journal"), Some(Seq(17)));
}
