//! Rate limits: fixed windows aligned to the epoch, as venues count them.

use crate::domain::time::Nanos;

/// Counts events in the current window.
#[derive(Clone, Copy, Debug)]
pub struct RateWindow {
    limit: u32,
    window_ns: Nanos,
    /// Number of the current window since the epoch.
    current: i64,
    used: u32,
}

impl RateWindow {
    /// At most `limit` in each `window_ns`; a limit of 0 means none.
    pub fn new(limit: u32, window_ns: Nanos) -> Self {
        Self { limit, window_ns: window_ns.max(1), current: i64::MIN, used: 0 }
    }

    /// Counts `weight` at `now`. False when that exceeds the limit (it is counted all the same).
    pub fn take(&mut self, weight: u32, now: Nanos) -> bool {
        self.roll(now);
        self.used = self.used.saturating_add(weight);
        self.limit == 0 || self.used <= self.limit
    }

    /// Used in the window of `now`.
    pub fn used(&mut self, now: Nanos) -> u32 {
        self.roll(now);
        self.used
    }

    /// The limit.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// When the window of `now` ends, wall ns.
    pub fn ends(&self, now: Nanos) -> Nanos {
        (now.div_euclid(self.window_ns) + 1) * self.window_ns
    }

    fn roll(&mut self, now: Nanos) {
        let current = now.div_euclid(self.window_ns);
        if current != self.current {
            self.current = current;
            self.used = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_refuses_above_its_limit_and_then_starts_anew() {
        let mut window = RateWindow::new(3, 1_000);
        assert!((0..3).all(|i| window.take(1, i)));
        assert!(!window.take(1, 999));
        assert_eq!(window.used(999), 4);
        assert!(window.take(1, 1_000));
        assert_eq!((window.used(1_001), window.ends(1_001)), (1, 2_000));
    }
}
