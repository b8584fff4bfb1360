//! Requests that a venue allows in so much time, counted over a window that slides by a twelfth. Event time only.

use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// Parts of the window, and the one that has begun.
const PARTS: usize = 13;

/// A budget of requests.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Quota {
    max: u32,
    part: Nanos,
    parts: [u32; PARTS],
    /// Number of the part under way.
    current: Nanos,
}

impl Quota {
    /// At most `max` in any `window`.
    pub const fn new(max: u32, window: Nanos) -> Self {
        Self { max, part: window / (PARTS as Nanos - 1), parts: [0; PARTS], current: 0 }
    }

    /// Counts `count` requests, all or none.
    ///
    /// # Errors
    /// When to try again.
    pub fn take(&mut self, count: u32, now: Nanos) -> Result<(), Nanos> {
        let part = now.div_euclid(self.part);
        for back in 0..(part - self.current).clamp(0, PARTS as Nanos) {
            self.parts[(part - back).rem_euclid(PARTS as Nanos) as usize] = 0;
        }
        self.current = self.current.max(part);
        let used = self.parts.iter().fold(0, |sum: u32, part| sum.saturating_add(*part));
        if used.saturating_add(count) > self.max {
            return Err((self.current + 1) * self.part);
        }
        self.parts[self.current.rem_euclid(PARTS as Nanos) as usize] += count;
        Ok(())
    }

    /// A new connection: nothing was asked on it.
    pub fn reset(&mut self) {
        self.parts = [0; PARTS];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_window_sees_more_than_the_budget_and_what_waits_as_told_goes(
            tries in proptest::collection::vec((0i64..300 * SECOND, 1u32..4), 1..400),
        ) {
            const WINDOW: Nanos = 3_600 * SECOND;
            let mut quota = Quota::new(20, WINDOW);
            let (mut now, mut taken): (Nanos, Vec<(Nanos, u32)>) = (0, Vec::new());
            for (gap, count) in tries {
                now += gap;
                let mut waits = 0;
                while let Err(again) = quota.take(count, now) {
                    prop_assert!(again > now && waits < PARTS);
                    (now, waits) = (again, waits + 1);
                }
                taken.push((now, count));
                let window = taken.iter().filter(|(at, _)| *at > now - WINDOW);
                prop_assert!(window.map(|(_, count)| count).sum::<u32>() <= 20);
            }
        }
    }
}
