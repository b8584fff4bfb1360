//! The session machines, frame by frame.

use super::super::adapter::DeribitAdapter;
use super::super::calls;
use crate::domain::effect::{SecretSlot, SessionAction};
use crate::domain::event::{BookReason, BookState, EventBody};
use crate::domain::input::{ConnId, FrameMeta};
use crate::domain::instrument::{CanonicalId, Instrument, InstrumentId, VenueId};
use crate::domain::order::{ClientId, RejectClass, ReportKind};
use crate::domain::params::{ListingParams, VenueParams};
use crate::domain::text::Symbol;
use crate::domain::time::{MILLI, SECOND, Stamp};
use crate::venue::deribit::asks::Ask;
use crate::venue::{Adapter, Emit, OddKind, Out, VenueContext};

const NAMES: [&str; 2] = ["BTC_USDC-PERPETUAL", "ETH_USDC-PERPETUAL"];

/// Code and instrument of a session call.
type Sent = (u16, Option<InstrumentId>);
/// A change of a book's state.
type Changed = (u16, BookState, BookReason);

struct Rig {
    adapter: DeribitAdapter,
    out: Out,
    now: i64,
}

impl Rig {
    /// Both books are subscribed and live.
    fn live() -> Self {
        let listing = |at: usize| ListingParams {
            id: InstrumentId(at as u16),
            venue: VenueId(0),
            canonical: CanonicalId(at as u16),
            symbol: Symbol::new(NAMES[at]).unwrap(),
        };
        let context = VenueContext {
            venue: VenueId(0),
            params: VenueParams::default(),
            listings: vec![listing(0), listing(1)],
            conn_base: ConnId(0),
            slot_base: SecretSlot(0),
            trading: true,
        };
        let adapter = DeribitAdapter::new(&context);
        let mut rig = Self { adapter, out: Out::with_capacity(64), now: SECOND };
        rig.adapter.on_start(rig.stamp(), &mut rig.out);
        for at in 0..2 {
            let instrument = Instrument {
                id: InstrumentId(at),
                price_scale: 1,
                qty_scale: 3,
                generation: 1,
                ..Instrument::default()
            };
            rig.adapter.on_instrument(&instrument, rig.stamp(), &mut rig.out);
        }
        for conn in [0, 2] {
            rig.adapter.on_conn_up(ConnId(conn), 1, rig.stamp(), &mut rig.out);
        }
        for name in NAMES {
            rig.frame(0, &book(name, 10, None));
        }
        rig.out.clear();
        rig
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: self.now, wall: 1_790_000_000 * SECOND + self.now }
    }

    fn frame(&mut self, conn: u8, text: &str) {
        let meta = FrameMeta { conn: ConnId(conn), epoch: 1, ..FrameMeta::default() };
        self.adapter.on_frame(meta, text.as_bytes(), self.stamp(), &mut self.out);
    }

    fn tick(&mut self) {
        self.now += MILLI;
        self.adapter.on_tick(self.stamp(), &mut self.out);
    }

    /// Codes and instruments of what was sent, and the changes of books, since the last call.
    fn said(&mut self) -> (Vec<Sent>, Vec<Changed>) {
        let (mut sent, mut books) = (Vec::new(), Vec::new());
        for item in self.out.items() {
            match item {
                Emit::Action(SessionAction::Send { what, .. }) => sent.push((what.op, what.instrument)),
                Emit::Event(EventBody::Book(b)) => books.push((b.instrument.0, b.state, b.reason)),
                _ => {}
            }
        }
        self.out.clear();
        (sent, books)
    }
}

fn book(name: &str, id: u64, prev: Option<u64>) -> String {
    let kind = if prev.is_some() { "change" } else { "snapshot" };
    let prev = prev.map_or_else(String::new, |prev| format!(r#""prev_change_id":{prev},"#));
    format!(
        r#"{{"params":{{"data":{{{prev}"type":"{kind}","timestamp":1,"change_id":{id},"instrument_name":"{name}","bids":[["new",1e2,1.0]],"asks":[]}},"channel":"book.{name}.100ms"}},"method":"subscription","jsonrpc":"2.0"}}"#
    )
}

#[test]
fn a_gap_resyncs_only_the_broken_book_and_waits_longer_the_second_time() {
    let mut rig = Rig::live();
    rig.frame(0, &book(NAMES[0], 14, Some(12)));
    rig.frame(0, &book(NAMES[1], 14, Some(10)));
    assert_eq!(rig.said().1, [(0, BookState::Invalid, BookReason::Gap)]);
    rig.tick();
    let id = Some(InstrumentId(0));
    let again = [(calls::UNSUBSCRIBE_BOOK, id), (calls::SUBSCRIBE_BOOK, id)];
    assert_eq!(rig.said().0, again);
    rig.frame(0, &book(NAMES[0], 20, None));
    assert_eq!(rig.said().1, [(0, BookState::Live, BookReason::Sync)]);
    rig.frame(0, &book(NAMES[0], 30, Some(25)));
    rig.tick();
    let (sent, books) = rig.said();
    assert_eq!((sent, books), (vec![], vec![(0, BookState::Invalid, BookReason::Gap)]), "it backs off");
    rig.now += SECOND;
    rig.tick();
    assert_eq!(rig.said().0, again);
}

#[test]
fn a_test_request_is_answered_at_once_and_a_refused_order_is_told() {
    let mut rig = Rig::live();
    rig.frame(0, r#"{"params":{"type":"test_request"},"method":"heartbeat","jsonrpc":"2.0"}"#);
    assert_eq!(rig.said().0, [(calls::TEST, None)]);
    let id = ClientId::new(3, 7);
    rig.frame(2, &format!(r#"{{"error":{{"message":"not_enough_funds","code":10009}},"id":"{id}"}}"#));
    let told = rig.out.items().iter().find_map(|item| match item {
        Emit::Report(report) => Some((report.client_id, report.kind, report.reject)),
        _ => None,
    });
    assert_eq!(told, Some((id, ReportKind::Rejected, RejectClass::Margin)));
}

fn asks(rig: &Rig) -> usize {
    let asked = |item: &&Emit| matches!(item, Emit::Action(SessionAction::Http { what, .. }) if what.op == calls::INSTRUMENTS);
    rig.out.items().iter().filter(asked).count()
}

#[test]
fn a_state_of_an_order_that_is_not_documented_is_no_report_but_counted() {
    let mut rig = Rig::live();
    let order = |state: &str| {
        format!(
            r#"{{"params":{{"data":{{"order_id":"7","instrument_name":"{}","label":"{}","direction":"buy","order_state":"{state}","filled_amount":0.0,"amount":10.0,"price":100.0}},"channel":"user.orders.any.any.raw"}},"method":"subscription","jsonrpc":"2.0"}}"#,
            NAMES[0],
            ClientId::new(3, 7)
        )
    };
    let told = |rig: &Rig| {
        let reports = rig.out.items().iter().filter(|item| matches!(item, Emit::Report(_))).count();
        let odd = |item: &&Emit| matches!(item, Emit::Odd(odd) if odd.kind == OddKind::UnknownExecution);
        (reports, rig.out.items().iter().filter(odd).count())
    };
    rig.frame(2, &order("open"));
    assert_eq!(told(&rig), (1, 0));
    rig.out.clear();
    rig.frame(2, &order("somewhere"));
    assert_eq!(told(&rig), (0, 1));
}

#[test]
fn every_word_about_a_contract_is_read_up_even_when_metadata_were_read_a_moment_ago() {
    let mut rig = Rig::live();
    let state = |name: &str, state: &str| {
        format!(
            r#"{{"params":{{"data":{{"timestamp":1,"state":"{state}","instrument_name":"{name}"}},"channel":"instrument.state.future.any"}},"method":"subscription","jsonrpc":"2.0"}}"#
        )
    };
    // Metadata were read just now.
    rig.adapter.rereading.read(rig.now, 0);
    rig.adapter.want(Ask::Instruments, rig.now + 1_000 * SECOND);
    rig.out.clear();
    rig.frame(0, &state("ELSE-PERPETUAL", "closed"));
    rig.tick();
    assert_eq!(
        rig.adapter.requests[Ask::Instruments as usize].due,
        rig.now - MILLI + 1_000 * SECOND,
        "not ours"
    );
    rig.adapter.rereading.read(rig.now, 0);
    rig.frame(0, &state(NAMES[0], "closed"));
    rig.tick();
    assert_eq!(asks(&rig), 0, "the venue grants one in ten seconds");
    for _ in 0..30 {
        rig.now += SECOND;
        rig.tick();
        if asks(&rig) > 0 {
            break;
        }
    }
    assert_eq!(asks(&rig), 1, "but it is not forgotten");
}
