//! Orders over HTTP as the declared fallback: the order connection is cut between two legs, and again; what ends a
//! risk goes the other way meanwhile, the ledgers equal the venues', no rule is broken, and the run replays.

use crate::simulated::{TempDir, assembled, assert_ledgers_equal, sim_config};
use perpring::domain::input::Command;
use perpring::domain::params::{OrderFallback, OrderRoute, RiskParams};
use perpring::domain::time::{MICRO, Nanos, SECOND};
use perpring::ops::watch::Counts;
use perpring::replay::check::check_dir;
use perpring::replay::verify::verify;
use perpring::sim::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConn, VenueLedger, server_at};
use perpring::topology::world;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const BOTH: [&str; 2] = ["binance-usdm", "okx"];

/// How long the venue takes no order connection after a cut.
const CUT: Nanos = 4 * SECOND;

/// What the venues saw.
#[derive(Default)]
struct Seen {
    cuts: AtomicU64,
    /// Over HTTP: orders, of them those that may open a position, and questions about orders.
    placed: AtomicU64,
    opening: AtomicU64,
    asked: AtomicU64,
}

/// A venue that hangs up on its order connection at every so many orders: the order at hand is executed without an
/// answer, or is lost, in turn.
struct Cut {
    inner: Box<dyn LedgerServer>,
    every: u64,
    orders: u64,
    /// The connection that was cut, as the engine numbers it, and until when it is refused.
    refused: Option<(u32, Nanos)>,
    seen: Arc<Seen>,
}

impl Cut {
    /// Epochs of one connection of the engine have the low byte in common.
    fn line(conn: SimConn) -> u32 {
        conn.0 & 0xff
    }
}

impl Server for Cut {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        let refused = self.refused.is_some_and(|(line, until)| line == Self::line(conn) && now < until);
        !refused && self.inner.on_connect(conn, path, now, out)
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let has = |needle: &[u8]| text.windows(needle.len()).any(|part| part == needle);
        if !has(b"order.place") && !has(b"\"op\":\"order\"") {
            return self.inner.on_text(conn, text, now, out);
        }
        self.orders += 1;
        if !self.orders.is_multiple_of(self.every) {
            return self.inner.on_text(conn, text, now, out);
        }
        if self.orders.is_multiple_of(2 * self.every) {
            self.inner.on_text(conn, text, now, out);
        }
        self.seen.cuts.fetch_add(1, Ordering::Relaxed);
        self.refused = Some((Self::line(conn), now + CUT));
        self.inner.on_closed(conn, now, out);
        out.push(Push::Close(conn));
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.inner.on_closed(conn, now, out);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        let about = request.path.ends_with("/v1/order") || request.path.ends_with("/trade/order");
        let places = about && request.method == "POST";
        let text = format!("{}{}", request.query, String::from_utf8_lossy(&request.body));
        let reduces = text.contains("reduceOnly");
        self.seen.placed.fetch_add(u64::from(places), Ordering::Relaxed);
        self.seen.opening.fetch_add(u64::from(places && !reduces), Ordering::Relaxed);
        self.seen.asked.fetch_add(u64::from(about && request.method == "GET"), Ordering::Relaxed);
        self.inner.on_http(request, now, out)
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        self.inner.order_travel(request)
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

impl LedgerServer for Cut {
    fn ledger(&self) -> &VenueLedger {
        self.inner.ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.inner.ledger_mut()
    }
}

/// What became of a world whose venues cut their order connections: counts, and what each venue saw.
fn traded(fallback: OrderFallback) -> (Counts, Vec<Arc<Seen>>) {
    let dir = TempDir::new();
    let sim = sim_config(7, &BOTH, |_| {});
    let mut params = world::engine_params(&sim, 7, world::demo_scan(), RiskParams::default());
    // Losing streaks must not end the experiment.
    params.risk.consecutive_failures_max = 1_000_000;
    params.risk.daily_loss_max_usd = 1_000_000;
    for venue in &mut params.venues {
        assert_eq!(venue.orders, OrderRoute::Websocket);
        venue.orders_fallback = fallback;
    }
    let seen: Vec<Arc<Seen>> = sim.venues.iter().map(|_| Arc::default()).collect();
    let cut = |(venue, seen): (usize, &Arc<Seen>)| {
        let (inner, seen) = (server_at(&sim, venue).expect("a valid world"), Arc::clone(seen));
        let every = [5, 7][venue];
        Box::new(Cut { inner, every, orders: 0, refused: None, seen }) as Box<dyn LedgerServer>
    };
    let servers = seen.iter().enumerate().map(cut).collect();
    let (mut simulation, config) = assembled(&sim, params, servers, 100 * MICRO, Some(dir.path()));
    simulation.run_for(90 * SECOND);
    simulation.command(Command::Reduce);
    simulation.run_for(40 * SECOND);
    let counts = *simulation.engine().keeper().watch().counts();
    assert_eq!(counts.trades_opened, counts.trades_closed, "{fallback:?}: {counts:?}");
    let open = simulation.engine().river().parts().decode.ledger().open_orders().count();
    assert_eq!(open, 0, "{fallback:?}: nothing stays unknown");
    assert_ledgers_equal(&mut simulation);
    simulation
        .into_parts()
        .0
        .into_parts()
        .1
        .into_parts()
        .0
        .expect("recorded")
        .close()
        .expect("temporary disk");
    assert_eq!(check_dir(dir.path(), &config.params).expect("a journal"), Vec::<String>::new());
    let report = verify(dir.path(), &mut |_| {}).expect("a readable journal");
    assert_eq!((report.divergence, report.unrecorded), (None, 0), "{fallback:?}");
    (counts, seen)
}

fn each(seen: &[Arc<Seen>], count: impl Fn(&Seen) -> &AtomicU64) -> Vec<u64> {
    seen.iter().map(|seen| count(seen).load(Ordering::Relaxed)).collect()
}

#[test]
fn with_the_order_connection_cut_between_legs_reductions_and_questions_go_over_http() {
    let (counts, seen) = traded(OrderFallback::Reductions);
    let [cuts, placed, asked] =
        [each(&seen, |s| &s.cuts), each(&seen, |s| &s.placed), each(&seen, |s| &s.asked)];
    println!("{counts:?}; cuts {cuts:?}, placed over HTTP {placed:?}, asked {asked:?}");
    assert!(cuts.iter().all(|cuts| *cuts >= 2), "{cuts:?}");
    assert!(placed.iter().sum::<u64>() > 0, "what ends a risk found its way: {placed:?}");
    assert!(asked.iter().all(|asked| *asked > 0), "the fate of cut orders was asked for: {asked:?}");
}

#[test]
fn entries_go_over_http_too_where_that_is_configured() {
    let (counts, seen) = traded(OrderFallback::All);
    let [placed, opening] = [each(&seen, |s| &s.placed), each(&seen, |s| &s.opening)];
    println!("{counts:?}; placed over HTTP {placed:?}, opening {opening:?}");
    assert!(opening.iter().sum::<u64>() > 0, "{opening:?}");
}

#[test]
fn without_a_declared_fallback_no_order_takes_another_way() {
    let (counts, seen) = traded(OrderFallback::Off);
    println!("{counts:?}");
    assert_eq!(each(&seen, |s| &s.placed), [0, 0]);
}
