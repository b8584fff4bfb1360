//! What is read back of the account, its clock and its limits, and the dead man's switch.

use super::adapter::{ACCOUNT, BTC, ORDERS, Rig, WALL, context};
use crate::domain::effect::{Payload, Redact, SessionAction, VenueCall};
use crate::domain::event::EventBody;
use crate::domain::input::{ConnId, DownReason};
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::order::ClientId;
use crate::domain::standing::{Check, ClockSample, Pace, StartCheck};
use crate::domain::time::{MILLI, Nanos, SECOND, Stamp};
use crate::venue::hyperliquid::calls::{self, Posted, post_id};
use crate::venue::hyperliquid::encoder::HyperliquidEncoder;
use crate::venue::hyperliquid::limits::KEPT;
use crate::venue::{Adapter, Emit, Encoder, OddKind, VenueContext};

/// Every check that was stated: listing, statement, and whether it was as wanted.
fn checks(rig: &Rig) -> Vec<StartCheck> {
    let check = |item: &Emit| match item {
        Emit::Event(EventBody::Check(check)) => Some(*check),
        _ => None,
    };
    rig.out.items().iter().filter_map(check).collect()
}

/// The last statement of a check.
fn last(rig: &Rig, check: Check) -> Option<(i64, bool)> {
    checks(rig).iter().rev().find(|stated| stated.check == check).map(|stated| (stated.stated, stated.passed))
}

fn asked(rig: &Rig) -> Vec<u16> {
    let op = |item: &Emit| match item {
        Emit::Action(SessionAction::Http { what, .. }) => Some(what.op),
        _ => None,
    };
    rig.out.items().iter().filter_map(op).collect()
}

/// When the switch was thrown, each with ms until it fires.
fn thrown(rig: &Rig) -> Vec<u64> {
    let after = |item: &Emit| match item {
        Emit::Action(SessionAction::Send { conn: ORDERS, what }) if what.op == calls::SCHEDULE_CANCEL => {
            Some(what.arg)
        }
        _ => None,
    };
    rig.out.items().iter().filter_map(after).collect()
}

fn with_switch(dead_man: Nanos) -> VenueContext {
    let mut context = context(0);
    context.params.dead_man_ns = dead_man;
    context
}

/// Time passes on connections that answer.
fn live(rig: &mut Rig, mut time: Nanos) {
    while time > 0 {
        let step = time.min(5 * SECOND);
        for conn in [3, 4, 5] {
            rig.frame(ConnId(conn), r#"{"channel":"pong"}"#);
        }
        rig.pass(step);
        time -= step;
    }
}

fn switch_reply(rig: &mut Rig, response: &str) {
    let id = post_id(Posted::Schedule).unwrap();
    rig.frame(
        ORDERS,
        &format!(
            r#"{{"channel":"post","data":{{"id":{id},"response":{{"type":"action","payload":{response}}}}}}}"#
        ),
    );
}

const ACCEPTED: &str = r#"{"status":"ok","response":{"type":"default"}}"#;

#[test]
fn an_account_as_configured_passes_every_check_and_each_is_stated() {
    let rig = Rig::ready();
    let stated = checks(&rig);
    assert!(stated.iter().all(|check| check.passed && check.venue == VenueId(1)), "{stated:?}");
    // Positions are compared, executions understood and connections renewed elsewhere: none is a setting.
    let elsewhere = [
        Check::Clock,
        Check::AccountLevel,
        Check::MarginModel,
        Check::Positions,
        Check::Executions,
        Check::Connections,
    ];
    for check in Check::ALL.into_iter().filter(|check| !elsewhere.contains(check)) {
        let listing = matches!(check, Check::MarginMode | Check::Leverage).then_some(BTC);
        assert_eq!(
            stated.iter().filter(|s| s.check == check && s.listing == listing).count(),
            1,
            "{check:?}"
        );
    }
    assert_eq!(rig.odd(), []);
}

#[test]
fn each_setting_that_is_not_as_configured_is_stated_so() {
    for (op, body, check, value) in [
        (calls::ROLE, r#"{"role":"agent","data":{"user":"0x1"}}"#, Check::Permission, 2),
        (calls::ROLE, r#"{"role":"missing"}"#, Check::Permission, 2),
        (calls::AGENTS, "[]", Check::Permission, 2),
        (
            calls::AGENTS,
            r#"[{"name":"a","address":"0x286edfa08c04f6899dab3bfdecf2dd133f9733b9","validUntil":1799000000000}]"#,
            Check::Permission,
            2,
        ),
        (
            calls::AGENTS,
            r#"[{"name":"a","address":"xxxx","validUntil":1790000900000}]"#,
            Check::Permission,
            2,
        ),
        (calls::ABSTRACTION, "\"unifiedAccount\"", Check::AssetMode, 2),
        (calls::ABSTRACTION, "\"default\"", Check::AssetMode, 2),
        (calls::ABSTRACTION, "null", Check::AssetMode, 2),
        (calls::FEES, r#"{"userCrossRate":"0.0004500001"}"#, Check::Fee, 450_001),
        (
            calls::ASSET,
            r#"{"coin":"BTC","leverage":{"type":"isolated","value":5,"rawUsd":"0.0"}}"#,
            Check::MarginMode,
            2,
        ),
        (calls::ASSET, r#"{"coin":"BTC","leverage":{"type":"cross","value":20}}"#, Check::Leverage, 20),
        (
            calls::RATE,
            r#"{"cumVlm":"170043721737.450012207","nRequestsUsed":36589831368,"nRequestsCap":170043731}"#,
            Check::Requests,
            170_043_731 - 36_589_831_368,
        ),
        (
            calls::PENDING,
            r#"[{"coin":"SOL","limitPx":"1","oid":3,"side":"B","sz":"1","timestamp":1}]"#,
            Check::ForeignOrders,
            1,
        ),
        (
            calls::STATE,
            r#"{"assetPositions":[{"type":"hedge","position":{"coin":"BTC","szi":"0.0"}}],"marginSummary":{"accountValue":"1"},"withdrawable":"1","time":1790000001000}"#,
            Check::PositionMode,
            2,
        ),
    ] {
        let rig = Rig::started(&context(0), &[(op, body)]);
        assert_eq!(last(&rig, check), Some((value, false)), "{body}");
        let wrong = checks(&rig).iter().filter(|stated| !stated.passed).count();
        assert_eq!(wrong, 1, "{body}: nothing else is wrong");
    }
}

#[test]
fn what_a_reply_does_not_say_is_not_stated_and_is_asked_again() {
    for (op, body, check) in [
        (calls::ROLE, "{}", Check::Permission),
        (calls::AGENTS, "{}", Check::Permission),
        (calls::FEES, r#"{"feeSchedule":{}}"#, Check::Fee),
        (calls::ASSET, r#"{"coin":"BTC"}"#, Check::Leverage),
        (calls::ASSET, r#"{"coin":"ETH","leverage":{"type":"cross","value":5}}"#, Check::Leverage),
        (calls::RATE, r#"{"cumVlm":"1.0","nRequestsUsed":1}"#, Check::Requests),
        (calls::PENDING, "{}", Check::ForeignOrders),
    ] {
        let mut rig = Rig::started(&context(0), &[(op, body)]);
        assert_eq!(last(&rig, check), None, "{body}");
        assert!(rig.odd().contains(&OddKind::Malformed));
        rig.out.clear();
        rig.says.clear();
        rig.pass(SECOND);
        assert!(asked(&rig).contains(&op), "{body}");
        rig.answer();
        assert!(last(&rig, check).is_some_and(|(_, passed)| passed), "{body}");
    }
}

#[test]
fn the_venues_time_is_sampled_with_the_age_of_a_block_as_its_unit() {
    let mut rig = Rig::ready();
    let samples = |rig: &Rig| -> Vec<ClockSample> {
        let sample = |item: &Emit| match item {
            Emit::Event(EventBody::Clock(sample)) => Some(*sample),
            _ => None,
        };
        rig.out.items().iter().filter_map(sample).collect()
    };
    let first = samples(&rig)[0];
    assert_eq!((first.sent, first.received, first.stated), (SECOND, SECOND, 1_790_000_001 * SECOND));
    assert_eq!(first.resolution, 200 * MILLI);
    let mut count = 1;
    for _ in 0..12 {
        rig.out.clear();
        rig.pass(SECOND);
        count += rig.answer().iter().filter(|op| **op == calls::TIME).count();
    }
    assert_eq!(count, 8, "then every minute");
    rig.says.push((calls::TIME, r#"{"specialStatuses":null}"#));
    rig.out.clear();
    rig.pass(61 * SECOND);
    rig.answer();
    assert!(samples(&rig).is_empty() && rig.odd().contains(&OddKind::Malformed));
}

#[test]
fn an_order_of_someone_else_closes_the_gate_until_it_is_gone() {
    let mut rig = Rig::ready();
    rig.out.clear();
    // A 128-bit id is no mark of ours: only what we could have written is.
    for cloid in ["null", "\"0x508000013026000ff97db8b00002787b\""] {
        rig.says.push((calls::PENDING, r#"[{"coin":"BTC","limitPx":"1","oid":3,"side":"B","sz":"1","timestamp":1,"cloid":"0x508000013026000ff97db8b00002787b"}]"#));
        rig.frame(ACCOUNT, &format!(
            r#"{{"channel":"orderUpdates","data":[{{"order":{{"coin":"BTC","side":"B","limitPx":"1.0","sz":"1","oid":3,"timestamp":1,"origSz":"1","cloid":{cloid}}},"status":"open","statusTimestamp":1}}]}}"#
        ));
        let ours = rig
            .out
            .items()
            .iter()
            .any(|item| matches!(item, Emit::Report(report) if report.client_id != ClientId::NONE));
        assert!(!ours);
        rig.pass(0);
        assert!(rig.answer().contains(&calls::PENDING), "{cloid}");
        assert_eq!(last(&rig, Check::ForeignOrders), Some((1, false)));
        rig.out.clear();
        rig.says.clear();
        live(&mut rig, 30 * SECOND);
        rig.answer();
        assert_eq!(last(&rig, Check::ForeignOrders), Some((0, true)));
        rig.out.clear();
    }
}

#[test]
fn settings_that_change_with_a_position_are_found_at_once() {
    let mut rig = Rig::ready();
    rig.out.clear();
    rig.says.push((calls::STATE, r#"{"assetPositions":[{"type":"oneWay","position":{"coin":"BTC","szi":"0.002","leverage":{"type":"cross","value":40}}}],"marginSummary":{"accountValue":"1"},"withdrawable":"1","time":1790000001000}"#));
    rig.pass(11 * SECOND);
    rig.answer();
    assert_eq!(last(&rig, Check::Leverage), Some((40, false)));
    rig.out.clear();
    rig.pass(11 * SECOND);
    rig.answer();
    assert_eq!(last(&rig, Check::Leverage), None, "no news");
}

#[test]
fn own_actions_close_the_gate_before_the_address_has_none_left() {
    let enough = r#"{"cumVlm":"0.0","nRequestsUsed":8998,"nRequestsCap":10000}"#;
    let mut rig = Rig::started(&context(0), &[(calls::RATE, enough)]);
    assert_eq!(last(&rig, Check::Requests), Some((KEPT, true)));
    rig.out.clear();
    let id = post_id(Posted::Cancel(ClientId::new(1, 7))).unwrap();
    let reply = |status: &str| {
        format!(
            r#"{{"channel":"post","data":{{"id":{id},"response":{{"type":"action","payload":{{"status":"ok","response":{{"type":"cancel","data":{{"statuses":[{status}]}}}}}}}}}}}}"#
        )
    };
    for left in [KEPT + 1, KEPT] {
        rig.frame(ORDERS, &reply("\"success\""));
        assert_eq!(last(&rig, Check::Requests), None, "{left}");
    }
    rig.frame(ORDERS, &reply("\"success\""));
    assert_eq!(last(&rig, Check::Requests), Some((KEPT - 1, false)));
    rig.out.clear();
    // The venue's own word opens it again, and is asked for when the venue refuses.
    rig.says.clear();
    rig.frame(ORDERS, &reply(r#"{"error":"Too many cumulative requests sent (10001 > 10000) for cumulative volume traded $0.00."}"#));
    rig.pass(0);
    assert!(rig.answer().contains(&calls::RATE));
    assert_eq!(last(&rig, Check::Requests), Some((KEPT, true)));
}

#[test]
fn nothing_is_asked_while_the_venue_refuses_for_its_limits() {
    let mut rig = Rig::ready();
    rig.out.clear();
    let refusal = Pace { venue: VenueId(1), status: 429, retry_after_s: 25, ..Pace::default() };
    rig.adapter.on_pace(&refusal, rig.stamp(), &mut rig.out);
    for _ in 0..24 {
        rig.pass(SECOND);
        assert_eq!(asked(&rig), [] as [u16; 0]);
    }
    rig.pass(SECOND);
    assert_eq!(asked(&rig), [calls::STATE, calls::TIME]);
}

#[test]
fn the_switch_is_thrown_twice_within_its_time_and_stated_when_the_venue_has_it() {
    let mut rig = Rig::started(&with_switch(60 * SECOND), &[]);
    assert_eq!(last(&rig, Check::DeadMan), None, "not before the venue has confirmed");
    assert_eq!(thrown(&rig), [60_000]);
    switch_reply(&mut rig, ACCEPTED);
    assert_eq!(last(&rig, Check::DeadMan), Some((1, true)));
    let mut count = 0;
    for _ in 0..120 {
        rig.out.clear();
        for conn in [3, 4, 5] {
            rig.frame(ConnId(conn), r#"{"channel":"pong"}"#);
        }
        rig.pass(SECOND);
        rig.answer();
        count += thrown(&rig).len();
    }
    assert_eq!(count, 4, "each costs an action");
    // A new connection: it may have fired meanwhile.
    rig.out.clear();
    rig.adapter.on_conn_down(ORDERS, 1, DownReason::Broken, rig.stamp(), &mut rig.out);
    rig.pass(SECOND);
    rig.adapter.on_conn_up(ORDERS, 2, rig.stamp(), &mut rig.out);
    assert_eq!(thrown(&rig), [60_000]);
}

#[test]
fn a_switch_that_the_venue_does_not_grant_holds_and_costs_nothing() {
    // Too little was traded: it is not even tried.
    let little = r#"{"cumVlm":"999999.99","nRequestsUsed":1,"nRequestsCap":1009999}"#;
    let mut rig = Rig::started(&with_switch(60 * SECOND), &[(calls::RATE, little)]);
    assert_eq!((thrown(&rig), last(&rig, Check::DeadMan)), (vec![], Some((2, false))));
    rig.out.clear();
    rig.says.clear();
    rig.pass(600 * SECOND);
    rig.answer();
    rig.pass(0);
    rig.adapter.on_tick(rig.stamp(), &mut rig.out);
    assert_eq!(thrown(&rig), [60_000], "by now it was traded");
    // Refused: tried again, but not soon.
    rig.out.clear();
    switch_reply(
        &mut rig,
        r#"{"status":"err","response":"Cannot schedule cancel: too many triggers today"}"#,
    );
    assert_eq!(rig.odd(), [OddKind::Refused]);
    live(&mut rig, 599 * SECOND);
    assert_eq!(thrown(&rig), [] as [u64; 0]);
    live(&mut rig, SECOND);
    assert_eq!(thrown(&rig), [60_000]);
    // Few actions left: it may fire, which costs none.
    let few = r#"{"cumVlm":"2000000.0","nRequestsUsed":2009500,"nRequestsCap":2010000}"#;
    let rig = Rig::started(&with_switch(60 * SECOND), &[(calls::RATE, few)]);
    assert_eq!(thrown(&rig), [] as [u64; 0]);
    // Not wanted: so stated.
    let rig = Rig::started(&with_switch(0), &[]);
    assert_eq!((thrown(&rig), last(&rig, Check::DeadMan)), (vec![], Some((2, true))));
}

#[test]
fn questions_about_us_are_rendered_with_a_hole_and_their_answers_are_blanked() {
    let mut encoder = HyperliquidEncoder::new(&context(0));
    let (now, mut payload) = (Stamp { mono: 0, wall: WALL }, Payload::new());
    let mut render = |op: u16, arg: u64, payload: &mut Payload| {
        encoder.http(VenueCall { op, arg, instrument: None::<InstrumentId> }, now, payload)
    };
    for (op, kind) in [
        (calls::ROLE, "userRole"),
        (calls::AGENTS, "extraAgents"),
        (calls::ABSTRACTION, "userAbstraction"),
        (calls::FEES, "userFees"),
        (calls::RATE, "userRateLimit"),
        (calls::STATE, "clearinghouseState"),
    ] {
        assert_eq!(render(op, 0, &mut payload), Ok(Some(Redact::KNOWN)));
        let text = std::str::from_utf8(payload.text()).unwrap();
        assert!(text.ends_with(&format!("\n\n{{\"type\":\"{kind}\",\"user\":\"\"}}")), "{text}");
        assert_eq!(payload.text_holes().len(), 1);
    }
    render(calls::ASSET, 0, &mut payload).unwrap();
    assert!(payload.text().ends_with(br#""user":"","coin":"BTC"}"#));
    assert!(render(calls::ASSET, 1, &mut payload).is_err());
    assert_eq!(render(calls::TIME, 0, &mut payload), Ok(None));
    assert_eq!(
        payload.text(),
        b"POST /info\nContent-Type: application/json\n\n{\"type\":\"exchangeStatus\"}"
    );
    let mut switch = |after: u64| {
        let call = VenueCall { op: calls::SCHEDULE_CANCEL, arg: after, instrument: None };
        encoder.send(ORDERS, call, now, &mut payload).unwrap();
        String::from_utf8(payload.text().to_vec()).unwrap()
    };
    assert!(switch(60_000).contains(r#""action":{"type":"scheduleCancel","time":1790000060000}"#));
    assert!(switch(0).contains(r#""action":{"type":"scheduleCancel"}"#));
}
