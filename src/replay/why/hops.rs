//! Nanoseconds between the steps of an order, each with where it comes from; what was not recorded is said.

use super::card::{At, Hop, OrderCard};

/// Where the fate of a message says nothing of its time.
pub(super) const SHARED: &str = "not recorded: the fate carries the stamp of its cause";

/// Nanoseconds from step to step of one order.
pub(super) fn hops(trigger: &(At, Option<i64>), order: &OrderCard) -> Vec<Hop> {
    let (made, venue_ns) = trigger;
    let mut hops = vec![
        Hop {
            what: "venue's time of the trigger → received",
            ns: venue_ns.map(|at| made.wall_ns - at),
            source: match venue_ns {
                Some(_) => "two clocks: the venue's and ours, their offset included",
                None => "not recorded: the trigger states no venue time",
            },
        },
        Hop {
            what: "received → decided, checked, encoded",
            ns: None,
            source: "not recorded: inputs are stamped, stages are not",
        },
    ];
    let placed = order.messages.iter().find(|message| message.what != "about");
    let fate = placed.and_then(|message| message.fate_at.as_ref());
    let word = order.updates.iter().find(|update| matches!(update.by, "frame" | "HTTP reply"));
    let shared = fate.is_some_and(|fate| fate.mono_ns == made.mono_ns);
    hops.push(Hop {
        what: "received → fate at the egress gate",
        ns: fate.filter(|_| !shared).map(|fate| fate.mono_ns - made.mono_ns),
        source: match fate {
            Some(_) if shared => SHARED,
            Some(_) => "recorded",
            None => "not recorded: no fate is in the record",
        },
    });
    let from = fate.unwrap_or(made);
    let ends = order.updates.last().filter(|_| !order.updates.is_empty());
    hops.push(Hop {
        what: "fate at the egress gate → first word of the venue",
        ns: word.map(|word| word.at.mono_ns - from.mono_ns),
        source: if word.is_some() { "recorded" } else { "not recorded: the venue said nothing" },
    });
    if let (Some(word), Some(end)) = (word, ends) {
        hops.push(Hop {
            what: "first word of the venue → last word",
            ns: Some(end.at.mono_ns - word.at.mono_ns),
            source: "recorded",
        });
    }
    if let Some((at, stated)) = word.and_then(|word| Some((&word.at, word.venue_ns?))) {
        hops.push(Hop {
            what: "venue's time of its first word → received",
            ns: Some(at.wall_ns - stated),
            source: "two clocks: the venue's and ours, their offset included",
        });
    }
    if let Some(end) = ends {
        hops.push(Hop {
            what: "received → last word of the venue",
            ns: Some(end.at.mono_ns - made.mono_ns),
            source: "recorded",
        });
    }
    hops
}
