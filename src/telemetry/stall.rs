//! The stall tracker of a stage: how long its duty cycle was ever away, and how often for too long. Reads no
//! clock: the runner passes its own.

/// Watches the time between two turns of a duty cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StallTracker {
    limit_ns: i64,
    last_ns: Option<i64>,
    worst_ns: i64,
    stalls: u64,
}

impl StallTracker {
    /// Turns further apart than `limit_ns` are stalls.
    pub const fn new(limit_ns: i64) -> Self {
        Self { limit_ns, last_ns: None, worst_ns: 0, stalls: 0 }
    }

    /// A turn begins at `now_ns`.
    #[inline]
    pub fn turn(&mut self, now_ns: i64) {
        let gap = now_ns - self.last_ns.replace(now_ns).unwrap_or(now_ns);
        self.worst_ns = self.worst_ns.max(gap);
        self.stalls += u64::from(gap > self.limit_ns);
    }

    /// The longest gap, ns.
    pub const fn worst_ns(&self) -> i64 {
        self.worst_ns
    }

    /// Number of stalls.
    pub const fn stalls(&self) -> u64 {
        self.stalls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_beyond_the_limit_count_and_the_worst_is_kept() {
        let mut tracker = StallTracker::new(100);
        let stalls = [5, 105, 206, 210, 1210].map(|now| {
            tracker.turn(now);
            tracker.stalls()
        });
        assert_eq!(stalls, [0, 0, 1, 1, 2]);
        assert_eq!((tracker.stalls(), tracker.worst_ns()), (2, 1000));
    }
}
