//! Orders over HTTP: the same engine trades without an order connection, its ledgers equal the venues', an order
//! that is not answered is asked about, a kill stops it, and the run replays.

use crate::simulated::{TempDir, assembled, assert_ledgers_equal, sim_config};
use perpring::cli::Signals;
use perpring::cli::demo::{DemoArgs, trade};
use perpring::domain::effect::{HttpId, MessageId, OrderCall, OutMeta, OutMsg, Payload, SignScheme, Target};
use perpring::domain::event::Seq;
use perpring::domain::input::{Command, Input, RefuseReason, SendFate};
use perpring::domain::instrument::VenueId;
use perpring::domain::order::{ClientId, OrderSpec};
use perpring::domain::params::{OrderRoute, RiskParams};
use perpring::domain::time::{MICRO, MILLI, Nanos, SECOND};
use perpring::net::http::HttpClient;
use perpring::net::tls::Trust;
use perpring::replay::verify::verify;
use perpring::runtime::idle::IdleMode;
use perpring::sim::exchange::OrderStatus;
use perpring::sim::{
    HttpReply, HttpRequest, LedgerServer, Push, Server, SimConfig, SimConn, VenueLedger, server_at,
};
use perpring::stage::egress::{KillLatch, Vault, WriteAhead};
use perpring::stage::errand::Errands;
use perpring::stage::gateway::{Addresses, Gateway, Orders};
use perpring::topology::simulated::Simulation;
use perpring::topology::world;
use std::io::Read;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const BOTH: [&str; 2] = ["binance-usdm", "okx"];

/// What the venues saw of requests about single orders.
#[derive(Default)]
struct Seen {
    placed: AtomicU64,
    /// Of those: never arrived, and arrived without an answer.
    lost: AtomicU64,
    mute: AtomicU64,
    late: AtomicU64,
    queries: AtomicU64,
    /// Messages on connections for orders.
    texts: AtomicU64,
}

/// What becomes of every so many orders (0 = of none).
#[derive(Clone, Copy, Default)]
struct Bad {
    /// It does not reach the venue.
    lose: u64,
    /// It is executed without an answer.
    mute: u64,
    /// It arrives after [`LATE`].
    late: u64,
}

/// Just in time for the venue, which refuses a reduction after 5 s.
const LATE: Nanos = 4_900 * MILLI;

/// A venue on a bad way.
struct Way {
    inner: Box<dyn LedgerServer>,
    bad: Bad,
    seen: Arc<Seen>,
}

/// Whether a request is one of every so many, by its bytes.
fn is_one_of(every: u64, request: &HttpRequest) -> bool {
    let bytes = request.query.bytes().chain(request.body.iter().copied());
    every > 0 && bytes.map(u64::from).sum::<u64>().is_multiple_of(every)
}

const NONE: HttpReply = HttpReply { status: 0, headers: Vec::new(), body: Vec::new() };

fn is_about_an_order(path: &str) -> bool {
    path.ends_with("/v1/order") || path.ends_with("/trade/order")
}

impl Server for Way {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.inner.on_connect(conn, path, now, out)
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let order = [&b"order.place"[..], b"\"op\":\"order\""];
        let is_order = order.iter().any(|needle| text.windows(needle.len()).any(|part| part == *needle));
        self.seen.texts.fetch_add(u64::from(is_order), Ordering::Relaxed);
        self.inner.on_text(conn, text, now, out);
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.inner.on_closed(conn, now, out);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        if !is_about_an_order(&request.path) {
            return self.inner.on_http(request, now, out);
        }
        if request.method == "GET" {
            self.seen.queries.fetch_add(1, Ordering::Relaxed);
            return self.inner.on_http(request, now, out);
        }
        let number = self.seen.placed.fetch_add(1, Ordering::Relaxed) + 1;
        let turn = |every: u64| every > 0 && number.is_multiple_of(every);
        if turn(self.bad.lose) {
            self.seen.lost.fetch_add(1, Ordering::Relaxed);
            return NONE;
        }
        self.seen.late.fetch_add(u64::from(is_one_of(self.bad.late, request)), Ordering::Relaxed);
        let reply = self.inner.on_http(request, now, out);
        if turn(self.bad.mute) {
            self.seen.mute.fetch_add(1, Ordering::Relaxed);
            return NONE;
        }
        reply
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        let places = request.method == "POST" && is_about_an_order(&request.path);
        let late = places && is_one_of(self.bad.late, request);
        self.inner.order_travel(request).map(|travel| if late { LATE } else { travel })
    }

    fn reply_travel(&mut self) -> Nanos {
        self.inner.reply_travel()
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        self.inner.advance(now, out);
    }

    fn next_due(&self) -> Nanos {
        self.inner.next_due()
    }
}

impl LedgerServer for Way {
    fn ledger(&self) -> &VenueLedger {
        self.inner.ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.inner.ledger_mut()
    }
}

/// Engine and venues, all orders over HTTP.
fn world_of(sim: &SimConfig, bad: Bad, journal: Option<&TempDir>) -> (Simulation, Vec<Arc<Seen>>) {
    world_by(OrderRoute::Http, sim, bad, journal)
}

/// The same by that way.
fn world_by(
    route: OrderRoute,
    sim: &SimConfig,
    bad: Bad,
    journal: Option<&TempDir>,
) -> (Simulation, Vec<Arc<Seen>>) {
    let mut params = world::engine_params(sim, 7, world::demo_scan(), RiskParams::default());
    // Losing streaks must not end the experiment.
    params.risk.consecutive_failures_max = 1_000_000;
    world::route_orders(&mut params, route);
    assert!(params.venues.iter().all(|venue| venue.orders == route));
    let seen: Vec<Arc<Seen>> = sim.venues.iter().map(|_| Arc::default()).collect();
    let way = |(venue, seen): (usize, &Arc<Seen>)| {
        let inner = server_at(sim, venue).expect("a valid world");
        Box::new(Way { inner, bad, seen: Arc::clone(seen) }) as Box<dyn LedgerServer>
    };
    let servers = seen.iter().enumerate().map(way).collect();
    let (simulation, _) = assembled(sim, params, servers, 100 * MICRO, journal.map(TempDir::path));
    (simulation, seen)
}

fn replays(simulation: Simulation, dir: &TempDir) {
    crate::simulated::close(simulation);
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!((report.divergence, report.unrecorded), (None, 0));
    assert!(report.compared["message"] > 0);
}

fn total(seen: &[Arc<Seen>], count: impl Fn(&Seen) -> &AtomicU64) -> u64 {
    seen.iter().map(|seen| count(seen).load(Ordering::Relaxed)).sum()
}

#[test]
fn a_world_traded_over_http_equals_the_venues_ledgers_and_replays() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, seen) = world_of(&sim, Bad::default(), Some(&dir));
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(5 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.trades_opened >= 5, "{counts:?}");
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let odd = simulation.engine().river().parts().decode.odd();
    assert_eq!((odd.malformed, odd.unknown, odd.orders, odd.refused), (0, 0, 0, 0), "{odd:?}");
    assert_eq!(total(&seen, |seen| &seen.texts), 0, "nothing on a socket");
    assert_eq!(counts.orders_sent, total(&seen, |seen| &seen.placed), "each is one request");
    assert_ledgers_equal(&mut simulation);
    let booked: usize = simulation
        .servers()
        .iter()
        .map(|server| {
            let orders = server.ledger().orders().iter();
            orders.filter(|row| row.order.status != OrderStatus::Rejected).count()
        })
        .sum();
    assert_eq!(counts.orders_sent, booked as u64, "every order that was sent is in the venues' books");
    replays(simulation, &dir);
}

#[test]
fn an_order_without_an_answer_is_asked_about_whether_it_arrived_or_not() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, seen) = world_of(&sim, Bad { lose: 7, mute: 5, late: 0 }, Some(&dir));
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    // A request that nobody answered may arrive until it is too late for the venue.
    simulation.run_for(20 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let (lost, mute) = (total(&seen, |seen| &seen.lost), total(&seen, |seen| &seen.mute));
    let queries = total(&seen, |seen| &seen.queries);
    println!("{counts:?}; {lost} lost, {mute} not answered, {queries} queries");
    assert!(lost >= 3 && mute >= 3, "{lost} {mute}");
    // "No such order" is believed after three answers, a state at once.
    assert!(queries >= 3 * lost + mute, "{queries} queries");
    let open = simulation.engine().river().parts().decode.ledger().open_orders().count();
    assert_eq!(open, 0, "nothing stays unknown");
    assert_ledgers_equal(&mut simulation);
    replays(simulation, &dir);
}

#[test]
fn an_order_that_overtaking_questions_do_not_find_is_not_gone() {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, seen) = world_of(&sim, Bad { late: 4, ..Bad::default() }, Some(&dir));
    simulation.run_for(60 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(30 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    let late = total(&seen, |seen| &seen.late);
    println!("{counts:?}; {late} late");
    assert!(late >= 5 && counts.rejects > 0, "{late} late, some of them too late for the venue: {counts:?}");
    // What the venue executes late was never taken for gone before: else another order had done its work.
    assert_eq!(counts.trades_opened, counts.trades_closed);
    let open = simulation.engine().river().parts().decode.ledger().open_orders().count();
    assert_eq!(open, 0, "nothing stays unknown");
    assert_eq!(simulation.engine().river().parts().decode.odd().orders, 0, "nothing contradicts itself");
    assert_ledgers_equal(&mut simulation);
    replays(simulation, &dir);
}

#[test]
fn the_first_orders_are_executed_at_the_same_instant_by_either_way() {
    let sim = sim_config(7, &BOTH, |sim| {
        for venue in &mut sim.venues {
            (venue.latency_in_ns, venue.latency_out_ns) = (7 * MILLI, 3 * MILLI);
        }
    });
    let first = [OrderRoute::Websocket, OrderRoute::Http].map(|route| {
        let (mut simulation, _) = world_by(route, &sim, Bad::default(), None);
        simulation.run_for(20 * SECOND);
        let created = |server: &dyn LedgerServer| {
            let orders = server.ledger().orders();
            let ours = orders.iter().find(|row| !row.order.client_id.is_empty());
            ours.map(|row| (row.order.created, row.order.client_id.clone()))
        };
        simulation.servers().iter().map(|server| created(&**server)).collect::<Vec<_>>()
    });
    println!("{first:?}");
    assert!(first[0].iter().all(Option::is_some), "they trade: {first:?}");
    assert_eq!(first[0], first[1], "there is one latency of orders");
}

#[test]
fn a_kill_stops_orders_over_http_at_the_gate() {
    let sim = sim_config(7, &BOTH, |_| {});
    let (mut simulation, seen) = world_of(&sim, Bad::default(), None);
    simulation.run_for(20 * SECOND);
    let before = total(&seen, |seen| &seen.placed);
    assert!(before > 0, "it trades");
    // The gate alone: the engine does not know, and goes on wanting to trade.
    simulation.transport().latch().kill();
    simulation.run_for(30 * SECOND);
    let opening = |server: &dyn LedgerServer| {
        let killed = crate::simulated::START + 20 * SECOND + SECOND / 2;
        server
            .ledger()
            .orders()
            .iter()
            .filter(|row| row.order.created > killed && !row.order.reduce_only)
            .count()
    };
    let opened: usize = simulation.servers().iter().map(|server| opening(&**server)).sum();
    assert_eq!(opened, 0, "no order that opens a position reached a venue");
    let counts = *simulation.engine().keeper().watch().counts();
    println!("{counts:?}");
    assert!(counts.refused > 0, "refused at the gate: {counts:?}");
}

#[test]
fn requests_about_orders_have_ids_of_their_own_that_tell_what_was_asked() {
    let order = ClientId::new(1_790_000_000, 123_456);
    for call in [OrderCall::Query, OrderCall::Place, OrderCall::Cancel, OrderCall::Amend] {
        let id = HttpId::of_order(call, order);
        assert_eq!(id.order(), Some((call, order.tag())));
        assert!(id.0 >= HttpId::ORDERS);
    }
    assert_eq!(HttpId(HttpId::ORDERS - 1).order(), None);
}

#[test]
fn over_sockets_every_profile_trades_over_http_behind_its_record_and_replays() {
    for (profile, write_ahead) in [("fused", WriteAhead::Off), ("split", WriteAhead::Written)] {
        let dir = TempDir::new();
        std::fs::create_dir_all(dir.path()).expect("temporary disk");
        let journal = dir.path().join("journal");
        let args = DemoArgs {
            duration: Some(Duration::from_secs(8)),
            instruments: 2,
            orders: Some(OrderRoute::Http),
            pinning: Some(profile.into()),
            idle: Some(IdleMode::Yield),
            journal: Some(journal.clone()),
            write_ahead,
            json: true,
            ..DemoArgs::default()
        };
        let report = trade(&args, &Signals::default()).expect("a demo on loopback");
        let json = serde_json::to_value(&report).expect("plain data");
        println!("{profile}: {json}");
        assert_eq!(json["failure"], serde_json::Value::Null, "{profile}");
        assert!(json["orders_sent"].as_u64().is_some_and(|orders| orders > 0), "{profile}: {json}");
        assert_eq!(json["violations"], 0, "{profile}: {}", json["violation_details"]);
        for ledger in json["ledgers"].as_array().expect("a list") {
            assert_eq!(ledger["equal"], true, "{profile}: {ledger}");
        }
        let report = verify(&journal, &mut |_| {}).expect("a readable journal");
        assert_eq!((&report.divergence, report.unrecorded), (&None, 0), "{profile}");
    }
}

/// A gateway without connections whose venue is at `base`.
fn gateway(base: String, latch: &Arc<KillLatch>) -> Gateway {
    let trust = Trust::nobody();
    let client = HttpClient::new(&trust, Duration::from_secs(30));
    let tls = trust.client_config().expect("a provider");
    let errands = Errands::start(tls, vec![client], Vec::new()).expect("threads");
    let addresses = Addresses { sockets: Vec::new(), http: vec![base], proxies: Vec::new() };
    let (vault, latch) = (Vault::new(vec![None]), Arc::clone(latch));
    Gateway::new(&[], &addresses, errands, vault, latch, Orders::Live).expect("a poll of sockets")
}

#[test]
fn the_gateway_refuses_an_order_over_http_or_hands_it_over_once_and_says_which() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    let latch = Arc::new(KillLatch::default());
    let mut gateway = gateway(base, &latch);
    let id = HttpId::of_order(OrderCall::Place, ClientId::new(1, 9));
    let mut payload = Payload::new();
    payload.push(b"POST /fapi/v1/order?quantity=1\n\n").expect("room");
    let target = Target::Http { venue: VenueId(0), id, redact: None };
    let order = Some(OrderSpec::default());
    let meta = OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 500,
        target,
        epoch: 0,
        urgent: false,
        order,
    };
    assert!(meta.has_outcome() && meta.is_opening());
    let message = |number, meta| OutMsg { meta, token: MessageId(number), payload };
    assert_eq!(
        gateway.carry_out(&message(1, meta), 1_000),
        Some(SendFate::Refused(RefuseReason::Stale)),
        "too old"
    );
    latch.kill();
    assert_eq!(gateway.carry_out(&message(2, meta), 10), Some(SendFate::Refused(RefuseReason::Killed)));
    latch.release();
    let signed =
        OutMsg { payload: Payload { scheme: SignScheme::HmacSha256Hex, ..payload }, ..message(3, meta) };
    assert_eq!(gateway.carry_out(&signed, 10), Some(SendFate::Refused(RefuseReason::Unsigned)), "no secret");
    // A reduction passes the kill.
    latch.kill();
    let exit = OrderSpec { reduce_only: true, ..OrderSpec::default() };
    let meta = OutMeta { urgent: true, order: Some(exit), ..meta };
    assert_eq!(gateway.carry_out(&message(4, meta), 9_999), Some(SendFate::Handed));
    let (mut stream, _) = listener.accept().expect("one request");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a request");
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"POST /fapi/v1/order?quantity=1 HTTP/1.1"));
    drop(stream);
    // It is not sent a second time when the connection breaks: the outcome is unknown.
    let mut bytes = Vec::new();
    let reply = loop {
        let wait = Duration::from_millis(1);
        if let Some(inbound) = gateway.next(&mut bytes, true, wait, &mut || 0).expect("a poll") {
            break inbound.input;
        }
    };
    assert_eq!(reply, Input::HttpReply { venue: VenueId(0), id, status: 0 });
    listener.set_nonblocking(true).expect("a socket");
    assert!(listener.accept().is_err(), "refused orders and repetitions never got here");
    gateway.stop();
}
