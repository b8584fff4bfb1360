//! Latencies on their way from the pinned threads to those who look at them: every thread fills a box of its
//! own, and hands it over about once a second. It never waits, locks or allocates; percentiles are computed
//! by whoever empties the boxes.

use crate::domain::time::{Nanos, SECOND};
use crate::ops::latency::{Latency, Path};
use crate::telemetry::exchange::{Collector, Filler, exchange};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Interval of the hand-overs: a fresh box is cold memory, so not too often.
const HAND_OVER_INTERVAL_NS: Nanos = SECOND;

/// Boxes per thread: one being filled, one being read.
const BOXES: usize = 2;

/// A thread's own histograms.
#[derive(Debug)]
pub struct Probe {
    filler: Filler<Latency>,
    pool: Pool,
    handed: Nanos,
}

impl Probe {
    /// Records a duration, ns.
    #[inline]
    pub fn record(&mut self, path: Path, duration: Nanos) {
        self.filler.get().record(path, duration);
    }

    /// The histograms being filled.
    #[inline]
    pub fn latency(&mut self) -> &mut Latency {
        self.filler.get()
    }

    /// Hands the filled box over when it is due at `now`.
    #[inline]
    pub fn hand_over(&mut self, now: Nanos) {
        if now - self.handed >= HAND_OVER_INTERVAL_NS {
            self.handed = now;
            // Without an empty box this one is filled further: nothing is lost.
            self.filler.hand_over();
        }
    }

    /// The thread ends: the rest goes to the pool. May wait for a reader.
    pub fn close(&mut self) {
        let latency = self.filler.get();
        self.pool.lock().sum.merge(latency);
        latency.clear();
    }
}

/// Where the boxes of all threads are emptied.
#[derive(Clone, Debug, Default)]
pub struct Pool(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    sum: Latency,
    collectors: Vec<Collector<Latency>>,
}

impl Pool {
    /// Without threads.
    pub fn new() -> Self {
        Self::default()
    }

    /// A thread's side; `paths` are what it measures. Its memory is allocated and touched here.
    pub fn probe(&self, paths: &[Path]) -> Probe {
        let (filler, collector) = exchange(BOXES, || {
            let mut latency = Latency::of(paths);
            latency.clear();
            latency
        });
        self.lock().collectors.push(collector);
        Probe { filler, pool: self.clone(), handed: 0 }
    }

    /// Empties the boxes that were handed over; everything since the start. Not for pinned threads.
    pub fn sum(&self) -> Latency {
        self.collect().sum.clone()
    }

    /// Names and percentiles of everything handed over since the start. Not for pinned threads.
    pub fn summaries(&self) -> Vec<(&'static str, crate::ops::latency::Summary)> {
        self.collect().sum.summaries()
    }

    fn collect(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.lock();
        let Inner { sum, collectors } = &mut *inner;
        for collector in collectors {
            collector.collect(|latency| {
                sum.merge(latency);
                latency.clear();
            });
        }
        inner
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Histograms are whole after every call: a thread that panicked has not broken them.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_arrives_once_whether_or_not_somebody_looks() {
        let pool = Pool::new();
        let mut probes =
            [pool.probe(&[Path::MarketData]), pool.probe(&[Path::MarketData, Path::TickToOrder])];
        for i in 1..=1000 {
            for probe in &mut probes {
                probe.record(Path::MarketData, i);
                probe.hand_over(i * SECOND / 10);
            }
            if i == 500 {
                let seen = pool.sum().summary(Path::MarketData).count;
                assert!((1..1000).contains(&seen), "{seen} samples are seen while running");
            }
        }
        probes.iter_mut().for_each(Probe::close);
        let sum = pool.sum();
        assert_eq!((sum.summary(Path::MarketData).count, sum.summary(Path::TickToOrder).count), (2000, 0));
        assert_eq!(pool.summaries()[4].1.max, Some(1000));
    }
}
