//! Near-misses: which are told, with what, and how few.

use super::rig::{MID, Rig, scan_params};
use crate::core::pair::WhyNot;
use crate::domain::event::FlowBody;
use crate::domain::instrument::InstrumentId;
use crate::domain::intent::{BPS, NearMiss};
use crate::domain::params::ScanParams;

fn told(rig: &mut Rig) -> Vec<NearMiss> {
    let near = |body: &FlowBody| if let FlowBody::NearMiss(near) = body { Some(*near) } else { None };
    let told = rig.flow.iter().filter_map(near).collect();
    rig.flow.clear();
    told
}

fn scan() -> ScanParams {
    ScanParams { near_miss_ppb: BPS, near_miss_per_s: 2, ..scan_params() }
}

#[test]
fn an_edge_just_below_the_threshold_is_told_with_its_terms_and_one_far_below_is_not() {
    let mut rig = Rig::warm_with(2, scan());
    rig.quote(1, MID + 6_000);
    assert_eq!(told(&mut rig), [], "1 bps against costs of 4.5");
    rig.run_ms(1_000);
    rig.flow.clear();
    rig.quote(1, MID + 31_000);
    let near = told(&mut rig);
    assert_eq!(near.len(), 1, "{near:?}");
    assert_eq!((near[0].long, near[0].short), (InstrumentId(0), InstrumentId(1)));
    assert_eq!(WhyNot::of_code(near[0].why), Some(WhyNot::BelowThreshold));
    let edge = near[0].edge;
    assert!(edge.net < edge.threshold && edge.net >= edge.threshold - BPS, "{edge:?}");
    rig.quote(1, MID + 31_100);
    assert_eq!(told(&mut rig), [], "the same again within the second");
    assert!(rig.baskets().is_empty(), "telling is all that happens");
}

#[test]
fn what_a_gate_stops_above_the_threshold_is_told_with_the_gate() {
    let mut rig = Rig::warm_with(2, ScanParams { trades_open_max: 0, ..scan() });
    rig.quote(1, MID + 180_000);
    let near = told(&mut rig);
    assert_eq!(
        near.iter().map(|near| WhyNot::of_code(near.why)).collect::<Vec<_>>(),
        [Some(WhyNot::MaxTrades)]
    );
    assert!(near[0].edge.net > near[0].edge.threshold);
}

#[test]
fn nothing_is_told_by_the_parameters_of_older_journals_and_the_state_is_what_it_was() {
    let old = serde_json::to_value(scan_params()).expect("plain data");
    let mut old = old.as_object().expect("a table").clone();
    old.retain(|key, _| !key.starts_with("near_miss"));
    let old: ScanParams = serde_json::from_value(old.into()).expect("older journals are read");
    assert_eq!((old.near_miss_ppb, old.near_miss_per_s), (0, 0));
    let digest = |scan| {
        let mut rig = Rig::warm_with(2, scan);
        rig.quote(1, MID + 31_000);
        (told(&mut rig).len(), rig.scanner.digest())
    };
    let (none, before) = digest(old);
    let (one, with) = digest(scan());
    assert_eq!((none, one), (0, 1));
    assert_ne!(before, with, "what was told is part of the state");
}
