//! What survives a restart, and the drawdown.

use super::*;
use crate::domain::carry::{Carried, CarriedPosition, Carry, Halt, Standing};

fn carried(bench: &mut Bench, part: Carried) {
    bench.event(EventBody::Carried(part));
}

/// Gives `to` what `of` hands over.
fn hand_over(of: &Bench, to: &mut Bench, change: impl FnOnce(&mut Standing)) {
    let mut carry = Carry::default();
    of.risk.carry(&mut carry);
    change(&mut carry.standing);
    for position in carry.positions {
        carried(to, Carried::Position(position));
    }
    carried(to, Carried::Standing(carry.standing));
}

fn entry(bench: &mut Bench) -> Option<DenyReason> {
    let entry = bench.entry(100);
    bench.ask(entry)
}

#[test]
fn a_halt_lasts_until_the_operator_resumes() {
    for halt in [Halt::Killed, Halt::Recorder, Halt::Forgotten, Halt::Unreadable] {
        let mut bench = Bench::new();
        carried(&mut bench, Carried::Standing(Standing { halted: Some(halt), ..Standing::default() }));
        let denied = entry(&mut bench);
        assert_eq!(
            denied,
            Some(if halt == Halt::Killed { R::KillSwitch } else { R::TradingHalted }),
            "{halt:?}"
        );
        let exit = bench.exit(100);
        assert_eq!(bench.ask(exit), None, "reductions pass");
        let mut next = Bench::new();
        hand_over(&bench, &mut next, |_| {});
        assert!(entry(&mut next).is_some(), "{halt:?}: handed on");
        next.event(EventBody::Command(Command::Resume));
        assert_eq!(entry(&mut next), None);
    }
    let mut bench = Bench::new();
    bench.event(EventBody::Command(Command::Kill(Scope::Venue(VenueId(1)))));
    let mut next = Bench::new();
    hand_over(&bench, &mut next, |_| {});
    assert_eq!(entry(&mut next), Some(R::KillSwitch), "a killed venue stays so");
}

#[test]
fn the_loss_of_the_day_goes_on_and_that_of_another_day_does_not() {
    let limits = RiskParams { daily_loss_max_usd: 50, ..RiskParams::default() };
    for (days, denied) in [(0, Some(R::DailyLossExceeded)), (1, None), (-1, Some(R::DailyLossExceeded))] {
        let mut bench = Bench::with(limits.clone());
        bench.now.wall = 86_400 * SECOND * 20_000;
        let held = bench.entry(1_000);
        bench.fill_all(held);
        bench.flow(FlowBody::Mid(InstrumentId(0), Price(9_500)));
        assert_eq!(entry(&mut bench), Some(R::DailyLossExceeded));
        let lost = bench.risk.positions().daily();
        let mut next = Bench::with(limits.clone());
        next.now.wall = 86_400 * SECOND * (20_000 + days) + SECOND;
        hand_over(&bench, &mut next, |_| {});
        assert_eq!(entry(&mut next), denied, "{days} days later; a clock that was set back forgives nothing");
        let daily = next.risk.positions().daily();
        assert_eq!(daily, if days == 1 { Money::ZERO } else { lost }, "what is open is not lost twice");
        next.event(EventBody::Command(Command::Resume));
        assert_eq!(entry(&mut next), denied, "the day's loss ends with the day, not by a word");
        assert_eq!(next.risk.result(), bench.risk.result());
    }
}

#[test]
fn the_drawdown_stops_entries_over_all_runs_until_the_operator_resumes() {
    let limits = RiskParams { drawdown_max_usd: 50, ..RiskParams::default() };
    let mut bench = Bench::with(limits.clone());
    let held = bench.entry(1_000);
    bench.fill_all(held);
    let mid = |bench: &mut Bench, mid| {
        bench.flow(FlowBody::Mid(InstrumentId(0), Price(mid)));
        bench.event(EventBody::Tick);
    };
    mid(&mut bench, 10_300);
    mid(&mut bench, 9_810);
    assert_eq!(entry(&mut bench), None, "49 below the peak");
    mid(&mut bench, 9_800);
    assert_eq!(entry(&mut bench), Some(R::DrawdownExceeded));
    assert_eq!((bench.denial().value, bench.denial().limit), (Money::from_units(50), Money::from_units(50)));
    let mut next = Bench::with(limits);
    hand_over(&bench, &mut next, |_| {});
    assert_eq!(next.risk.drawdown(), bench.risk.drawdown());
    assert_eq!(entry(&mut next), Some(R::DrawdownExceeded), "another run begins no new count");
    next.event(EventBody::Command(Command::Resume));
    assert_eq!(entry(&mut next), None);
    mid(&mut next, 9_300);
    assert_eq!(entry(&mut next), Some(R::DrawdownExceeded), "counted from there");
}

#[test]
fn nothing_is_opened_before_the_accounts_are_compared_and_what_was_held_is_closed() {
    let mut bench = Bench::new();
    let qty = 1_000;
    let open_cash = Money::from_units(-990);
    let held = CarriedPosition { qty, open_cash, mark: Some(Price(MID)), ..CarriedPosition::default() };
    carried(&mut bench, Carried::Position(held));
    let mut awaited = [false; crate::domain::instrument::VENUES_MAX];
    awaited[0] = true;
    carried(&mut bench, Carried::Standing(Standing { reducing: true, awaited, ..Standing::default() }));
    let tick = |bench: &mut Bench| bench.event(EventBody::Tick);
    tick(&mut bench);
    assert_eq!(entry(&mut bench), Some(R::TradingReducing));
    carried(&mut bench, Carried::Reconciled(VenueId(0)));
    bench.event(EventBody::Command(Command::Resume));
    tick(&mut bench);
    assert_eq!(entry(&mut bench), Some(R::TradingReducing), "compared, but held; and no word opens it");
    let orders = [OrderSpec { reduce_only: true, ..bench.order(0, Side::Sell, qty) }];
    let exit = bench.basket(BasketKind::Exit, &orders);
    bench.fill_all(exit);
    tick(&mut bench);
    assert_eq!(entry(&mut bench), None);
    let position = bench.risk.positions().get(InstrumentId(0));
    assert_eq!((position.qty, position.realised), (0, Money::from_units(10)), "bought at 99, sold at 100");
}

#[test]
fn failures_in_a_row_and_locks_go_on() {
    let limits = RiskParams { consecutive_failures_max: 1, ..RiskParams::default() };
    let mut bench = Bench::with(limits.clone());
    let failed = bench.entry(100);
    assert_eq!(bench.ask(failed), None);
    bench.update(&failed.legs[0], OrderState::Filled, 100, 100);
    bench.update(&failed.legs[1], OrderState::Rejected, 0, 0);
    let mut next = Bench::with(limits);
    hand_over(&bench, &mut next, |standing| standing.reducing = false);
    assert_eq!((entry(&mut next), next.risk.failures()), (Some(R::ConsecutiveFailures), 1));
    let lock = TradingLock { instrument: InstrumentId(1), until: Nanos::MAX };
    bench.event(EventBody::Lock(lock));
    let mut carry = Carry::default();
    bench.risk.carry(&mut carry);
    assert_eq!(carry.locks, [lock]);
}
