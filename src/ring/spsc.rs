//! A bounded ring from one thread to one other, for small values. Waits for nothing: a full ring gives the
//! value back and counts; what then happens is the sender's policy.

use super::Padded;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What a hop has seen, readable from any thread.
#[derive(Debug)]
pub struct HopStats {
    name: &'static str,
    capacity: usize,
    /// Written by the sender.
    full: Padded<AtomicU64>,
    /// Written by the receiver.
    high_water: Padded<AtomicU64>,
}

impl HopStats {
    /// The hop's name, such as `scan→risk`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many values it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How often a value found no room.
    pub fn full(&self) -> u64 {
        self.full.0.load(Relaxed)
    }

    /// The greatest backlog that the receiver has met.
    pub fn high_water(&self) -> u64 {
        self.high_water.0.load(Relaxed)
    }
}

/// There is no room; the value comes back.
#[derive(Debug, PartialEq, Eq)]
pub struct Full<T>(pub T);

/// The sending end.
#[derive(Debug)]
pub struct Sender<T> {
    inner: rtrb::Producer<T>,
    stats: Arc<HopStats>,
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<T> {
    inner: rtrb::Consumer<T>,
    stats: Arc<HopStats>,
    high_water: usize,
}

/// A ring for `capacity` values, all allocated now.
pub fn channel<T>(name: &'static str, capacity: usize) -> (Sender<T>, Receiver<T>) {
    let (producer, consumer) = rtrb::RingBuffer::new(capacity);
    let stats = Arc::new(HopStats { name, capacity, full: Padded::default(), high_water: Padded::default() });
    let receiver = Receiver { inner: consumer, stats: Arc::clone(&stats), high_water: 0 };
    (Sender { inner: producer, stats }, receiver)
}

impl<T> Sender<T> {
    /// Sends a value, or gives it back when there is no room (and counts that).
    ///
    /// # Errors
    /// [`Full`].
    #[inline]
    pub fn try_push(&mut self, value: T) -> Result<(), Full<T>> {
        match self.inner.push(value) {
            Ok(()) => Ok(()),
            Err(rtrb::PushError::Full(value)) => {
                self.count_full();
                Err(Full(value))
            }
        }
    }

    /// Whether `count` values will find room: once true it stays so until this sender sends.
    #[inline]
    pub fn has_room(&self, count: usize) -> bool {
        self.inner.cached_slots() >= count || self.inner.slots() >= count
    }

    /// Values that wait, as seen from here.
    pub fn depth(&self) -> usize {
        self.stats.capacity - self.inner.slots()
    }

    /// Whether the receiver is gone: what is sent is never read.
    pub fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned()
    }

    /// The hop's counters.
    pub fn stats(&self) -> &Arc<HopStats> {
        &self.stats
    }

    #[cold]
    fn count_full(&self) {
        // The only writer: no read-modify-write needed.
        self.stats.full.0.store(self.stats.full() + 1, Relaxed);
    }
}

impl<T> Receiver<T> {
    /// The next value, if one is there.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        let mut depth = self.inner.cached_slots();
        if depth == 0 {
            // The one look at the sender's index; what it shows is the backlog that built up meanwhile.
            depth = self.inner.slots();
        }
        if depth > self.high_water {
            self.rise(depth);
        }
        self.inner.pop().ok()
    }

    /// The next value without taking it.
    #[inline]
    pub fn peek(&self) -> Option<&T> {
        self.inner.peek().ok()
    }

    /// Values that wait.
    #[inline]
    pub fn depth(&self) -> usize {
        self.inner.slots()
    }

    /// Whether none waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Whether the sender is gone: after the values that wait, none will come.
    pub fn is_abandoned(&self) -> bool {
        self.inner.is_abandoned()
    }

    /// The hop's counters.
    pub fn stats(&self) -> &Arc<HopStats> {
        &self.stats
    }

    #[cold]
    fn rise(&mut self, depth: usize) {
        self.high_water = depth;
        self.stats.high_water.0.store(depth as u64, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_gives_the_value_back_and_counts() {
        let (mut sender, mut receiver) = channel("a→b", 2);
        assert!(sender.has_room(2) && !sender.has_room(3));
        assert_eq!((sender.try_push(1), sender.try_push(2)), (Ok(()), Ok(())));
        assert_eq!(sender.try_push(3), Err(Full(3)));
        assert_eq!((sender.depth(), receiver.depth(), sender.stats().full()), (2, 2, 1));
        assert_eq!(receiver.peek(), Some(&1));
        assert_eq!((receiver.pop(), receiver.pop(), receiver.pop()), (Some(1), Some(2), None));
        assert_eq!(receiver.stats().high_water(), 2);
        assert!(sender.has_room(2) && receiver.is_empty());
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (mut sender, receiver) = channel("a→b", 2);
        assert!(!sender.is_abandoned());
        drop(receiver);
        assert!(sender.is_abandoned());
        assert_eq!(sender.try_push(1), Ok(()));
        let (mut sender, mut receiver) = channel("a→b", 2);
        sender.try_push(7).unwrap();
        drop(sender);
        assert!(receiver.is_abandoned());
        assert_eq!((receiver.pop(), receiver.pop()), (Some(7), None), "what was sent is still read");
    }

    #[test]
    fn two_threads_pass_every_value_once_and_in_order() {
        const COUNT: u64 = 300_000;
        let (mut sender, mut receiver) = channel("a→b", 64);
        let stats = Arc::clone(sender.stats());
        let producer = std::thread::spawn(move || {
            let mut refused = 0;
            for value in 0..COUNT {
                let mut value = [value; 4];
                while let Err(Full(back)) = sender.try_push(value) {
                    value = back;
                    refused += 1;
                    std::thread::yield_now();
                }
            }
            refused
        });
        let mut expected = 0;
        while expected < COUNT {
            match receiver.pop() {
                Some(value) => {
                    assert_eq!(value, [expected; 4]);
                    expected += 1;
                }
                None => std::thread::yield_now(),
            }
        }
        assert_eq!(producer.join().unwrap(), stats.full());
        assert!((1..=64).contains(&stats.high_water()));
    }
}
