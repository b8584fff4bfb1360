//! Faults of a simulated venue on request: what leaves a server is lost, doubled, spoilt or late, connections
//! end or fall silent, HTTP refuses, the clock is wrong; matching refuses, fills less, takes positions away.
//!
//! Knows no protocol: it works on pushes, connections, replies and the exchange behind, so every dialect has the
//! same faults. They are a function of the plan, its seed and the timed inputs, so a run under a simulated clock repeats to the byte.

mod plan;
mod skew;
#[cfg(test)]
mod tests;

pub use plan::{Fault, FaultCounts, FaultError, FaultKind, FaultPlan, Side, When};

use super::exchange::{Change, Exchange, ListingId, Refusal};
use super::market::random::Random;
use super::{HttpReply, HttpRequest, LedgerServer, Push, Server, SimConn, VenueLedger};
use crate::domain::time::{Nanos, SECOND};
use plan::{changes, classes, locks};
use skew::Skew;
use std::collections::{BTreeMap, VecDeque};

/// A server with faults.
pub struct Faulty<S> {
    inner: S,
    lines: Vec<Line>,
    links: BTreeMap<SimConn, Link>,
    /// Which connection, and where a message is cut.
    random: Random,
    counts: FaultCounts,
    /// The venue's clock.
    skew: Skew,
    /// What the server wants sent.
    pushes: Vec<Push>,
    /// What the plan's instants count from, wall ns.
    start: Nanos,
    /// How far the venue has come, wall ns.
    now: Nanos,
    /// How much later than usual the reply to the latest order request leaves.
    reply_delay: Nanos,
}

/// A fault of the plan under way.
struct Line {
    fault: Fault,
    random: Random,
    /// After this it strikes no more.
    last: Nanos,
    /// When it strikes next.
    due: Nanos,
    /// Instants of its list that are over.
    struck: usize,
    /// Messages that it shall still befall.
    armed: u32,
    /// Until when it lasts; `Nanos::MAX` = it is not there.
    until: Nanos,
    /// The change of a contract that it has made.
    made: Option<(ListingId, Change)>,
    /// The connections that it is going to cut.
    doomed: Vec<SimConn>,
}

/// A living connection.
#[derive(Default)]
struct Link {
    /// It stands since, wall ns.
    since: Nanos,
    /// Nothing leaves any more.
    half_open: bool,
    /// What waits, and until when.
    held: Option<(Nanos, VecDeque<Push>)>,
    /// Waits for the next message to go first.
    swapped: Option<Vec<u8>>,
}

impl Line {
    fn new(fault: Fault, random: Random, start: Nanos, last: Nanos) -> Self {
        let mut line = Self {
            fault,
            random,
            last,
            due: start,
            struck: 0,
            armed: 0,
            until: Nanos::MAX,
            made: None,
            doomed: Vec::new(),
        };
        line.plan_next(start);
        line
    }

    fn plan_next(&mut self, start: Nanos) {
        self.due = match &self.fault.when {
            When::At(instants) => {
                instants.get(self.struck).map_or(Nanos::MAX, |at| start.saturating_add(*at))
            }
            When::Every(mean) => self.due.saturating_add(self.random.between(1, 2 * mean)),
        };
        if self.due > self.last {
            self.due = Nanos::MAX;
        }
    }

    /// Which contract changes next, and how.
    fn change(&mut self, exchange: &Exchange) -> Option<(ListingId, Change)> {
        let known: Vec<Change> = changes(&exchange.settings().dialect).collect();
        let next = known.get((self.struck - 1) % known.len().max(1)).copied();
        let change = self.fault.change.map_or(next, |change| Some(change).filter(|c| known.contains(c)))?;
        let listing = match &self.fault.symbol {
            Some(symbol) => exchange.find(symbol)?,
            None => ListingId(self.random.below(exchange.listings().len() as u64) as u16),
        };
        Some((listing, change))
    }

    /// The contract is again as it was.
    fn take_back(&mut self, exchange: &mut Exchange, now: Nanos) {
        if let Some((listing, change)) = self.made.take() {
            exchange.change(listing, change, false, now);
        }
    }

    /// It strikes so often in the mean. What finds no occasion then waits for one, once: a quiet hour is not followed by
    /// an hour's faults at a stroke.
    fn is_random(&self) -> bool {
        matches!(self.fault.when, When::Every(_))
    }

    fn is_on(&self) -> bool {
        self.until != Nanos::MAX
    }
}

impl<S: LedgerServer> Faulty<S> {
    /// Gives `inner`, the venue of that name, its faults of `plan`; instants count from `start`, wall ns.
    pub fn new(inner: S, plan: &FaultPlan, venue: &str, start: Nanos) -> Self {
        let random = |name: &[u8], number: usize| {
            Random::keyed(plan.seed, &[b"fault", venue.as_bytes(), name, &(number as u64).to_le_bytes()])
        };
        let last = plan.until_ns.map_or(Nanos::MAX, |until| start.saturating_add(until));
        let line = |(number, fault): (usize, &Fault)| {
            Line::new(fault.clone(), random(b"times", number), start, last)
        };
        Self {
            inner,
            lines: plan.of(venue).map(line).collect(),
            links: BTreeMap::new(),
            random: random(b"choices", 0),
            counts: FaultCounts::default(),
            skew: Skew::default(),
            pushes: Vec::new(),
            start,
            now: start,
            reply_delay: 0,
        }
    }

    /// Moves the venue to `now`, halting at every instant at which a fault begins or ends.
    fn run_to(&mut self, now: Nanos, out: &mut Vec<Push>) {
        loop {
            let due = self.own_due();
            if due > now {
                break;
            }
            // What is too old when that begins to count has been so for a while.
            let due = due.max(self.now);
            self.now = due;
            self.inner.advance(self.skew.venue(due), &mut self.pushes);
            self.pass(None, out);
            self.end(due, out);
            self.strike(due, out);
        }
        self.now = now;
        self.inner.advance(self.skew.venue(now), &mut self.pushes);
        self.pass(None, out);
    }

    /// When a fault begins or ends next.
    fn own_due(&self) -> Nanos {
        let lines = self.lines.iter().map(|line| line.due.min(line.until));
        let links = self.links.values().filter_map(|link| link.held.as_ref().map(|(until, _)| *until));
        let ages = self.old_age().map(|(at, _)| at);
        lines.chain(links).chain(ages).min().unwrap_or(Nanos::MAX)
    }

    /// The connections that will be too old, and when.
    fn old_age(&self) -> impl Iterator<Item = (Nanos, SimConn)> + '_ {
        let lines = self.lines.iter().filter(|line| line.fault.kind == FaultKind::OldAge && line.struck > 0);
        lines.flat_map(|line| {
            let old = |(conn, link): (&SimConn, &Link)| {
                let meant = line.fault.side.holds(self.inner.is_private(*conn));
                meant.then(|| (link.since.saturating_add(line.fault.for_ns), *conn))
            };
            self.links.iter().filter_map(old)
        })
    }

    /// Ends what lasts until `now`.
    fn end(&mut self, now: Nanos, out: &mut Vec<Push>) {
        let mut doomed = Vec::new();
        for line in self.lines.iter_mut().filter(|line| line.until <= now) {
            line.until = Nanos::MAX;
            doomed.append(&mut line.doomed);
            match (line.fault.kind, self.inner.exchange_mut()) {
                (FaultKind::ClockSkew, _) => self.skew.turn(now, 0),
                (FaultKind::PriceBand, Some(exchange)) => exchange.trouble_mut().set_band(None),
                (FaultKind::Metadata, Some(exchange)) => line.take_back(exchange, now),
                _ => {}
            }
        }
        let old: Vec<SimConn> = self.old_age().filter(|(at, _)| *at <= now).map(|(_, conn)| conn).collect();
        self.counts.count_more(FaultKind::OldAge, old.len() as u64);
        doomed.extend(old);
        for conn in doomed {
            if self.links.contains_key(&conn) {
                self.hang_up(conn, now, out);
            }
        }
        for conn in self.conns(|_| true) {
            let Some(link) = self.links.get_mut(&conn) else { continue };
            if let Some((_, held)) = link.held.take_if(|(until, _)| *until <= now) {
                held.into_iter().for_each(|push| self.give(push, out));
            }
        }
    }

    /// Begins what is due at `now`.
    fn strike(&mut self, now: Nanos, out: &mut Vec<Push>) {
        for index in 0..self.lines.len() {
            while self.lines[index].due <= now {
                let line = &mut self.lines[index];
                line.struck += 1;
                line.plan_next(self.start);
                self.begin(index, now, out);
            }
        }
    }

    fn begin(&mut self, index: usize, now: Nanos, out: &mut Vec<Push>) {
        let Fault { kind, side, for_ns, .. } = self.lines[index].fault;
        match kind {
            FaultKind::Disconnect => {
                if let Some(conn) = self.pick(side) {
                    self.counts.count(kind);
                    self.hang_up(conn, now, out);
                }
            }
            FaultKind::HalfOpen => {
                if let Some(conn) = self.pick(side) {
                    self.counts.count(kind);
                    let since = self.links.get(&conn).map_or(now, |link| link.since);
                    self.links.insert(conn, Link { half_open: true, since, ..Link::default() });
                }
            }
            FaultKind::Stale | FaultKind::Http429 | FaultKind::Http418 | FaultKind::Maintenance => {
                self.counts.count(kind);
                self.lines[index].until = now.saturating_add(for_ns);
                if kind == FaultKind::Maintenance {
                    for conn in self.conns(|_| true) {
                        self.hang_up(conn, now, out);
                    }
                }
            }
            FaultKind::PlannedCut => {
                self.counts.count(kind);
                self.lines[index].until = now.saturating_add(for_ns);
                let mut conns = self.conns(|link| !link.half_open);
                conns.retain(|conn| side.holds(self.inner.is_private(*conn)));
                for conn in &conns {
                    if let Some(notice) = self.inner.notice(*conn, self.skew.venue(now)) {
                        self.say(*conn, notice, out);
                    }
                }
                self.lines[index].doomed.append(&mut conns);
            }
            FaultKind::ClockSkew => {
                self.counts.count(kind);
                self.lines[index].until = now.saturating_add(for_ns);
                self.skew.turn(now, self.lines[index].fault.by_ns);
            }
            FaultKind::FillBeforeAck
            | FaultKind::PartialFill
            | FaultKind::Reject
            | FaultKind::PriceBand
            | FaultKind::Adl
            | FaultKind::Metadata
            | FaultKind::SymbolLock => self.trouble(index, now),
            // What it means is seen from how old a connection is.
            FaultKind::OldAge => {}
            _ if self.lines[index].is_random() => self.lines[index].armed = 1,
            _ => self.lines[index].armed += 1,
        }
    }

    /// Tells the exchange what to do wrong.
    fn trouble(&mut self, index: usize, now: Nanos) {
        let line = &mut self.lines[index];
        let Some(exchange) = self.inner.exchange_mut() else { return };
        let waiting = exchange.trouble_mut().waiting();
        let waits = match line.fault.kind {
            FaultKind::FillBeforeAck => waiting.late_acks,
            FaultKind::PartialFill => waiting.partial,
            FaultKind::Reject => waiting.refused,
            FaultKind::Adl => waiting.deleveraged,
            FaultKind::SymbolLock => waiting.locked,
            _ => 0,
        };
        if line.is_random() && waits > 0 {
            return;
        }
        match line.fault.kind {
            FaultKind::FillBeforeAck => exchange.trouble_mut().acknowledge_late(line.fault.for_ns),
            FaultKind::PartialFill => exchange.trouble_mut().fill_in_part(),
            FaultKind::Reject => {
                let known: Vec<Refusal> = classes(&exchange.settings().dialect).collect();
                let next = known.get((line.struck - 1) % known.len().max(1)).copied();
                let class = line.fault.class.map_or(next, |class| Some(class).filter(|c| known.contains(c)));
                class.into_iter().for_each(|class| exchange.trouble_mut().refuse(class));
            }
            FaultKind::PriceBand => {
                self.counts.count(FaultKind::PriceBand);
                line.until = now.saturating_add(line.fault.for_ns);
                exchange.trouble_mut().set_band(Some(line.fault.band_ppb));
            }
            FaultKind::Adl => exchange.trouble_mut().deleverage(),
            FaultKind::Metadata => {
                line.take_back(exchange, now);
                if let Some((listing, change)) = line.change(exchange) {
                    self.counts.count(FaultKind::Metadata);
                    line.until = now.saturating_add(line.fault.for_ns);
                    line.made = Some((listing, change));
                    exchange.change(listing, change, true, now);
                }
            }
            FaultKind::SymbolLock if locks(&exchange.settings().dialect) => {
                exchange.trouble_mut().lock_next(line.fault.for_ns);
            }
            _ => {}
        }
    }

    fn conns(&self, wanted: impl Fn(&Link) -> bool) -> Vec<SimConn> {
        self.links.iter().filter(|(_, link)| wanted(link)).map(|(conn, _)| *conn).collect()
    }

    /// A connection that still works; none when there is none.
    fn pick(&mut self, side: Side) -> Option<SimConn> {
        let mut conns = self.conns(|link| !link.half_open);
        conns.retain(|conn| side.holds(self.inner.is_private(*conn)));
        let chosen = self.random.below(conns.len() as u64) as usize;
        conns.get(chosen).copied()
    }

    /// Closes a connection, whatever was still to be sent on it.
    fn hang_up(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.links.remove(&conn);
        out.push(Push::Close(conn));
        self.inner.on_closed(conn, self.skew.venue(now), &mut self.pushes);
        self.pass(None, out);
    }

    /// Whether a fault of that kind lasts.
    fn lasts(&self, kind: FaultKind) -> Option<&Line> {
        self.lines.iter().find(|line| line.fault.kind == kind && line.is_on())
    }

    /// Sends what the server wants sent, faults applied. `asked`: it is the answer to a message of that client.
    fn pass(&mut self, asked: Option<SimConn>, out: &mut Vec<Push>) {
        let mut pushes = std::mem::take(&mut self.pushes);
        for push in pushes.drain(..) {
            match push {
                Push::Text(conn, text) => self.text(conn, text, asked == Some(conn), out),
                other => self.give(other, out),
            }
        }
        self.pushes = pushes;
    }

    /// A message on its way out. Answers on market connections are left alone: faults of market data must not
    /// depend on how a dialect subscribes or keeps alive.
    fn text(&mut self, conn: SimConn, text: Vec<u8>, asked: bool, out: &mut Vec<Push>) {
        let private = self.inner.is_private(conn);
        let living = self.links.get(&conn).is_some_and(|link| !link.half_open);
        if !living || (asked && !private) {
            return self.say(conn, text, out);
        }
        let befalls = |line: &Line| line.fault.side.holds(private);
        if self.lines.iter().any(|line| line.fault.kind == FaultKind::Stale && line.is_on() && befalls(line))
        {
            return;
        }
        let Some(line) = self.lines.iter_mut().find(|line| line.armed > 0 && befalls(line)) else {
            return self.say(conn, text, out);
        };
        line.armed -= 1;
        let Fault { kind, for_ns, .. } = line.fault;
        self.counts.count(kind);
        self.befall(kind, for_ns, conn, text, out);
    }

    fn befall(&mut self, kind: FaultKind, for_ns: Nanos, conn: SimConn, text: Vec<u8>, out: &mut Vec<Push>) {
        match kind {
            FaultKind::Duplicate => {
                self.say(conn, text.clone(), out);
                self.say(conn, text, out);
            }
            FaultKind::Reorder => {
                let earlier = self.links.get_mut(&conn).and_then(|link| link.swapped.replace(text));
                if let Some(earlier) = earlier {
                    self.give(Push::Text(conn, earlier), out);
                }
            }
            FaultKind::Delay => {
                let until = self.now.saturating_add(for_ns);
                if let Some(link) = self.links.get_mut(&conn) {
                    let (held_until, _) = link.held.get_or_insert_with(|| (until, VecDeque::new()));
                    *held_until = until.max(*held_until);
                }
                self.say(conn, text, out);
            }
            FaultKind::Truncated => {
                let text = truncated(text, &mut self.random);
                self.say(conn, text, out);
            }
            FaultKind::Malformed => {
                let text = malformed(text, &mut self.random);
                self.say(conn, text, out);
            }
            _ => {} // a gap, a lost acknowledgement: never sent
        }
    }

    /// A message leaves, and behind it the one that it has overtaken.
    fn say(&mut self, conn: SimConn, text: Vec<u8>, out: &mut Vec<Push>) {
        self.give(Push::Text(conn, text), out);
        let overtaken = self.links.get_mut(&conn).and_then(|link| link.swapped.take());
        if let Some(overtaken) = overtaken {
            self.give(Push::Text(conn, overtaken), out);
        }
    }

    /// Hands a push to the transport, unless its connection waits or is half open.
    fn give(&mut self, push: Push, out: &mut Vec<Push>) {
        let (Push::Text(conn, _) | Push::Ping(conn, _) | Push::Close(conn)) = push;
        let Some(link) = self.links.get_mut(&conn) else { return };
        if link.half_open {
            return;
        }
        if let Some((_, held)) = &mut link.held {
            held.push_back(push);
            return;
        }
        if let Push::Close(conn) = push {
            self.links.remove(&conn);
        }
        out.push(push);
    }

    /// The reply to an order request over HTTP meets what befalls messages on private connections, as far as a
    /// reply can: it has no second and no successor.
    fn befall_reply(&mut self, reply: &mut HttpReply) {
        let befalls = |line: &&mut Line| {
            let kind = line.fault.kind;
            let can = matches!(
                kind,
                FaultKind::AckLost
                    | FaultKind::Gap
                    | FaultKind::Delay
                    | FaultKind::Truncated
                    | FaultKind::Malformed
            );
            can && line.armed > 0 && line.fault.side.holds(true)
        };
        let Some(line) = self.lines.iter_mut().find(befalls) else { return };
        line.armed -= 1;
        let Fault { kind, for_ns, .. } = line.fault;
        self.counts.count(kind);
        match kind {
            FaultKind::Delay => self.reply_delay = for_ns,
            FaultKind::Truncated => reply.body = truncated(std::mem::take(&mut reply.body), &mut self.random),
            FaultKind::Malformed => reply.body = malformed(std::mem::take(&mut reply.body), &mut self.random),
            _ => *reply = HttpReply { status: 0, headers: Vec::new(), body: Vec::new() },
        }
    }

    /// The refusal of every HTTP request while there is one.
    fn refusal(&self, now: Nanos) -> Option<HttpReply> {
        let kinds = [(FaultKind::Maintenance, 503), (FaultKind::Http418, 418), (FaultKind::Http429, 429)];
        let (line, status) = kinds.iter().find_map(|(kind, status)| Some((self.lasts(*kind)?, *status)))?;
        let seconds = (line.until - now).div_euclid(SECOND) + 1;
        Some(HttpReply {
            status,
            headers: vec![("Retry-After".to_owned(), seconds.to_string())],
            body: b"{\"error\":\"refused by a fault of the simulated venue\"}".to_vec(),
        })
    }
}

/// The beginning of a text, never all of it.
fn truncated(mut text: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let mut end = random.below(text.len() as u64) as usize;
    // A frame must stay UTF-8: a peer may close on anything else, which would be another fault.
    while text.get(end).is_some_and(|byte| byte & 0xc0 == 0x80) {
        end -= 1;
    }
    text.truncate(end);
    text
}

/// A text with one of its colons replaced, or its first byte where it has none.
fn malformed(mut text: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let colons: Vec<usize> =
        text.windows(2).enumerate().filter(|(_, w)| *w == b"\":").map(|(at, _)| at + 1).collect();
    match colons.get(random.below(colons.len() as u64) as usize) {
        Some(at) => text[*at] = b';',
        None => text.first_mut().into_iter().for_each(|byte| *byte = b'}'),
    }
    text
}

impl<S: LedgerServer> Server for Faulty<S> {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.run_to(now, out);
        if self.lasts(FaultKind::Maintenance).is_some() {
            return false;
        }
        self.links.insert(conn, Link { since: now, ..Link::default() });
        let accepted = self.inner.on_connect(conn, path, self.skew.venue(now), &mut self.pushes);
        if !accepted {
            self.links.remove(&conn);
        }
        self.pass(Some(conn), out);
        accepted
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        self.inner.on_text(conn, text, self.skew.venue(now), &mut self.pushes);
        self.pass(Some(conn), out);
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
        self.links.remove(&conn);
        self.inner.on_closed(conn, self.skew.venue(now), &mut self.pushes);
        self.pass(None, out);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        self.run_to(now, out);
        if let Some(refusal) = self.refusal(now) {
            return refusal;
        }
        let mut reply = self.inner.on_http(request, self.skew.venue(now), &mut self.pushes);
        self.pass(None, out);
        if self.inner.order_travel(request).is_some() {
            self.befall_reply(&mut reply);
        }
        reply
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        self.inner.order_travel(request)
    }

    fn reply_travel(&mut self) -> Nanos {
        self.inner.reply_travel() + std::mem::take(&mut self.reply_delay)
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        self.run_to(now, out);
    }

    fn next_due(&self) -> Nanos {
        self.skew.wall(self.inner.next_due(), self.now).min(self.own_due())
    }

    fn is_private(&self, conn: SimConn) -> bool {
        self.inner.is_private(conn)
    }
}

impl<S: LedgerServer> LedgerServer for Faulty<S> {
    fn ledger(&self) -> &VenueLedger {
        self.inner.ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        self.inner.ledger_mut()
    }

    fn exchange(&self) -> Option<&Exchange> {
        self.inner.exchange()
    }

    fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        self.inner.exchange_mut()
    }

    fn faults(&self) -> FaultCounts {
        let mut counts = self.counts;
        let Some(exchange) = self.inner.exchange() else { return counts };
        let trouble = exchange.trouble().counts();
        counts.count_more(FaultKind::PartialFill, trouble.partial);
        counts.count_more(FaultKind::Reject, trouble.refused);
        counts.count_more(FaultKind::FillBeforeAck, trouble.late_acks);
        counts.count_more(FaultKind::Adl, trouble.deleveraged);
        counts.count_more(FaultKind::SymbolLock, trouble.locked);
        counts
    }
}
