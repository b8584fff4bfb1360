//! Findings: what is wrong, where, in figures, and what to do about it.

use crate::domain::event::Seq;
use crate::domain::time::{Nanos, SECOND};
use serde::Serialize;
use std::collections::BTreeSet;

/// Findings kept word for word; all are counted.
const KEPT: usize = 1000;

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Part of the audit.
    pub section: &'static str,
    /// The rule that is broken: stable names, listed in `docs/AUDIT.md`.
    pub rule: &'static str,
    /// The input at which it shows; 0 = of the record as a whole.
    pub seq: u64,
    /// Wall time of that input, ns since the epoch.
    pub time_ns: Nanos,
    /// The order, trade, venue or connection concerned.
    pub subject: String,
    /// Figures.
    pub detail: String,
    /// What to do.
    pub advice: &'static str,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { section, rule, seq, time_ns, subject, detail, advice } = self;
        write!(f, "{section}: {rule}: {subject}: {detail}")?;
        if *seq > 0 {
            write!(f, " (input {seq} at {}.{:09})", time_ns.div_euclid(SECOND), time_ns.rem_euclid(SECOND))?;
        }
        write!(f, "\n    {advice}")
    }
}

/// All findings of an audit.
#[derive(Clone, Debug, Default)]
pub(super) struct Findings {
    pub first: Vec<Finding>,
    pub count: u64,
    /// Sections that have one, also beyond those that are kept.
    sections: BTreeSet<&'static str>,
}

impl Findings {
    /// Whether a section has none.
    pub fn is_clean(&self, section: &'static str) -> bool {
        !self.sections.contains(section)
    }

    pub fn add(
        &mut self,
        section: &'static str,
        rule: &'static str,
        (seq, time_ns): (Seq, Nanos),
        subject: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.count += 1;
        self.sections.insert(section);
        if self.first.len() < KEPT {
            let (subject, detail) = (subject.into(), detail.into());
            let advice = advice(rule);
            self.first.push(Finding { section, rule, seq: seq.0, time_ns, subject, detail, advice });
        }
    }
}

/// What to do when a rule is broken.
fn advice(rule: &str) -> &'static str {
    match rule {
        "input_hole" | "damaged" | "output_repeated" | "not_understood" => {
            "the record is not whole: `perpring journal verify` names the bytes; what stands behind them cannot be audited"
        }
        "clock_step" => {
            "see the host's time service; venue times and deadlines around this input are not to be trusted"
        }
        "sent_without_approval"
        | "sent_differs"
        | "sent_twice"
        | "approved_without_wish"
        | "text_without_id"
        | "client_id_repeated"
        | "approved_unaccounted" => {
            "stop trading and keep this journal: an order left that the limits did not see as it was"
        }
        "order_without_end" => {
            "ask the venue for this order; the engine must not run on while its fate is open"
        }
        "fill_unknown" | "fill_mismatch" | "fill_repeated" | "fill_sum" | "fill_exceeds"
        | "fill_after_end" | "fill_beyond_limit" => {
            "hold the fill against the venue's own history (`--ledger`, or its export)"
        }
        "reduce_only_increases"
        | "hedge_enlarges"
        | "not_reduce_only"
        | "opens_while_stopped"
        | "opens_suspended"
        | "off_grid" => "stop trading and keep this journal: a rule of the order's making was broken",
        "unhedged_notional" | "unhedged_time" => {
            "look at the trade's orders (`perpring journal dump --from`): which leg came late, and why"
        }
        "money_identity" => {
            "ask for the venue's transaction log between the two statements: a transfer, a charge or a fill that was not told"
        }
        "carry_differs" => {
            "do not trust limits of the day and positions of this run: compare both journals and the venue's account"
        }
        "frames_differ" | "frames_unknown" | "frames_missing" => {
            "the record is not what the venue sent: keep both, and compare the connection frame by frame"
        }
        "ledger_absent" => "give the directory that `--ledger` of the run wrote, one folder per venue",
        "ledger_order_missing" | "ledger_order_unknown" | "ledger_order_differs" => {
            "one of the two books is wrong about this order: look for its id in the journal and at the venue"
        }
        "ledger_fill_missing" | "ledger_fill_unknown" | "ledger_fill_differs" => {
            "one of the two books is wrong about this fill: look for its trade id in the journal and at the venue"
        }
        "ledger_position" | "ledger_fees" | "ledger_funding" | "ledger_wallet" => {
            "the sums differ although nothing else may: see the findings about fills above, then the venue's log"
        }
        _ => {
            "a limit was exceeded: keep this journal, and see the limits that were in force (`perpring check-config`)"
        }
    }
}
