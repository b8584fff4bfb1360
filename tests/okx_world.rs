//! The OKX dialect against the simulated OKX venue, which shares no code with it: sessions, books, orders,
//! lost connections, lost frames. Everything runs under a simulated clock, millisecond by millisecond.

use perpring::core::registry::Registry;
use perpring::domain::effect::{
    HoleKind, HttpId, MessageId, OutMeta, Payload, SecretSlot, SessionAction, Target,
};
use perpring::domain::event::{Bbo, BookReason, BookState, EventBody, Seq, SessionRole};
use perpring::domain::input::{ConnId, DownReason, FrameMeta};
use perpring::domain::instrument::{CanonicalId, Instrument, InstrumentId, Price, Qty, VenueId};
use perpring::domain::intent::OrderRef;
use perpring::domain::money::Money;
use perpring::domain::order::{ClientId, OrderReport, OrderSpec, RejectClass, ReportKind, Side, TimeInForce};
use perpring::domain::params::{CanonicalParams, EngineParams, ListingParams, VenueParams};
use perpring::domain::text::{Currency, Symbol};
use perpring::domain::time::{MILLI, SECOND, Stamp};
use perpring::sim::{HttpRequest, LedgerServer, Push, SimAccount, SimConfig, SimConn, server};
use perpring::venue::{Adapter, Dialect, Emit, Encoder, OddKind, Out, Rendered, VenueContext, okx::Okx};
use std::collections::{BTreeMap, VecDeque};

const START: i64 = 1_790_000_000 * SECOND;
const VENUE: VenueId = VenueId(0);
const MARKET: ConnId = ConnId(0);
const ACCOUNT: ConnId = ConnId(1);
const ORDERS: ConnId = ConnId(2);
const BTC: InstrumentId = InstrumentId(0);
const ETH: InstrumentId = InstrumentId(1);

/// A book as the scanner would keep it.
#[derive(Default)]
struct Book {
    bids: BTreeMap<Price, Qty>,
    asks: BTreeMap<Price, Qty>,
    update_id: u64,
    state: BookState,
    reasons: Vec<BookReason>,
    /// Best prices that were told for the book's own update id, and agreed.
    agreed: usize,
}

impl Book {
    fn top(&self) -> Option<(Price, Qty, Price, Qty)> {
        let (bid, bid_qty) = self.bids.last_key_value()?;
        let (ask, ask_qty) = self.asks.first_key_value()?;
        Some((*bid, *bid_qty, *ask, *ask_qty))
    }

    /// A best price of the same instant must be the book's.
    fn check(&mut self, bbo: &Bbo) {
        if bbo.update_id == self.update_id && self.state == BookState::Live {
            assert_eq!(self.top(), Some((bbo.bid, bbo.bid_qty, bbo.ask, bbo.ask_qty)));
            self.agreed += 1;
        }
    }
}

/// Venue, adapter and encoder, and everything that was heard.
struct World {
    server: Box<dyn LedgerServer>,
    adapter: Box<dyn Adapter>,
    encoder: Box<dyn Encoder>,
    registry: Registry,
    account: SimAccount,
    out: Out,
    /// What the adapter emitted and was not dealt with yet; one thing at a time, in order.
    todo: VecDeque<Emit>,
    busy: bool,
    now: i64,
    conns: [Option<SimConn>; 3],
    epochs: [u32; 3],
    next_conn: u32,
    instruments: [Instrument; 2],
    books: [Book; 2],
    bbos: [Bbo; 2],
    ready: [bool; 3],
    reports: Vec<OrderReport>,
    positions: [i64; 2],
    wallet: Money,
    reconciled: usize,
    odd: Vec<OddKind>,
    /// Swallows the next depth update of BTC.
    lose_update: bool,
    /// Requests are not answered.
    mute_http: bool,
}

impl World {
    fn new() -> Self {
        let mut config = SimConfig::demo(7, &["okx"], 2).unwrap();
        config.start_wall_ns = START;
        for instrument in &mut config.instruments {
            // Prices drift but do not jump: an order a few ticks beyond the market is sure to fill.
            instrument.jump_every_ns = 0;
        }
        let symbols: Vec<Symbol> =
            config.venues[0].listings.iter().map(|l| Symbol::new(&l.symbol).unwrap()).collect();
        let currency = |text| Currency::new(text).unwrap();
        let canonical = |base| CanonicalParams {
            name: format!("{base}/USDT:USDT"),
            base: currency(base),
            quote: currency("USDT"),
            settle: currency("USDT"),
            ..CanonicalParams::default()
        };
        let listing = |at: usize| ListingParams {
            id: InstrumentId(at as u16),
            venue: VENUE,
            canonical: CanonicalId(at as u16),
            symbol: symbols[at],
        };
        let params = EngineParams {
            venues: vec![VenueParams {
                dialect: "okx".into(),
                order_valid_ms: 1_000,
                ..VenueParams::default()
            }],
            canonicals: vec![canonical("BTC"), canonical("ETH")],
            listings: vec![listing(0), listing(1)],
            ..EngineParams::default()
        };
        let context = VenueContext {
            venue: VENUE,
            params: params.venues[0].clone(),
            listings: params.listings.clone(),
            conn_base: MARKET,
            slot_base: SecretSlot(0),
            trading: true,
        };
        let mut world = Self {
            server: server("okx", &config).unwrap(),
            adapter: Okx.adapter(&context),
            encoder: Okx.encoder(&context),
            registry: Registry::new(&params),
            account: config.venues[0].accounts[0].clone(),
            out: Out::with_capacity(4096),
            todo: VecDeque::new(),
            busy: false,
            now: START,
            conns: [None; 3],
            epochs: [0; 3],
            next_conn: 0,
            instruments: [Instrument::default(); 2],
            books: Default::default(),
            bbos: Default::default(),
            ready: [false; 3],
            reports: Vec::new(),
            positions: [0; 2],
            wallet: Money::ZERO,
            reconciled: 0,
            odd: Vec::new(),
            lose_update: false,
            mute_http: false,
        };
        let stamp = world.stamp();
        world.adapter.on_start(stamp, &mut world.out);
        world.settle();
        world
    }

    /// Logged in, reconciled, both books live.
    fn trading() -> Self {
        let mut world = Self::new();
        world.until("everything is ready", |w| {
            w.ready == [true; 3] && w.books.iter().all(|book| book.state == BookState::Live)
        });
        world
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: self.now - START + SECOND, wall: self.now }
    }

    /// Lets milliseconds pass until `done`; 60 s at most.
    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        for _ in 0..60_000 {
            if done(self) {
                return;
            }
            self.pass(1);
        }
        panic!("never came true: {what}; ready {:?}, odd {:?}", self.ready, self.odd);
    }

    fn pass(&mut self, milliseconds: i64) {
        for _ in 0..milliseconds {
            self.now += MILLI;
            let mut pushes = Vec::new();
            self.server.advance(self.now, &mut pushes);
            self.deliver(pushes);
            let stamp = self.stamp();
            self.adapter.on_tick(stamp, &mut self.out);
            self.settle();
        }
    }

    fn deliver(&mut self, pushes: Vec<Push>) {
        for push in pushes {
            match push {
                Push::Text(to, text) => {
                    let Some(at) = self.conns.iter().position(|conn| *conn == Some(to)) else { continue };
                    let update = br#""books","instId":"BTC-USDT-SWAP"},"action":"update""#;
                    if self.lose_update && text.windows(update.len()).any(|part| part == update) {
                        self.lose_update = false;
                        continue;
                    }
                    let meta =
                        FrameMeta { conn: ConnId(at as u8), epoch: self.epochs[at], ..FrameMeta::default() };
                    let stamp = self.stamp();
                    self.adapter.on_frame(meta, &text, stamp, &mut self.out);
                    self.settle();
                }
                Push::Ping(..) => {}
                Push::Close(conn) => {
                    if let Some(at) = self.conns.iter().position(|have| *have == Some(conn)) {
                        self.lost(ConnId(at as u8), DownReason::Closed);
                    }
                }
            }
        }
    }

    fn lost(&mut self, conn: ConnId, reason: DownReason) {
        let at = conn.index();
        if let Some(gone) = self.conns[at].take() {
            let mut pushes = Vec::new();
            self.server.on_closed(gone, self.now, &mut pushes);
        }
        let stamp = self.stamp();
        self.adapter.on_conn_down(conn, self.epochs[at], reason, stamp, &mut self.out);
        self.settle();
    }

    /// Does what the adapter wants, and takes in what it says, until there is nothing more.
    fn settle(&mut self) {
        self.todo.extend(self.out.items());
        self.out.clear();
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        while let Some(item) = self.todo.pop_front() {
            match item {
                Emit::Event(event) => self.hear(event),
                Emit::Action(action) => self.act(action),
                Emit::Report(report) => self.reports.push(report),
                Emit::ReconcileEnd(_) => self.reconciled += 1,
                Emit::Odd(odd) => self.odd.push(odd.kind),
                Emit::Drift(_) | Emit::Leave { .. } | Emit::Execution(_) | Emit::ExecutionsRead(_) => {}
                Emit::Spec(spec) => {
                    let mut defined = Vec::new();
                    self.registry.on_spec(&spec, &mut defined).unwrap();
                    for instrument in defined {
                        self.instruments[instrument.id.index()] = instrument;
                        self.encoder.on_instrument(&instrument);
                        let stamp = self.stamp();
                        self.adapter.on_instrument(&instrument, stamp, &mut self.out);
                    }
                }
            }
            self.todo.extend(self.out.items());
            self.out.clear();
        }
        self.busy = false;
    }

    fn hear(&mut self, event: EventBody) {
        match event {
            EventBody::Levels(chunk) => {
                let book = &mut self.books[chunk.instrument.index()];
                if chunk.clear {
                    (book.bids, book.asks) = Default::default();
                }
                let (bids, asks) = (usize::from(chunk.bids), usize::from(chunk.asks));
                for (i, (price, qty)) in chunk.levels[..bids + asks].iter().enumerate() {
                    let side = if i < bids { &mut book.bids } else { &mut book.asks };
                    if qty.0 == 0 {
                        side.remove(price)
                    } else {
                        side.insert(*price, *qty)
                    };
                }
                if chunk.last {
                    book.update_id = chunk.update_id;
                    let (bid, ask) = (book.bids.last_key_value(), book.asks.first_key_value());
                    assert!(bid.zip(ask).is_none_or(|(bid, ask)| bid.0 < ask.0), "crossed");
                    book.check(&self.bbos[chunk.instrument.index()]);
                }
            }
            EventBody::Bbo(bbo) => {
                self.bbos[bbo.instrument.index()] = bbo;
                self.books[bbo.instrument.index()].check(&bbo);
            }
            EventBody::Book(status) => {
                let book = &mut self.books[status.instrument.index()];
                book.state = status.state;
                book.reasons.push(status.reason);
            }
            EventBody::Session(status) => {
                self.ready[match status.role {
                    SessionRole::Market => 0,
                    SessionRole::Account => 1,
                    SessionRole::Orders => 2,
                }] = status.ready;
            }
            EventBody::Position(position) => self.positions[position.instrument.index()] = position.qty,
            EventBody::Balance(balance) => self.wallet = balance.wallet,
            _ => {}
        }
    }

    fn act(&mut self, action: SessionAction) {
        let (stamp, mut payload) = (self.stamp(), Payload::new());
        match action {
            SessionAction::Connect { conn, slot } => {
                self.encoder.connect(conn, slot, &mut payload).unwrap();
                self.next_conn += 1;
                let (at, name) = (conn.index(), SimConn(self.next_conn));
                let mut pushes = Vec::new();
                let path = String::from_utf8(payload.text().to_vec()).unwrap();
                assert!(self.server.on_connect(name, &path, self.now, &mut pushes));
                self.conns[at] = Some(name);
                self.epochs[at] += 1;
                self.adapter.on_conn_up(conn, self.epochs[at], stamp, &mut self.out);
                self.settle();
                self.deliver(pushes);
            }
            SessionAction::Close { conn } => self.lost(conn, DownReason::Ours),
            SessionAction::Send { conn, what } => {
                self.encoder.send(conn, what, stamp, &mut payload).unwrap();
                self.write(conn, &payload);
            }
            SessionAction::Http { id, what, .. } => {
                assert_eq!(self.encoder.http(what, stamp, &mut payload), Ok(None));
                self.request(id, &payload);
            }
            SessionAction::Query(_) => unreachable!("the ledger's word"),
        }
    }

    fn write(&mut self, conn: ConnId, payload: &Payload) {
        let text = self.filled(payload);
        let Some(to) = self.conns[conn.index()] else { return };
        let mut pushes = Vec::new();
        self.server.on_text(to, text.as_bytes(), self.now, &mut pushes);
        self.deliver(pushes);
    }

    fn request(&mut self, id: HttpId, payload: &Payload) {
        let text = self.filled(payload);
        if self.mute_http {
            return;
        }
        let (head, body) = text.split_once("\n\n").unwrap();
        let mut lines = head.lines();
        let (method, target) = lines.next().unwrap().split_once(' ').unwrap();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let header =
            |line: &str| line.split_once(": ").map(|(k, v)| (k.to_lowercase(), v.to_owned())).unwrap();
        let request = HttpRequest {
            method: method.into(),
            path: path.into(),
            query: query.into(),
            headers: lines.map(header).collect(),
            body: body.into(),
        };
        let mut pushes = Vec::new();
        let reply = self.server.on_http(&request, self.now, &mut pushes);
        let stamp = self.stamp();
        self.adapter.on_http(id, reply.status, &reply.body, stamp, &mut self.out);
        self.settle();
        self.deliver(pushes);
    }

    /// What the gateway would put on the wire.
    fn filled(&self, payload: &Payload) -> String {
        let (mut text, mut from) = (String::new(), 0);
        for hole in payload.text_holes() {
            let at = usize::from(hole.at);
            text += std::str::from_utf8(&payload.text()[from..at]).unwrap();
            text += &match hole.kind {
                HoleKind::ApiKey => self.account.api_key.clone(),
                HoleKind::Passphrase => self.account.passphrase.clone(),
                HoleKind::Signature => sign(&self.account.secret, payload.sign_text()),
                HoleKind::Slot(_) => unreachable!("OKX has no listen keys"),
            };
            from = at;
        }
        text + std::str::from_utf8(&payload.text()[from..]).unwrap()
    }

    fn meta(&self) -> OutMeta {
        OutMeta {
            amends: false,
            replaces: ClientId::NONE,
            message: MessageId(1),
            cause: Seq(1),
            cause_mono: 0,
            age_max: 0,
            target: Target::Socket(ORDERS),
            epoch: 0,
            urgent: false,
            order: None,
        }
    }

    /// Sends an order and returns its reports once it is `done`.
    fn order(&mut self, order: OrderSpec, done: ReportKind) -> Vec<OrderReport> {
        let (stamp, meta, mut payload) = (self.stamp(), self.meta(), Payload::new());
        assert_eq!(self.encoder.order(&order, &meta, stamp, &mut payload), Ok(Rendered::Socket(ORDERS)));
        self.write(ORDERS, &payload);
        let id = order.client_id;
        self.until("the order is done", |w| w.reports.iter().any(|r| r.client_id == id && r.kind == done));
        self.pass(20);
        self.of(id)
    }

    fn of(&self, id: ClientId) -> Vec<OrderReport> {
        self.reports.iter().filter(|report| report.client_id == id).copied().collect()
    }

    fn reference(id: ClientId, instrument: InstrumentId) -> OrderRef {
        OrderRef { client_id: id, venue: VENUE, instrument }
    }

    fn cancel(&mut self, id: ClientId, instrument: InstrumentId) {
        let (stamp, meta, mut payload) = (self.stamp(), self.meta(), Payload::new());
        self.encoder.cancel(&Self::reference(id, instrument), &meta, stamp, &mut payload).unwrap();
        self.write(ORDERS, &payload);
        self.pass(20);
    }

    fn query(&mut self, id: ClientId, instrument: InstrumentId) {
        let (stamp, meta, mut payload) = (self.stamp(), self.meta(), Payload::new());
        let rendered = self.encoder.query(&Self::reference(id, instrument), &meta, stamp, &mut payload);
        assert_eq!(rendered, Ok(Rendered::Http));
        self.request(HttpId(1 << 31 | id.tag()), &payload);
        self.pass(5);
    }

    /// An order of `steps` times the smallest step, `ticks` beyond the best opposite price (negative: short
    /// of it).
    fn spec(&self, n: u64, instrument: InstrumentId, side: Side, steps: i64, ticks: i64) -> OrderSpec {
        let (listing, top) =
            (&self.instruments[instrument.index()], self.books[instrument.index()].top().unwrap());
        let best = if side == Side::Buy { top.2 } else { top.0 };
        OrderSpec {
            client_id: ClientId::new(1, n),
            venue: VENUE,
            instrument,
            side,
            qty: Qty(steps * listing.step),
            price: Price(best.0 + side.sign() * ticks * listing.tick),
            tif: TimeInForce::Ioc,
            reduce_only: false,
        }
    }
}

fn sign(secret: &str, text: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let mut out = String::new();
    for chunk in ring::hmac::sign(&key, text).as_ref().chunks(3) {
        let word = chunk.iter().enumerate().fold(0u32, |w, (i, b)| w | u32::from(*b) << (16 - 8 * i));
        for i in 0..4 {
            out.push(if i <= chunk.len() {
                DIGITS[(word >> (18 - 6 * i) & 63) as usize] as char
            } else {
                '='
            });
        }
    }
    out
}

/// Filled quantity and cost as the reports tell, each trade once.
fn filled(reports: &[OrderReport]) -> (i64, Money) {
    let mut trades = BTreeMap::new();
    for fill in reports.iter().filter_map(|report| report.fill) {
        let entry: &mut (i64, Option<Money>) = trades.entry(fill.trade_id).or_default();
        entry.0 = fill.qty.0;
        entry.1 = entry.1.or(fill.fee);
    }
    trades
        .values()
        .fold((0, Money::ZERO), |(qty, cost), (q, c)| (qty + q, cost + c.expect("a fill without fee")))
}

#[test]
fn books_stay_true_and_agree_with_the_best_prices() {
    let mut world = World::trading();
    world.pass(20_000);
    for book in &world.books {
        assert_eq!((book.state, &book.reasons[..]), (BookState::Live, &[BookReason::Sync; 2][..]));
        assert!(book.agreed > 10, "{} best prices compared", book.agreed);
    }
    assert_eq!(world.odd, []);
}

#[test]
fn a_lost_update_is_found_and_only_that_book_resynced() {
    let mut world = World::trading();
    for lost in 1..=3 {
        world.lose_update = true;
        world.until("an update is lost", |w| !w.lose_update);
        let gaps = |w: &World| w.books[0].reasons.iter().filter(|reason| **reason == BookReason::Gap).count();
        world.until("the gap is found and the book is back", |w| {
            gaps(w) == lost && w.books[0].state == BookState::Live
        });
    }
    assert_eq!(world.books[0].reasons[2..], [BookReason::Gap, BookReason::Sync].repeat(3));
    assert_eq!(world.books[1].reasons.len(), 2);
    world.books[0].agreed = 0;
    world.pass(5_000);
    assert!(world.books[0].agreed > 2);
    assert_eq!(world.odd, []);
}

#[test]
fn orders_fill_cancel_and_fail_as_the_venues_ledger_says() {
    let mut world = World::trading();
    let (deposit, mut cost) = (world.wallet, Money::ZERO);
    // Through several levels, so in several fills.
    for (n, instrument, side) in [(1, BTC, Side::Buy), (2, ETH, Side::Sell)] {
        let order = world.spec(n, instrument, side, if instrument == BTC { 10_000 } else { 20_000 }, 400);
        let reports = world.order(order, ReportKind::Filled);
        assert_eq!(reports[0].kind, ReportKind::Acked);
        let (qty, paid) = filled(&reports);
        assert_eq!(qty, order.qty.0);
        assert!(
            reports.iter().filter(|report| report.fill.is_some()).count() > 1,
            "several levels, several fills"
        );
        assert!(paid > Money::ZERO);
        cost += paid;
        assert_eq!(world.positions[instrument.index()], side.sign() * qty);
    }
    // A miss: an IOC order that cannot trade is cancelled without a fill.
    let miss = world.spec(3, BTC, Side::Buy, 5, -400);
    let reports = world.order(miss, ReportKind::Canceled);
    assert_eq!(filled(&reports).0, 0);
    // Rest, then cancel; cancel again.
    let rest = OrderSpec { tif: TimeInForce::PostOnly, ..world.spec(4, ETH, Side::Sell, 7, -300) };
    assert_eq!(world.order(rest, ReportKind::Open).last().unwrap().kind, ReportKind::Open);
    world.cancel(rest.client_id, ETH);
    assert_eq!(world.of(rest.client_id).last().unwrap().kind, ReportKind::Canceled);
    world.cancel(rest.client_id, ETH);
    let last = world.of(rest.client_id).pop().unwrap();
    assert_eq!((last.kind, last.reject), (ReportKind::CancelRejected, RejectClass::NotFound));
    // A post-only order that would take is cancelled by the venue, and says so.
    let taker = OrderSpec { tif: TimeInForce::PostOnly, ..world.spec(5, ETH, Side::Buy, 7, 50) };
    assert_eq!(world.order(taker, ReportKind::Canceled).last().unwrap().reject, RejectClass::PostOnly);
    // Refusals: the price band, a used id, nothing to reduce.
    let far = world.spec(6, BTC, Side::Buy, 5, 200_000);
    assert_eq!(world.order(far, ReportKind::Rejected)[0].reject, RejectClass::PriceBand);
    let open = OrderSpec { tif: TimeInForce::Gtc, ..world.spec(7, BTC, Side::Buy, 5, -15_000) };
    world.order(open, ReportKind::Open);
    assert_eq!(world.order(open, ReportKind::Rejected).last().unwrap().reject, RejectClass::Duplicate);
    let more = OrderSpec { reduce_only: true, ..world.spec(8, BTC, Side::Buy, 5, 100) };
    assert_eq!(world.order(more, ReportKind::Rejected)[0].reject, RejectClass::ReduceOnly);
    // Back to flat, reduce-only.
    for (n, instrument) in [(9, BTC), (10, ETH)] {
        let held = world.positions[instrument.index()];
        let side = if held > 0 { Side::Sell } else { Side::Buy };
        let steps = held.abs() / world.instruments[instrument.index()].step;
        let exit = OrderSpec { reduce_only: true, ..world.spec(n, instrument, side, steps, 600) };
        cost += filled(&world.order(exit, ReportKind::Filled)).1;
    }
    assert_eq!(world.positions, [0, 0]);
    let account = world.server.ledger().account_ids().last().unwrap();
    let totals = world.server.ledger().totals(account);
    assert_eq!(cost, totals.fees, "fees to the last unit");
    assert_eq!(world.wallet, totals.wallet);
    assert_eq!(totals.wallet, deposit + totals.realised - totals.fees);
    assert_eq!(world.odd, []);
}

#[test]
fn what_happens_while_the_account_is_away_is_learnt_afterwards() {
    let mut world = World::trading();
    let rest = OrderSpec { tif: TimeInForce::Gtc, ..world.spec(1, BTC, Side::Buy, 5, -15_000) };
    world.order(rest, ReportKind::Open);
    world.lost(ACCOUNT, DownReason::Broken);
    assert!(!world.ready[1]);
    // The order connection still works: an order fills unheard, through several levels.
    let unheard = world.spec(2, ETH, Side::Buy, 20_000, 400);
    let (stamp, meta, mut payload) = (world.stamp(), world.meta(), Payload::new());
    world.encoder.order(&unheard, &meta, stamp, &mut payload).unwrap();
    world.write(ORDERS, &payload);
    world.pass(20);
    assert!(world.of(unheard.client_id).iter().all(|report| report.fill.is_none()));
    world.reports.clear();
    let before = world.reconciled;
    world.until("the account is back", |w| w.ready[1]);
    assert_eq!(world.reconciled, before + 1);
    let open = world.of(rest.client_id);
    assert_eq!((open.len(), open[0].kind), (1, ReportKind::Open), "named by the list of open orders");
    assert_eq!(world.positions[1], unheard.qty.0);
    // What the ledger does next: ask about the order that the list did not name.
    world.query(unheard.client_id, ETH);
    world.until("the fills are listed", |w| filled_qty(&w.of(unheard.client_id)) == unheard.qty.0);
    let reports = world.of(unheard.client_id);
    assert!(reports.iter().any(|r| r.kind == ReportKind::Filled && r.filled == Some(unheard.qty)));
    let account = world.server.ledger().account_ids().last().unwrap();
    assert_eq!(filled(&reports).1, world.server.ledger().totals(account).fees);
    // An order that never arrived.
    let never = ClientId::new(1, 77);
    world.query(never, BTC);
    let last = world.reports.last().unwrap();
    assert_eq!((last.kind, last.venue_order_id), (ReportKind::NotFound, u64::from(never.tag())));
    // The order connection lost: listed again once it is back.
    world.lost(ORDERS, DownReason::Closed);
    world.until("order entry is back", |w| w.ready[2] && w.reconciled == before + 2);
    world.cancel(rest.client_id, BTC);
    assert_eq!(world.of(rest.client_id).last().unwrap().kind, ReportKind::Canceled);
    assert_eq!(world.odd, []);
}

/// Quantity of distinct trades, with or without fee.
fn filled_qty(reports: &[OrderReport]) -> i64 {
    let trades: BTreeMap<u64, i64> =
        reports.iter().filter_map(|r| r.fill).map(|f| (f.trade_id, f.qty.0)).collect();
    trades.values().sum()
}

#[test]
fn a_dead_venue_is_pinged_left_and_come_back_to() {
    let mut world = World::trading();
    world.lost(MARKET, DownReason::Broken);
    assert!(world.books.iter().all(|book| book.state == BookState::Invalid));
    world.until("the books are back", |w| w.books.iter().all(|book| book.state == BookState::Live));
    // Order entry is silent but alive: pings keep it so for minutes.
    let epochs = world.epochs;
    world.pass(150_000);
    assert_eq!((world.epochs, world.ready), (epochs, [true; 3]));
    // Replies that never come do not stop the sessions, but the account stays unknown.
    world.mute_http = true;
    world.lost(ACCOUNT, DownReason::Broken);
    world.pass(30_000);
    assert_eq!(world.ready, [true, false, true]);
    world.mute_http = false;
    world.until("the account is known", |w| w.ready[1]);
    assert_eq!(world.odd, []);
}

#[test]
fn wrong_keys_leave_market_data_running() {
    let mut world = World::new();
    world.account.secret = "wrong".into();
    world.pass(10_000);
    assert_eq!(world.ready, [true, false, false]);
    assert!(world.odd.len() >= 2 && world.odd.iter().all(|odd| *odd == OddKind::Refused));
    assert!(world.books.iter().all(|book| book.state == BookState::Live));
}
