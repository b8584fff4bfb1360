//! Events from one producer to two consumers that each see all of them: decode → scan and record.
//!
//! Over the `disruptor` crate, around its traps: publishing never spins, a batch is always read to its end
//! (a guard dropped early would skip events), threads stay ours, and a consumer that is gone is an error
//! instead of a ring that is full for ever.

use super::Padded;
use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, Polling, Producer as _, SingleProducer,
    SingleProducerBarrier, build_single_producer,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use thiserror::Error;

/// The number of consumers; fixed, because the library's list of them is.
pub const CONSUMERS: usize = 2;

/// What the fan has seen, readable from any thread.
#[derive(Debug)]
pub struct FanStats {
    name: &'static str,
    capacity: usize,
    /// Events published; written by the producer.
    published: Padded<AtomicU64>,
    /// Attempts that found no room; written by the producer.
    full: Padded<AtomicU64>,
    consumers: [Padded<ConsumerStats>; CONSUMERS],
}

/// Written by one consumer.
#[derive(Debug, Default)]
struct ConsumerStats {
    consumed: AtomicU64,
    high_water: AtomicU64,
    gone: AtomicBool,
}

impl FanStats {
    /// The hop's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// How many events it holds at most.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How often an event found no room.
    pub fn full(&self) -> u64 {
        self.full.0.load(Relaxed)
    }

    /// Events that wait for a consumer (0 or 1).
    pub fn depth(&self, consumer: usize) -> u64 {
        let consumed = self.consumers[consumer].0.consumed.load(Relaxed);
        self.published.0.load(Relaxed).saturating_sub(consumed)
    }

    /// The largest batch that a consumer (0 or 1) was given; at most its poll limit.
    pub fn high_water(&self, consumer: usize) -> u64 {
        self.consumers[consumer].0.high_water.load(Relaxed)
    }
}

/// Why an event was not published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    /// The slower consumer is a whole ring behind: wait and count, the event is still yours.
    #[error("the ring is full: a consumer is a whole ring behind")]
    Full,
    /// A consumer is gone and the ring will never have room again.
    #[error("a consumer of the ring is gone: the run has to end")]
    ConsumerGone,
}

/// The producer is gone and every event has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the producer is gone and every event has been read")]
pub struct FanClosed;

/// An event on cache lines of its own; the library does not pad its slots.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Slot<E>(E);

/// The producing end.
pub struct FanProducer<E> {
    inner: SingleProducer<Slot<E>, MultiConsumerBarrier>,
    published: u64,
    stats: Arc<FanStats>,
}

/// One of the two consuming ends.
pub struct FanConsumer<E> {
    inner: EventPoller<Slot<E>, SingleProducerBarrier>,
    index: usize,
    consumed: u64,
    high_water: u64,
    stats: Arc<FanStats>,
}

/// A fan for `capacity` events (a power of two), all allocated now and filled with `blank`.
///
/// # Panics
/// When the capacity is not a power of two.
pub fn fan<E>(
    name: &'static str,
    capacity: usize,
    blank: E,
) -> (FanProducer<E>, FanConsumer<E>, FanConsumer<E>)
where
    E: Copy + Send + Sync + 'static,
{
    let stats = Arc::new(FanStats {
        name,
        capacity,
        published: Padded::default(),
        full: Padded::default(),
        consumers: Default::default(),
    });
    // The wait strategy serves threads that the library starts; we start none.
    let builder = build_single_producer(capacity, move || Slot(blank), BusySpin);
    let (first, builder) = builder.new_event_poller();
    let (second, builder) = builder.new_event_poller();
    let producer = FanProducer { inner: builder.build(), published: 0, stats: Arc::clone(&stats) };
    let consumer =
        |inner, index| FanConsumer { inner, index, consumed: 0, high_water: 0, stats: Arc::clone(&stats) };
    (producer, consumer(first, 0), consumer(second, 1))
}

impl<E> FanProducer<E>
where
    E: Copy + Send + Sync + 'static,
{
    /// Publishes an event to both consumers.
    ///
    /// # Errors
    /// [`PublishError`]; a full ring is counted.
    #[inline]
    pub fn try_publish(&mut self, event: &E) -> Result<(), PublishError> {
        match self.inner.try_publish(|slot| slot.0 = *event) {
            Ok(_) => {
                self.published += 1;
                self.stats.published.0.store(self.published, Relaxed);
                Ok(())
            }
            Err(disruptor::RingBufferFull) => Err(self.refused()),
        }
    }

    /// The hop's counters.
    pub fn stats(&self) -> &Arc<FanStats> {
        &self.stats
    }

    #[cold]
    fn refused(&self) -> PublishError {
        if self.stats.consumers.iter().any(|consumer| consumer.0.gone.load(Acquire)) {
            return PublishError::ConsumerGone;
        }
        self.stats.full.0.store(self.stats.full() + 1, Relaxed);
        PublishError::Full
    }
}

impl<E> FanConsumer<E>
where
    E: Copy + Send + Sync + 'static,
{
    /// Hands up to `limit` waiting events (at least 1) to `on_event`, in order; the flag marks the last of the batch.
    /// Returns how many there were.
    ///
    /// # Errors
    /// [`FanClosed`] once the producer is gone and every event has been read.
    #[inline]
    pub fn poll(&mut self, limit: usize, mut on_event: impl FnMut(&E, bool)) -> Result<usize, FanClosed> {
        let mut batch = match self.inner.take(limit.max(1) as u64) {
            Ok(batch) => batch,
            Err(Polling::NoEvents) => return Ok(0),
            Err(Polling::Shutdown) => return Err(FanClosed),
        };
        let count = ExactSizeIterator::len(&&mut batch);
        let mut left = count;
        for slot in &mut batch {
            left -= 1;
            on_event(&slot.0, left == 0);
        }
        drop(batch); // tells the producer that all of them were read
        self.consumed += count as u64;
        let stats = &self.stats.consumers[self.index].0;
        stats.consumed.store(self.consumed, Relaxed);
        if count as u64 > self.high_water {
            self.high_water = count as u64;
            stats.high_water.store(self.high_water, Relaxed);
        }
        Ok(count)
    }

    /// Events that wait for this consumer. Looks at a line that the producer writes: ask now and then,
    /// not for every event.
    pub fn depth(&self) -> u64 {
        self.stats.depth(self.index)
    }

    /// The hop's counters.
    pub fn stats(&self) -> &Arc<FanStats> {
        &self.stats
    }
}

impl<E> Drop for FanConsumer<E> {
    fn drop(&mut self) {
        self.stats.consumers[self.index].0.gone.store(true, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(consumer: &mut FanConsumer<u64>, limit: usize) -> Vec<(u64, bool)> {
        let mut seen = Vec::new();
        consumer.poll(limit, |&event, last| seen.push((event, last))).unwrap();
        seen
    }

    #[test]
    fn both_consumers_see_every_event_in_order_with_the_batch_end_marked() {
        let (mut producer, mut scan, mut record) = fan("decode→", 8, 0u64);
        for event in 0..5 {
            producer.try_publish(&event).unwrap();
        }
        assert_eq!(drain(&mut scan, 3), [(0, false), (1, false), (2, true)]);
        assert_eq!(drain(&mut scan, 3), [(3, false), (4, true)], "a limit skips nothing");
        assert_eq!(drain(&mut scan, 3), []);
        assert_eq!(record.depth(), 5);
        assert_eq!(drain(&mut record, 100).len(), 5);
        let stats = producer.stats();
        assert_eq!((stats.depth(0), stats.depth(1), stats.high_water(0), stats.high_water(1)), (0, 0, 3, 5));
    }

    #[test]
    fn the_slower_consumer_fills_the_ring_and_is_counted() {
        let (mut producer, mut scan, mut record) = fan("decode→", 4, 0u64);
        for event in 0..4 {
            producer.try_publish(&event).unwrap();
        }
        assert_eq!(drain(&mut scan, 100).len(), 4);
        assert_eq!(producer.try_publish(&4), Err(PublishError::Full));
        assert_eq!(producer.stats().full(), 1);
        assert_eq!(drain(&mut record, 1), [(0, true)]);
        assert_eq!(producer.try_publish(&4), Ok(()));
        assert_eq!(producer.try_publish(&5), Err(PublishError::Full));
    }

    #[test]
    fn a_consumer_that_is_gone_is_an_error_not_a_freeze() {
        let (mut producer, mut scan, record) = fan("decode→", 2, 0u64);
        drop(record);
        producer.try_publish(&0).unwrap();
        producer.try_publish(&1).unwrap();
        assert_eq!(drain(&mut scan, 9).len(), 2);
        assert_eq!(producer.try_publish(&2), Err(PublishError::ConsumerGone));
    }

    #[test]
    fn closing_comes_after_the_last_event() {
        let (mut producer, mut scan, _record) = fan("decode→", 4, 0u64);
        producer.try_publish(&7).unwrap();
        drop(producer);
        assert_eq!(drain(&mut scan, 9), [(7, true)]);
        assert_eq!(scan.poll(9, |_, _| panic!("nothing is left")), Err(FanClosed));
    }

    #[test]
    fn three_threads_pass_every_event_to_both() {
        const COUNT: u64 = 200_000;
        #[derive(Clone, Copy)]
        struct Event {
            numbers: [u64; 40],
        }
        let (mut producer, scan, record) = fan("decode→", 128, Event { numbers: [0; 40] });
        let reader = |mut consumer: FanConsumer<Event>, limit: usize| {
            std::thread::spawn(move || {
                let mut expected = 0;
                loop {
                    let polled = consumer.poll(limit, |event, _| {
                        assert_eq!(event.numbers, [expected; 40], "torn or skipped");
                        expected += 1;
                    });
                    match polled {
                        Ok(0) => std::thread::yield_now(),
                        Ok(_) => {}
                        Err(FanClosed) => return expected,
                    }
                }
            })
        };
        let readers = [reader(scan, 16), reader(record, 1_000)];
        for number in 0..COUNT {
            let event = Event { numbers: [number; 40] };
            while let Err(error) = producer.try_publish(&event) {
                assert_eq!(error, PublishError::Full);
                std::thread::yield_now();
            }
        }
        drop(producer);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), COUNT);
        }
    }
}
