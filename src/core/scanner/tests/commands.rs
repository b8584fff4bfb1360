//! Reduce, kill, recorder lag, resume and stop.

use super::rig::{MID, Rig};
use crate::core::mode::Mode;
use crate::core::pair::WhyNot;
use crate::domain::event::EventBody;
use crate::domain::input::{Command, Scope};
use crate::domain::instrument::VenueId;
use crate::domain::intent::{BasketKind, Denial, DenyReason, EVERY_TRADE};
use crate::domain::money::Money;

#[test]
fn reduce_closes_what_is_open_and_enters_nothing() {
    let mut rig = Rig::open();
    rig.command(Command::Reduce);
    let exit = rig.basket().unwrap();
    assert_eq!((exit.kind, exit.len), (BasketKind::Exit, 2));
    exit.orders().iter().for_each(|order| rig.fill(order));
    rig.tick_ms(1_000);
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::Reducing);
    rig.command(Command::Resume);
    rig.spread(30);
    assert!(rig.basket().is_some());
}

#[test]
fn a_denial_of_every_trade_closes_what_is_open_and_keeps_the_mode() {
    let mut rig = Rig::open();
    rig.event(EventBody::Denied(Denial {
        trade: EVERY_TRADE,
        attempt: 0,
        kind: BasketKind::Entry,
        reason: DenyReason::DailyLossExceeded,
        leg: 255,
        value: Money::ZERO,
        limit: Money::ZERO,
    }));
    assert_eq!(rig.basket().unwrap().kind, BasketKind::Exit);
    assert_eq!(rig.scanner.totals().mode, Mode::Normal, "entries are risk's to deny");
}

#[test]
fn a_half_filled_entry_is_closed_not_hedged_while_reducing() {
    let (mut rig, entry) = Rig::entered();
    rig.fill(&entry.legs[0]);
    rig.command(Command::Reduce);
    assert!(rig.baskets().is_empty(), "the other leg is still out");
    rig.zero(&entry.legs[1]);
    let exit = rig.basket().unwrap();
    assert_eq!((exit.kind, exit.len, exit.legs[0].venue), (BasketKind::Exit, 1, VenueId(0)));
    assert!(exit.legs[0].reduce_only);
}

#[test]
fn a_killed_venue_stops_its_pairs_only_and_its_trades_are_closed() {
    let mut rig = Rig::open();
    rig.command(Command::Kill(Scope::Venue(VenueId(7))));
    assert!(rig.baskets().is_empty());
    rig.command(Command::Kill(Scope::Venue(VenueId(1))));
    assert_eq!(rig.basket().unwrap().kind, BasketKind::Exit);
    rig.quote(1, MID);
    assert_eq!(rig.view(0).why, WhyNot::Halted);
    assert_eq!(rig.scanner.totals().mode, Mode::Normal, "elsewhere trading goes on");
}

#[test]
fn a_global_kill_halts_until_resumed() {
    let mut rig = Rig::warm();
    rig.command(Command::Kill(Scope::Global));
    rig.command(Command::Reduce);
    assert_eq!(rig.scanner.totals().mode, Mode::Halted, "a milder command does not loosen it");
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    assert_eq!(rig.view(0).why, WhyNot::Halted);
}

#[test]
fn a_lagging_recorder_reduces_then_halts_and_never_resumes_by_itself() {
    let mut rig = Rig::warm();
    let modes = [25, 26, 76, 0].map(|percent| {
        rig.command(Command::RecorderLag { percent });
        rig.scanner.totals().mode
    });
    assert_eq!(modes, [Mode::Normal, Mode::Reducing, Mode::Halted, Mode::Halted]);
}

#[test]
fn a_disk_short_of_room_opens_nothing_and_passes_by_itself() {
    let mut rig = Rig::warm();
    rig.command(Command::JournalSpace { short: true });
    assert_eq!(rig.scanner.totals().mode, Mode::Reducing);
    rig.command(Command::Resume);
    assert_eq!(rig.scanner.totals().mode, Mode::Reducing, "the room is still short");
    rig.spread(30);
    assert!(rig.baskets().is_empty());
    rig.command(Command::JournalSpace { short: false });
    assert_eq!(rig.scanner.totals().mode, Mode::Normal);
}

#[test]
fn after_stop_nothing_is_wanted_any_more() {
    let mut rig = Rig::open();
    rig.command(Command::Stop);
    rig.quote(1, MID);
    rig.run_ms(40_000);
    assert!(rig.baskets().is_empty());
}
