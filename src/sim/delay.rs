//! Things that happen later: requests on their way to the matching engine, replies on their way back.

use crate::domain::time::Nanos;
use std::collections::BTreeMap;

/// A queue by due time; equal times come out in the order they went in.
#[derive(Clone, Debug)]
pub struct DelayQueue<T> {
    items: BTreeMap<(Nanos, u64), T>,
    count: u64,
}

impl<T> Default for DelayQueue<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), count: 0 }
    }
}

impl<T> DelayQueue<T> {
    /// Adds something that is due at `due`, wall ns.
    pub fn push(&mut self, due: Nanos, item: T) {
        self.items.insert((due, self.count), item);
        self.count += 1;
    }

    /// When the next thing is due; `i64::MAX` when empty.
    pub fn next_due(&self) -> Nanos {
        self.items.first_key_value().map_or(Nanos::MAX, |((due, _), _)| *due)
    }

    /// The next thing that is due at or before `now`, with its due time.
    pub fn pop_due(&mut self, now: Nanos) -> Option<(Nanos, T)> {
        if self.next_due() > now {
            return None;
        }
        self.items.pop_first().map(|((due, _), item)| (due, item))
    }
}
