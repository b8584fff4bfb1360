//! How long a stream may be silent before something is wrong, learnt from how long it usually is.
//!
//! A half-open socket says nothing, and neither does a dead market: a busy stream gives itself away within seconds,
//! a quiet one never does. Integer arithmetic on the instants of messages; no clock.

use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// Nothing is suspected sooner: retransmissions and pauses of the venue last as long.
const LIMIT_MIN: Nanos = 3 * SECOND;
/// Silence that is suspected is this many times one that the stream exceeds about once in a thousand messages.
const FACTOR: Nanos = 8;
/// Nothing is learnt from fewer messages, nor in less time.
const MESSAGES_MIN: u32 = 128;
const TIME_MIN: Nanos = 30 * SECOND;
/// A gap above the estimate raises it by an eighth, one below lowers it by a 8192nd: it settles where one of about
/// a thousand gaps is longer.
const RAISE: u32 = 3;
const LOWER: u32 = 13;
/// Doubts double the patience this often at most.
const DOUBTS_MAX: u32 = 5;

/// The silence of one stream.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Silence {
    heard_at: Nanos,
    first_at: Nanos,
    messages: u32,
    /// Messages of the present connection.
    present: u32,
    /// The silence that is rarely exceeded.
    high: Nanos,
    doubts: u32,
}

impl Silence {
    /// The stream begins, or begins again on a new connection: the time before is no silence.
    pub fn begin(&mut self, now: Nanos) {
        self.heard_at = now;
        self.present = 0;
    }

    /// A message.
    #[inline]
    pub fn heard(&mut self, now: Nanos) {
        let gap = now - self.heard_at;
        self.heard_at = now;
        self.present = self.present.saturating_add(1);
        if self.present == MESSAGES_MIN {
            self.doubts = 0;
        }
        if self.messages == 0 {
            self.first_at = now;
        }
        self.messages = self.messages.saturating_add(1);
        if self.messages <= MESSAGES_MIN {
            self.high = self.high.max(gap);
        } else if gap > self.high {
            self.high = gap.min(self.high + (self.high >> RAISE) + 1);
        } else {
            self.high -= self.high >> LOWER;
        }
    }

    /// The silence that is suspected; `longest` while little is known, and at most.
    pub fn limit(&self, longest: Nanos) -> Nanos {
        if self.messages < MESSAGES_MIN || self.heard_at - self.first_at < TIME_MIN {
            return longest;
        }
        let learnt = self.high.saturating_mul(FACTOR).max(LIMIT_MIN);
        (learnt << self.doubts).min(longest)
    }

    /// When the present silence becomes suspect.
    pub fn until(&self, longest: Nanos) -> Nanos {
        self.heard_at.saturating_add(self.limit(longest))
    }

    /// A silence was suspected: what follows it may be as silent, and is given twice the time, until the stream
    /// flows again.
    pub fn doubt(&mut self) {
        self.doubts = (self.doubts + 1).min(DOUBTS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::MILLI;

    /// A stream of `count` messages with gaps by `gap`, in ms.
    fn stream(count: i64, gap: impl Fn(i64) -> Nanos) -> (Silence, Nanos) {
        let (mut silence, mut now) = (Silence::default(), SECOND);
        silence.begin(now);
        for i in 0..count {
            now += gap(i) * MILLI;
            silence.heard(now);
        }
        (silence, now)
    }

    #[test]
    fn a_busy_stream_is_suspected_within_seconds_and_a_quiet_one_only_after_the_longest_time() {
        let (busy, now) = stream(10_000, |i| 5 + i % 20);
        assert_eq!(busy.until(20 * SECOND), now + LIMIT_MIN);
        let (slow, _) = stream(10_000, |i| if i % 300 == 0 { 1_500 } else { 200 });
        assert!((8 * SECOND..=12 * SECOND).contains(&slow.limit(20 * SECOND)), "{}", slow.limit(20 * SECOND));
        let (quiet, _) = stream(200, |i| 5_000 + i * 100);
        assert_eq!(quiet.limit(20 * SECOND), 20 * SECOND);
    }

    #[test]
    fn nothing_is_learnt_from_a_burst_or_from_few_messages() {
        let (burst, _) = stream(5_000, |i| i64::from(i % 1_000 == 0));
        assert_eq!(burst.limit(20 * SECOND), 20 * SECOND);
        let (few, _) = stream(100, |_| 1_000);
        assert_eq!(few.limit(20 * SECOND), 20 * SECOND);
    }

    #[test]
    fn it_follows_a_market_that_calms_down_and_one_outlier_changes_little() {
        let (mut silence, mut now) = stream(10_000, |_| 10);
        for _ in 0..200 {
            now += 2 * SECOND;
            silence.heard(now);
        }
        assert!(silence.limit(60 * SECOND) >= 12 * SECOND, "calm");
        let (mut silence, now) = stream(10_000, |_| 400);
        let before = silence.limit(60 * SECOND);
        silence.heard(now + 30 * SECOND);
        assert!(silence.limit(60 * SECOND) <= before + before / 4);
    }

    #[test]
    fn doubts_double_the_patience_until_the_stream_flows_again() {
        let (mut silence, mut now) = stream(10_000, |_| 10);
        for doubts in 1..=2 {
            silence.doubt();
            now += SECOND;
            silence.begin(now);
            assert_eq!(silence.limit(20 * SECOND), LIMIT_MIN << doubts);
        }
        for _ in 0..MESSAGES_MIN {
            now += 10 * MILLI;
            silence.heard(now);
        }
        assert_eq!(silence.limit(20 * SECOND), LIMIT_MIN);
    }
}
