//! What adapters and encoders know can be saved and put into new ones at any time, and nobody notices: whole engines
//! whose every adapter and encoder has a copy beside it that is time and again made anew, and the real payloads of the
//! shared captures.

use crate::faults::every_kind;
use crate::oracle::shared;
use crate::simulated::{START, sim_config};
use perpring::domain::effect::{
    HttpId, OutMeta, Payload, PayloadFull, Redact, SecretSlot, SessionAction, VenueCall,
};
use perpring::domain::input::{Command, ConnId, DownReason, FrameMeta};
use perpring::domain::instrument::{Instrument, InstrumentId, Qty, Status, VenueId, VenueSpec};
use perpring::domain::intent::OrderRef;
use perpring::domain::number::Num;
use perpring::domain::order::OrderSpec;
use perpring::domain::params::{
    EngineParams, Extras, ListingParams, MarketCopies, OrderRoute, RiskParams, VenueParams,
};
use perpring::domain::standing::Pace;
use perpring::domain::state::{State, StateError};
use perpring::domain::text::Symbol;
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND, Stamp};
use perpring::replay::source::RunConfig;
use perpring::sim::{FaultPlan, LedgerServer, SimConfig, server_with};
use perpring::stage::decode::plan;
use perpring::stage::egress::Vault;
use perpring::stage::river::{Parts, River};
use perpring::stage::route::Route;
use perpring::topology::fused::Fused;
use perpring::topology::keeper::Keeper;
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use perpring::venue::copies::CopyCounts;
use perpring::venue::{Adapter, Emit, Encoder, Out, Rendered, VenueContext, dialect};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The copy is made anew at each of the first inputs, while everything begins; then at every so many.
const FIRST: u64 = 100;
const EVERY: u64 = 61;

/// An adapter or an encoder beside its copy.
struct Doubled<T: ?Sized> {
    kept: Box<T>,
    copy: Box<T>,
    fresh: Box<dyn Fn() -> Box<T> + Send>,
    inputs: u64,
    /// What no state may hold.
    secrets: Arc<Vec<String>>,
    /// How often a copy was made, of all.
    loads: Arc<AtomicU64>,
    out: Out,
}

impl<T: State + ?Sized> Doubled<T> {
    fn new(
        fresh: impl Fn() -> Box<T> + Send + 'static,
        secrets: &Arc<Vec<String>>,
        loads: &Arc<AtomicU64>,
    ) -> Self {
        let (kept, copy) = (fresh(), fresh());
        let out = Out::with_capacity(1024);
        Self {
            kept,
            copy,
            fresh: Box::new(fresh),
            inputs: 0,
            secrets: secrets.clone(),
            loads: loads.clone(),
            out,
        }
    }

    /// An input is done: time for another copy?
    fn done(&mut self) {
        self.inputs += 1;
        if self.inputs > FIRST && !self.inputs.is_multiple_of(EVERY) {
            return;
        }
        let saved = self.kept.save().expect("saves");
        assert_eq!(self.kept.save().expect("saves"), saved, "twice the same");
        assert_eq!(self.copy.save().expect("saves"), saved, "the copy went the same way");
        for secret in self.secrets.iter() {
            assert!(!saved.contains(secret), "a secret in {saved}");
        }
        self.copy = (self.fresh)();
        self.copy.load(&saved).expect("loads");
        assert_eq!(self.copy.save().expect("saves"), saved, "nothing is lost");
        self.loads.fetch_add(1, Ordering::Relaxed);
    }
}

impl<T: State + ?Sized> State for Doubled<T> {
    fn save(&self) -> Result<String, StateError> {
        self.kept.save()
    }
    fn load(&mut self, saved: &str) -> Result<(), StateError> {
        self.kept.load(saved)?;
        self.copy.load(saved)
    }
}

impl Doubled<dyn Adapter> {
    /// Gives both the same; both must say the same.
    fn both(&mut self, out: &mut Out, mut feed: impl FnMut(&mut dyn Adapter, &mut Out)) {
        let before = out.items().len();
        feed(&mut *self.kept, out);
        self.out.clear();
        feed(&mut *self.copy, &mut self.out);
        assert_eq!(&out.items()[before..], self.out.items());
    }
}

impl Adapter for Doubled<dyn Adapter> {
    fn on_start(&mut self, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_start(now, out));
        self.done();
    }
    fn on_conn_up(&mut self, conn: ConnId, epoch: u32, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_conn_up(conn, epoch, now, out));
        self.done();
    }
    fn on_conn_down(&mut self, conn: ConnId, epoch: u32, reason: DownReason, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_conn_down(conn, epoch, reason, now, out));
        self.done();
    }
    fn on_frame(&mut self, meta: FrameMeta, frame: &[u8], now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_frame(meta, frame, now, out));
        self.done();
    }
    fn on_http(&mut self, id: HttpId, status: u16, body: &[u8], now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_http(id, status, body, now, out));
        self.done();
    }
    fn on_instrument(&mut self, instrument: &Instrument, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_instrument(instrument, now, out));
        self.done();
    }
    fn on_order_wrong(&mut self, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_order_wrong(now, out));
    }
    fn on_tick(&mut self, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_tick(now, out));
    }
    fn on_pace(&mut self, pace: &Pace, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_pace(pace, now, out));
    }
    fn funding_interval(&self, listing: InstrumentId) -> Option<Nanos> {
        let interval = self.kept.funding_interval(listing);
        assert_eq!(self.copy.funding_interval(listing), interval);
        interval
    }
    fn copies(&self) -> Option<&CopyCounts> {
        assert_eq!(self.copy.copies(), self.kept.copies());
        self.kept.copies()
    }
    fn depart(&mut self, conn: ConnId, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.depart(conn, now, out));
    }
    fn on_stop(&mut self, now: Stamp, out: &mut Out) {
        self.both(out, |adapter, out| adapter.on_stop(now, out));
    }
}

impl Doubled<dyn Encoder> {
    /// Has both render the same; both must write the same.
    fn both<R: PartialEq + std::fmt::Debug>(
        &mut self,
        to: &mut Payload,
        mut render: impl FnMut(&mut dyn Encoder, &mut Payload) -> R,
    ) -> R {
        let mut copied = *to;
        let (result, copy) = (render(&mut *self.kept, to), render(&mut *self.copy, &mut copied));
        assert_eq!(copy, result);
        assert_eq!((copied.text(), copied.sign_text()), (to.text(), to.sign_text()));
        assert_eq!((copied.text_holes(), copied.signed_holes()), (to.text_holes(), to.signed_holes()));
        self.done();
        result
    }
}

impl Encoder for Doubled<dyn Encoder> {
    fn on_instrument(&mut self, instrument: &Instrument) {
        self.kept.on_instrument(instrument);
        self.copy.on_instrument(instrument);
        self.done();
    }
    fn take_route(&mut self, route: OrderRoute) {
        self.kept.take_route(route);
        self.copy.take_route(route);
        self.done();
    }
    fn order(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        self.both(to, |encoder, to| encoder.order(order, meta, now, to))
    }
    fn cancel(
        &mut self,
        order: &OrderRef,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        self.both(to, |encoder, to| encoder.cancel(order, meta, now, to))
    }
    fn amend(
        &mut self,
        order: &OrderSpec,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Option<Rendered>, PayloadFull> {
        self.both(to, |encoder, to| encoder.amend(order, meta, now, to))
    }
    fn cancel_all(&mut self, now: Stamp, to: &mut Payload) -> Result<Option<Rendered>, PayloadFull> {
        self.both(to, |encoder, to| encoder.cancel_all(now, to))
    }
    fn query(
        &mut self,
        order: &OrderRef,
        meta: &OutMeta,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<Rendered, PayloadFull> {
        self.both(to, |encoder, to| encoder.query(order, meta, now, to))
    }
    fn send(
        &mut self,
        conn: ConnId,
        what: VenueCall,
        now: Stamp,
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        self.both(to, |encoder, to| encoder.send(conn, what, now, to))
    }
    fn take_back(&mut self) {
        self.kept.take_back();
        self.copy.take_back();
        self.done();
    }
    fn http(&mut self, what: VenueCall, now: Stamp, to: &mut Payload) -> Result<Option<Redact>, PayloadFull> {
        self.both(to, |encoder, to| encoder.http(what, now, to))
    }
    fn connect(
        &mut self,
        conn: ConnId,
        slot: Option<SecretSlot>,
        to: &mut Payload,
    ) -> Result<(), PayloadFull> {
        self.both(to, |encoder, to| encoder.connect(conn, slot, to))
    }
}

fn adapter_of(context: &VenueContext) -> Box<dyn Adapter> {
    dialect(&context.params.dialect).expect("a known dialect").adapter(context)
}

fn encoder_of(context: &VenueContext) -> Box<dyn Encoder> {
    dialect(&context.params.dialect).expect("a known dialect").encoder(context)
}

/// The stages, every adapter and encoder doubled.
fn doubled(params: &EngineParams, secrets: Vec<String>, loads: [&Arc<AtomicU64>; 2]) -> Parts {
    let secrets = Arc::new(secrets);
    let (conns, contexts) = plan(params, true).expect("known dialects");
    let mut left = contexts.clone().into_iter();
    let mut parts = Parts::with_adapters(params, true, |_| {
        let context = left.next().expect("one for each venue");
        Box::new(Doubled::new(move || adapter_of(&context), &secrets, loads[0]))
    })
    .expect("known dialects");
    let encoders = contexts.into_iter().map(|context| -> Box<dyn Encoder> {
        Box::new(Doubled::new(move || encoder_of(&context), &secrets, loads[1]))
    });
    parts.route = Route::new(params, conns, encoders.collect());
    parts
}

/// Runs a world in which everything goes wrong that can, with every adapter and encoder doubled. How many orders were sent.
fn nobody_notices_in(venues: &[&str], copies: MarketCopies, route: OrderRoute) -> u64 {
    let sim = sim_config(5, venues, |sim: &mut SimConfig| {
        sim.instruments.iter_mut().for_each(|instrument| instrument.jump_every_ns = 2 * SECOND);
        sim.venues.iter_mut().for_each(|venue| venue.levels = 12);
    });
    let risk = RiskParams {
        consecutive_failures_max: 1_000_000,
        daily_loss_max_usd: 1_000_000,
        ..RiskParams::default()
    };
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), risk);
    if route == OrderRoute::Http {
        world::route_orders(&mut params, route);
    }
    for venue in &mut params.venues {
        (venue.market_copies, venue.extras) = (copies, Extras::ALL);
    }
    let credentials = world::credentials(&sim);
    let secret = |of: &perpring::stage::egress::Credentials| {
        [of.api_key.clone(), of.secret.clone(), of.passphrase.clone()]
    };
    let secrets = credentials.iter().flatten().flat_map(secret).filter(|text| !text.is_empty()).collect();
    let [adapters, encoders] = [(); 2].map(|()| Arc::default());
    let parts = doubled(&params, secrets, [&adapters, &encoders]);
    let conns = parts.conns.clone();
    let bytes = RunConfig { trading: true, params }.to_bytes();
    let plan: FaultPlan = every_kind(5, venues, 24);
    let servers: Vec<Box<dyn LedgerServer>> =
        (0..venues.len()).map(|venue| server_with(&sim, venue, &plan).expect("a valid world")).collect();
    let engine = Fused::new(River::new(parts), Keeper::new(None));
    let mut simulation =
        Simulation::new(engine, servers, conns, Vault::new(credentials), START, 100 * MICRO, &bytes);
    simulation.run_for(16 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(2 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let loads = [adapters, encoders].map(|loads: Arc<AtomicU64>| AtomicU64::load(&loads, Ordering::Relaxed));
    println!("copies made: {loads:?}; {counts:?}");
    let venues = venues.len() as u64;
    assert!(loads[0] > FIRST * venues && loads[1] > 30 * venues, "{loads:?}");
    counts.orders_sent
}

#[test]
fn at_five_venues_a_saved_state_goes_on_as_if_nothing_had_happened() {
    let venues = ["binance-usdm", "okx", "bybit", "deribit", "hyperliquid"];
    assert!(nobody_notices_in(&venues, MarketCopies::Relay, OrderRoute::Websocket) > 0);
}

#[test]
fn with_second_connections_and_orders_over_http_a_saved_state_goes_on_as_if_nothing_had_happened() {
    let venues = ["binance-usdm", "okx", "bybit"];
    assert!(nobody_notices_in(&venues, MarketCopies::Two, OrderRoute::Http) > 0);
}

#[test]
fn at_aster_a_saved_state_goes_on_as_if_nothing_had_happened() {
    assert!(nobody_notices_in(&["aster", "okx"], MarketCopies::One, OrderRoute::Websocket) > 0);
}

#[test]
fn in_coin_margined_contracts_a_saved_state_goes_on_as_if_nothing_had_happened() {
    // These two seldom disagree enough to be traded within so few seconds.
    nobody_notices_in(&["binance-coinm", "binance-coinm"], MarketCopies::Two, OrderRoute::Websocket);
}

/// Every file below `folder`, in order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable").path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// The payloads of a file: one a line, behind the time of its arrival or without one.
fn payloads(path: &Path) -> Vec<Vec<u8>> {
    /// Enough of a long capture.
    const LINES: usize = 2_000;
    let mut bytes = std::fs::read(path).expect("readable");
    if path.extension().is_some_and(|extension| extension == "gz") {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::MultiGzDecoder::new(&bytes[..]), &mut text)
            .expect("whole");
        bytes = text;
    }
    if path.extension().is_some_and(|extension| extension == "json") {
        return vec![bytes];
    }
    let text_of = |line: &[u8]| {
        let from = line.iter().position(|byte| matches!(byte, b'{' | b'[')).unwrap_or(0);
        line[from..].to_vec()
    };
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).take(LINES).map(text_of).collect()
}

/// Feeds every payload of the shared captures to the adapter of two listings, as a message and as the reply to whatever
/// was asked last.
fn real_payloads_of(name: &str, symbols: [&str; 2]) {
    let Some(root) = shared() else { return };
    let listing = |at: usize| ListingParams {
        id: InstrumentId(at as u16),
        venue: VenueId(0),
        symbol: Symbol::new(symbols[at]).expect("short"),
        ..ListingParams::default()
    };
    let context = VenueContext {
        venue: VenueId(0),
        params: VenueParams {
            dialect: name.into(),
            market_copies: MarketCopies::Two,
            extras: Extras::ALL,
            ..VenueParams::default()
        },
        listings: vec![listing(0), listing(1)],
        conn_base: ConnId(0),
        slot_base: SecretSlot(0),
        trading: true,
    };
    let conns = perpring::venue::connections(dialect(name).expect("known"), MarketCopies::Two, true).len();
    let loads = Arc::default();
    let of = context.clone();
    let mut adapter = Doubled::new(move || adapter_of(&of), &Arc::default(), &loads);
    let (mut out, mut now) = (Out::with_capacity(4096), SECOND);
    let at = |now: Nanos| Stamp { mono: now, wall: START + now };
    adapter.on_start(at(now), &mut out);
    for listing in &context.listings {
        let spec = VenueSpec {
            instrument: listing.id,
            multiplier: Num::new(1, 0),
            status: Status::Trading,
            ..VenueSpec::default()
        };
        let instrument = Instrument {
            id: listing.id,
            symbol: listing.symbol,
            spec,
            price_scale: 8,
            qty_scale: 8,
            tick: 1,
            step: 1,
            qty_min: Qty(1),
            qty_max: Qty(i64::MAX),
            generation: 1,
            ..Instrument::default()
        };
        adapter.on_instrument(&instrument, at(now), &mut out);
    }
    let mut events = 0;
    for path in files(&root.join("corpus").join(name)) {
        for conn in 0..conns {
            adapter.on_conn_up(ConnId(conn as u8), 1, at(now), &mut out);
        }
        for payload in payloads(&path) {
            now += MILLI;
            let asked: Vec<HttpId> = out.items().iter().filter_map(http_id).collect();
            events += out.items().len() - asked.len();
            out.clear();
            adapter.on_tick(at(now), &mut out);
            // All of it on the first connection, so that books are whole, and a part on every other one.
            let other = (now / MILLI) as usize % conns;
            for conn in [0, other] {
                let conn = ConnId(conn as u8);
                let meta = FrameMeta { conn, epoch: 1, last: true, drained: true, ..FrameMeta::default() };
                adapter.on_frame(meta, &payload, at(now), &mut out);
            }
            for id in asked {
                adapter.on_http(id, 200, &payload, at(now), &mut out);
            }
        }
        for conn in 0..conns {
            adapter.on_conn_down(ConnId(conn as u8), 1, DownReason::Closed, at(now), &mut out);
        }
    }
    let loads = AtomicU64::load(&loads, Ordering::Relaxed);
    println!("{name}: copies made: {loads}, said: {events}");
    assert!(loads > FIRST && events > 500, "{loads}, {events}");
}

fn http_id(item: &Emit) -> Option<HttpId> {
    match item {
        Emit::Action(SessionAction::Http { id, .. }) => Some(*id),
        _ => None,
    }
}

#[test]
fn whatever_was_captured_at_binance_leaves_a_state_that_goes_on_when_loaded() {
    real_payloads_of("binance-usdm", ["BTCUSDT", "ETHUSDT"]);
}

#[test]
fn whatever_was_captured_at_okx_leaves_a_state_that_goes_on_when_loaded() {
    real_payloads_of("okx", ["XMR-USDT-SWAP", "BTC-USDT-SWAP"]);
}

#[test]
fn whatever_was_captured_at_bybit_leaves_a_state_that_goes_on_when_loaded() {
    real_payloads_of("bybit", ["BTCUSDT", "ETHUSDT"]);
}

#[test]
fn whatever_was_captured_at_deribit_leaves_a_state_that_goes_on_when_loaded() {
    real_payloads_of("deribit", ["BTC-24SEP21-8000-P", "BTC-31DEC21-34000-P"]);
}

#[test]
fn whatever_was_captured_at_hyperliquid_leaves_a_state_that_goes_on_when_loaded() {
    real_payloads_of("hyperliquid", ["BTC", "ETH"]);
}
