//! The ticker of one listing, whole: Bybit sends it whole once and then what changes of it \[D\].
//!
//! The rule: **a field that a change does not name is unchanged, and so confirmed, as far as the stream has no hole
//! since its snapshot on that connection.** Mark, index and funding are therefore told again with each ticker that
//! names one of them, and with any other after [`REPEAT`]; they grow old only when nothing comes. A change on a
//! connection whose snapshot has not come, or which lost a message, says what it names and confirms nothing; a lost
//! message has the topic subscribed anew, because no number would ever show the hole.

use super::TERMS;
use super::parse::TickerRow;
use super::session::NEVER;
use crate::domain::time::{Nanos, SECOND};
use crate::venue::copies::COPIES;
use serde::{Deserialize, Serialize};

/// A ticker that names neither mark nor funding repeats both after this, so that a still market stays known.
const REPEAT: Nanos = 10 * SECOND;
/// Patience for the snapshot after subscribing anew.
const SNAPSHOT_WITHIN: Nanos = 10 * SECOND;

/// Mark, index and funding as last stated, and on which connections they are continuous.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Whole {
    row: TickerRow,
    told_at: Nanos,
    lines: [Line; COPIES],
}

/// The topic on one connection.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Line {
    /// Its snapshot came, and nothing was lost since.
    is_whole: bool,
    /// When to subscribe it anew; [`NEVER`] while all is well.
    due: Nanos,
    asked: u32,
}

const FRESH: Line = Line { is_whole: false, due: NEVER, asked: 0 };

impl Default for Whole {
    fn default() -> Self {
        Self { row: TickerRow::default(), told_at: Nanos::MIN / 2, lines: [FRESH; COPIES] }
    }
}

impl Whole {
    /// A ticker came on a connection, maybe as the second copy.
    pub fn hear(&mut self, copy: usize, is_snapshot: bool) {
        if is_snapshot {
            self.lines[copy] = Line { is_whole: true, ..FRESH };
        }
    }

    /// What a ticker that counts says of mark, index and funding, with what it confirms; `None` = nothing new.
    pub fn take(&mut self, copy: usize, row: TickerRow, is_snapshot: bool, now: Nanos) -> Option<TickerRow> {
        let have = if is_snapshot || row.has_blank { TickerRow::default() } else { self.row };
        self.row = TickerRow {
            mark: row.mark.or(have.mark),
            index: row.index.or(have.index),
            rate: row.rate.or(have.rate),
            funding_ms: if row.funding_ms > 0 { row.funding_ms } else { have.funding_ms },
            interval_hours: if row.interval_hours > 0 { row.interval_hours } else { have.interval_hours },
            ..row
        };
        let is_whole = self.lines[copy].is_whole;
        let is_confirmed = is_whole && self.row.has_mark() && now - self.told_at >= REPEAT;
        if !row.has_mark() && !is_confirmed {
            return None;
        }
        self.told_at = now;
        Some(if is_whole { self.row } else { row })
    }

    /// A message of a connection was lost, and may have been a change of this one. Says when to subscribe anew.
    pub fn lose(&mut self, copy: usize, now: Nanos) -> Nanos {
        let line = &mut self.lines[copy];
        line.is_whole = false;
        if line.due == NEVER {
            line.due = now;
        }
        line.due
    }

    /// A connection is gone.
    pub fn forget(&mut self, copy: usize) {
        self.lines[copy] = FRESH;
        if self.lines.iter().all(|line| !line.is_whole) {
            self.row = TickerRow::default();
        }
    }

    /// When to subscribe anew on a connection.
    pub fn due(&self, copy: usize) -> Nanos {
        self.lines[copy].due
    }

    /// It was: until the snapshot comes, again, ever more rarely.
    pub fn asked(&mut self, copy: usize, seed: u64, now: Nanos) {
        let line = &mut self.lines[copy];
        line.asked = line.asked.saturating_add(1);
        line.due = now + SNAPSHOT_WITHIN + TERMS.back_off(line.asked, seed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::number::Num;

    fn mark(mantissa: i64) -> TickerRow {
        TickerRow { mark: Some(Num::new(mantissa, 1)), ..TickerRow::default() }
    }

    fn rate(mantissa: i64) -> TickerRow {
        TickerRow { rate: Some(Num::new(mantissa, 6)), ..TickerRow::default() }
    }

    fn told(row: Option<TickerRow>) -> (Option<i64>, Option<i64>) {
        let mantissa = |num: Option<Num>| num.map(|num| num.mantissa);
        row.map_or((None, None), |row| (mantissa(row.mark), mantissa(row.rate)))
    }

    #[test]
    fn a_change_confirms_what_it_does_not_name_only_without_a_hole_since_the_snapshot() {
        let mut whole = Whole::default();
        assert_eq!(told(whole.take(0, rate(5), false, 0)), (None, Some(5)), "no snapshot yet");
        assert_eq!(told(whole.take(0, mark(70), false, 1)), (Some(70), None));
        whole.hear(0, true);
        let first = TickerRow { rate: Some(Num::new(6, 6)), ..mark(71) };
        assert_eq!(told(whole.take(0, first, true, 2)), (Some(71), Some(6)));
        assert_eq!(told(whole.take(0, mark(72), false, 3)), (Some(72), Some(6)));
        assert_eq!(whole.lose(0, 4), 4);
        assert_eq!(
            told(whole.take(0, mark(73), false, 5)),
            (Some(73), None),
            "the lost one may have been a rate"
        );
        whole.asked(0, 1, 5);
        let again = whole.due(0);
        assert!(again > 5 + SNAPSHOT_WITHIN && again < NEVER);
        assert_eq!(whole.lose(0, 6), again, "not asked for once more with every frame that is lost");
        whole.hear(0, true);
        assert_eq!(whole.due(0), NEVER);
        assert_eq!(
            told(whole.take(0, rate(7), true, 7)),
            (None, Some(7)),
            "a snapshot leaves nothing of before"
        );
    }

    #[test]
    fn each_connection_confirms_for_itself() {
        let mut whole = Whole::default();
        whole.hear(0, true);
        whole.take(0, TickerRow { rate: Some(Num::new(6, 6)), ..mark(71) }, true, 0);
        assert_eq!(told(whole.take(1, mark(72), false, 1)), (Some(72), None), "its snapshot has not come");
        // Its snapshot came second and does not count; its changes do from then on.
        whole.hear(1, true);
        whole.forget(0);
        assert_eq!(told(whole.take(1, mark(73), false, 2)), (Some(73), Some(6)));
        whole.forget(1);
        whole.hear(1, true);
        assert_eq!(told(whole.take(1, mark(74), false, 3)), (Some(74), None), "both were gone");
    }

    #[test]
    fn a_still_market_stays_known_and_what_became_inapplicable_does_not() {
        let mut whole = Whole::default();
        whole.hear(0, true);
        whole.take(0, TickerRow { rate: Some(Num::new(6, 6)), ..mark(71) }, true, 0);
        let bid = TickerRow { bid: Some(Num::new(1, 0)), ..TickerRow::default() };
        assert!(whole.take(0, bid, false, REPEAT - 1).is_none());
        assert_eq!(told(whole.take(0, bid, false, REPEAT)), (Some(71), Some(6)));
        assert!(whole.take(0, bid, false, REPEAT + 1).is_none());
        let blank = TickerRow { has_blank: true, ..mark(72) };
        assert_eq!(told(whole.take(0, blank, false, REPEAT + 2)), (Some(72), None));
    }
}
