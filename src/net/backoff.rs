//! Exponential back-off for reconnects. Pure: the caller brings the jitter and keeps the time, so the same
//! code serves live sessions and replay.

/// Doubling delay between attempts, with a ceiling and caller-supplied jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first_ns: i64,
    max_ns: i64,
    attempts: u32,
}

impl Backoff {
    /// Waits about `first_ns` after the first failure, then twice as long each time, up to `max_ns`.
    pub const fn new(first_ns: i64, max_ns: i64) -> Self {
        assert!(first_ns > 0 && max_ns >= first_ns, "a back-off needs 0 < first <= max");
        Self { first_ns, max_ns, attempts: 0 }
    }

    /// The delay before the next attempt, ns: between half and all of the current step.
    ///
    /// `jitter` is any uniformly distributed number; it spreads reconnects of many clients, and of our
    /// own connections, so that they don't hit a venue's connection limit together.
    pub fn next_delay(&mut self, jitter: u64) -> i64 {
        let shift = self.attempts.min(62);
        let step = self.first_ns.checked_mul(1i64 << shift).unwrap_or(self.max_ns).min(self.max_ns);
        self.attempts = self.attempts.saturating_add(1);
        let half = step / 2;
        let spread = (step - half) as u64;
        half + (jitter % (spread + 1)) as i64
    }

    /// Failures since the last [`Backoff::reset`].
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The connection has proven itself: the next failure starts from the beginning.
    pub const fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::Backoff;

    #[test]
    fn doubles_up_to_the_ceiling() {
        let mut backoff = Backoff::new(100, 1_000);
        let longest: Vec<i64> = (0..6)
            .map(|_| {
                let mut copy = backoff;
                backoff.next_delay(0);
                copy.next_delay(copy.top_jitter())
            })
            .collect();
        assert_eq!(longest, [100, 200, 400, 800, 1_000, 1_000]);
        backoff.reset();
        assert_eq!((backoff.attempts(), backoff.next_delay(0)), (0, 50));
    }

    #[test]
    fn jitter_stays_between_half_and_all_of_the_step() {
        for jitter in [0, 1, 50, 51, 12_345, u64::MAX] {
            let delay = Backoff::new(100, 1_000).next_delay(jitter);
            assert!((50..=100).contains(&delay), "{delay} for jitter {jitter}");
        }
    }

    #[test]
    fn never_overflows() {
        let mut backoff = Backoff::new(i64::MAX / 2, i64::MAX);
        for _ in 0..200 {
            assert!(backoff.next_delay(u64::MAX) > 0);
        }
    }

    impl Backoff {
        /// The jitter that yields the longest delay of the current step.
        fn top_jitter(&self) -> u64 {
            let step = (self.first_ns << self.attempts).min(self.max_ns);
            (step - step / 2) as u64
        }
    }
}
