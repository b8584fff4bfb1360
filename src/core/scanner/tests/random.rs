//! Any sequence of events: no panic, the same outputs and state twice, and orders that are well formed.

use super::rig::{MID, Rig, instrument, scan_params};
use crate::core::scanner::ScanOut;
use crate::domain::event::{BookState, BurstEnd, ConnStatus, EventBody, FlowBody, LevelsChunk, Mark};
use crate::domain::input::{Command, ConnId, Scope};
use crate::domain::instrument::{InstrumentId, Price, Qty, VenueId};
use crate::domain::intent::{Basket, Intent};
use crate::domain::number::Num;
use crate::domain::order::{OrderSpec, OrderState, RejectClass};
use proptest::prelude::*;

/// A step of a random run; orders are named by how long ago they were sent.
#[derive(Clone, Debug)]
enum Step {
    Quote { at: u16, offset: i64, width: i64, qty: i64, age: i64 },
    Levels { at: u16, clear: bool, last: bool, levels: Vec<(i64, i64)> },
    Burst { conn: u8, drained: bool },
    Tick { ms: i64 },
    Book { at: u16, state: usize },
    Order { back: usize, state: usize, quarters: i64 },
    Deny,
    Command { what: u8 },
    Conn { conn: u8, up: bool },
    Mark { at: u16, rate: i64, funding: i64, interval: i64 },
    Redefine { at: u16, generation: u16, scale: u8 },
}

const STATES: [OrderState; 10] = [
    OrderState::Filled,
    OrderState::Filled,
    OrderState::Canceled,
    OrderState::Canceled,
    OrderState::Rejected,
    OrderState::Expired,
    OrderState::Unknown,
    OrderState::PartiallyFilled,
    OrderState::Open,
    OrderState::PendingNew,
];

fn step() -> impl Strategy<Value = Step> {
    let offset = || prop_oneof![8 => -300_000i64..300_000, 1 => any::<i64>()];
    let qty = || prop_oneof![8 => 0i64..100_000, 1 => any::<i64>()];
    prop_oneof![
        12 => (0u16..3, offset(), -100i64..500, qty(), -10i64..1_200)
            .prop_map(|(at, offset, width, qty, age)| Step::Quote { at, offset, width, qty, age }),
        3 => (0u16..3, any::<bool>(), any::<bool>(), proptest::collection::vec((offset(), qty()), 0..8))
            .prop_map(|(at, clear, last, levels)| Step::Levels { at, clear, last, levels }),
        12 => (0u8..3, proptest::bool::weighted(0.9)).prop_map(|(conn, drained)| Step::Burst { conn, drained }),
        8 => (0i64..200).prop_map(|ms| Step::Tick { ms }),
        1 => (0u16..4, 0usize..3).prop_map(|(at, state)| Step::Book { at, state }),
        10 => (0usize..6, 0..STATES.len(), 0i64..=4)
            .prop_map(|(back, state, quarters)| Step::Order { back, state, quarters }),
        1 => Just(Step::Deny),
        1 => (0u8..12).prop_map(|what| Step::Command { what }),
        1 => (0u8..3, any::<bool>()).prop_map(|(conn, up)| Step::Conn { conn, up }),
        1 => (0u16..4, any::<i64>(), any::<i64>(), any::<i64>())
            .prop_map(|(at, rate, funding, interval)| Step::Mark { at, rate, funding, interval }),
        1 => (0u16..4, 1u16..3, 3u8..6).prop_map(|(at, generation, scale)| Step::Redefine { at, generation, scale }),
    ]
}

/// A rig and the baskets that it was asked for.
struct Run {
    rig: Rig,
    sent: Vec<Basket>,
}

impl Run {
    fn of(steps: &[Step]) -> Self {
        let mut run = Self { rig: Rig::warm_with(3, scan_params()), sent: Vec::new() };
        let mut seen = 0;
        for step in steps {
            run.apply(step);
            for item in &run.rig.flow[seen..] {
                if let FlowBody::Intent(Intent::Basket(basket)) = item {
                    run.sent.push(*basket);
                }
            }
            seen = run.rig.flow.len();
        }
        run
    }

    fn orders(&self) -> Vec<OrderSpec> {
        self.sent.iter().rev().take(4).flat_map(|basket| basket.orders().to_vec()).collect()
    }

    fn apply(&mut self, step: &Step) {
        let rig = &mut self.rig;
        match step {
            Step::Quote { at, offset, width, qty, age } => {
                let bid = MID.wrapping_add(*offset);
                rig.bbo(*at, bid, *qty, bid.wrapping_add(*width), *qty, age * 1_000_000);
            }
            Step::Levels { at, clear, last, levels } => {
                let mut chunk = LevelsChunk {
                    instrument: InstrumentId(*at),
                    clear: *clear,
                    last: *last,
                    bids: (levels.len() / 2) as u8,
                    asks: (levels.len() - levels.len() / 2) as u8,
                    update_id: rig.seq,
                    venue_ns: super::rig::WALL + rig.now,
                    ..LevelsChunk::default()
                };
                for (to, (offset, qty)) in levels.iter().enumerate() {
                    chunk.levels[to] = (Price(MID.wrapping_add(*offset)), Qty(*qty));
                }
                rig.event(EventBody::Levels(chunk));
            }
            Step::Burst { conn, drained } => {
                rig.event(EventBody::BurstEnd(BurstEnd { conn: ConnId(*conn), drained: *drained }));
            }
            Step::Tick { ms } => rig.tick_ms(*ms),
            Step::Book { at, state } => {
                rig.book(*at, [BookState::AwaitSnapshot, BookState::Live, BookState::Invalid][*state]);
            }
            Step::Order { back, state, quarters } => {
                let Some(order) = self.orders().get(*back).copied() else { return };
                let state = STATES[*state];
                let filled =
                    if state == OrderState::Filled { order.qty.0 } else { order.qty.0 * quarters / 4 };
                self.rig.update(&order, state, filled, RejectClass::Retry);
            }
            Step::Deny => {
                if let Some(basket) = self.sent.last() {
                    rig.deny(basket);
                }
            }
            Step::Command { what } => rig.command(match what {
                0 => Command::Reduce,
                1 => Command::Kill(Scope::Venue(VenueId(2))),
                2 => Command::Kill(Scope::Global),
                3 => Command::RecorderLag { percent: 30 },
                _ => Command::Resume,
            }),
            Step::Conn { conn, up } => {
                rig.event(EventBody::Conn(ConnStatus { conn: ConnId(*conn), epoch: 2, up: *up }));
            }
            Step::Mark { at, rate, funding, interval } => rig.event(EventBody::Mark(Mark {
                instrument: InstrumentId(*at),
                rate: Some(Num::new(*rate, 18)),
                funding_ns: *funding,
                interval_ns: *interval,
                ..Mark::default()
            })),
            Step::Redefine { at, generation, scale } => {
                let mut other = instrument(*at);
                other.generation = *generation;
                other.qty_scale = *scale;
                rig.event(EventBody::Instrument(other));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn the_same_events_give_the_same_outputs_and_state(steps in proptest::collection::vec(step(), 1..300)) {
        let (one, two) = (Run::of(&steps), Run::of(&steps));
        prop_assert_eq!(&one.rig.flow, &two.rig.flow);
        prop_assert_eq!(one.rig.scanner.digest(), two.rig.scanner.digest());
        prop_assert_eq!(one.rig.out.items.capacity(), ScanOut::default().items.capacity(), "never grows");
    }

    #[test]
    fn what_is_wanted_is_always_well_formed(steps in proptest::collection::vec(step(), 1..300)) {
        let mut ids = std::collections::BTreeSet::new();
        for basket in &Run::of(&steps).sent {
            prop_assert!((1..=2).contains(&basket.len));
            for order in basket.orders() {
                prop_assert!(ids.insert(order.client_id), "a client id is used once");
                prop_assert!(order.qty.0 > 0 && order.price.0 > 0 && order.price.0 % 100 == 0);
                prop_assert_eq!(order.qty.0 % 10, 0, "a multiple of the step");
                prop_assert_eq!(usize::from(order.venue.0), order.instrument.index());
            }
            if basket.len == 2 {
                prop_assert_ne!(basket.legs[0].venue, basket.legs[1].venue);
            }
        }
    }
}

#[test]
fn the_digest_sees_a_changed_level() {
    let (mut one, mut two) = (Rig::warm(), Rig::warm());
    assert_eq!(one.scanner.digest(), two.scanner.digest());
    one.depth(0, &[(MID - 100, 5), (MID - 900, 7)], &[(MID + 100, 5)]);
    two.depth(0, &[(MID - 100, 5), (MID - 900, 8)], &[(MID + 100, 5)]);
    assert_ne!(one.scanner.digest(), two.scanner.digest());
}
