//! Monotonic and wall time for the threads of a run, at the price of a counter read.
//!
//! Each thread owns a [`Clock`] that reads the processor's time stamp counter and ties it to
//! `CLOCK_MONOTONIC` again and again, for a rate measured once drifts (83 ppm have been seen). Time never
//! steps back on a thread: a reading below the last one is replaced by it and counted. The only file, with
//! named exceptions, that may read a clock.
#![allow(clippy::disallowed_methods)] // this is where the others are sent to

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How often a thread ties its counter to `CLOCK_MONOTONIC` again, ns.
const ANCHOR_INTERVAL_NS: i64 = 100_000_000;
/// A difference beyond this is no drift but a suspended machine or a moved one: follow at once, ns.
const SLEW_MAX_NS: i64 = 1_000_000;
/// The rates that can be true of a counter, ns per tick: from 20 GHz down to 10 MHz.
const RATE_RANGE: std::ops::Range<f64> = 0.05..100.0;

/// Where a run's monotonic time begins; shared by all its threads.
#[derive(Clone, Copy, Debug)]
pub struct ClockOrigin {
    start: Instant,
    counter: CounterKind,
}

/// What the fast path reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterKind {
    /// The time stamp counter, which this processor keeps at a constant rate in every state.
    Tsc,
    /// `CLOCK_MONOTONIC` itself: slower (about 25 ns), right everywhere.
    Monotonic,
}

impl ClockOrigin {
    /// Begins a run: its monotonic time is 0 about now. Chooses the counter.
    pub fn begin() -> Self {
        Self {
            start: Instant::now(),
            counter: if tsc_is_invariant() { CounterKind::Tsc } else { CounterKind::Monotonic },
        }
    }

    /// What the clocks of this run read.
    pub fn counter(&self) -> CounterKind {
        self.counter
    }

    /// Counter, monotonic time of the run and wall clock at about the same moment: the anchor for a manifest.
    pub fn anchor(&self) -> (u64, i64, i64) {
        let pair = self.pair();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
        (pair.ticks, pair.ns, wall)
    }

    /// A clock for one thread. Takes about 2 ms to measure the counter's rate.
    pub fn clock(&self) -> Clock {
        Clock::new(*self)
    }

    /// `CLOCK_MONOTONIC` since the run began, ns.
    fn reference_ns(&self) -> i64 {
        i64::try_from(self.start.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Counter and reference at the same moment: of several tries, the one with the least between the
    /// two counter reads.
    fn pair(&self) -> Pair {
        let mut best = Pair { ticks: 0, ns: 0 };
        let mut width_min = u64::MAX;
        for _ in 0..5 {
            let before = read_counter(self);
            let ns = self.reference_ns();
            let after = read_counter(self);
            let width = after.saturating_sub(before);
            if width < width_min {
                width_min = width;
                best = Pair { ticks: before + width / 2, ns };
            }
        }
        best
    }
}

/// A counter reading and the monotonic time that belongs to it.
#[derive(Clone, Copy, Debug)]
struct Pair {
    ticks: u64,
    ns: i64,
}

/// A thread's clock. Not shared: every thread has its own.
#[derive(Clone, Debug)]
pub struct Clock {
    origin: ClockOrigin,
    /// Where the current straight line begins.
    base: Pair,
    /// Slope of the line, ns per tick as a 32.32 fixed-point number.
    rate: u64,
    /// The reading at which the counter was last compared with the reference.
    measured: Pair,
    /// Ticks after `base` when the next comparison is due.
    due_ticks: u64,
    last_ns: i64,
    steps_back: u64,
    jumps: u64,
}

impl Clock {
    fn new(origin: ClockOrigin) -> Self {
        let first = origin.pair();
        // A first rate from 2 ms (about 20 ppm); the anchors that follow make it precise.
        let mut second = first;
        while second.ns - first.ns < 2_000_000 {
            std::hint::spin_loop();
            second = origin.pair();
        }
        let mut clock = Self {
            origin,
            base: second,
            rate: 1 << 32,
            measured: second,
            due_ticks: 0,
            last_ns: second.ns,
            steps_back: 0,
            jumps: 0,
        };
        clock.set_rate(true_rate(first, second).unwrap_or(1.0));
        clock
    }

    /// Nanoseconds since the run began. Never less than the last answer on this clock.
    #[inline]
    pub fn mono_ns(&mut self) -> i64 {
        let ticks = read_counter(&self.origin);
        let since = ticks.saturating_sub(self.base.ticks);
        if since >= self.due_ticks {
            return self.anchor();
        }
        self.advance_to(self.on_line(since))
    }

    /// Wall time minus [`Clock::mono_ns`], ns since the Unix epoch: the anchor that the sequencer
    /// records. The operating system may step it in either direction.
    pub fn wall_offset_ns(&mut self) -> i64 {
        let mut best = (i64::MAX, 0);
        for _ in 0..5 {
            let before = self.mono_ns();
            let wall =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64);
            let after = self.mono_ns();
            let width = after - before;
            if width < best.0 {
                best = (width, wall - (before + width / 2));
            }
        }
        best.1
    }

    /// Readings that would have stepped back and were held instead (another core's counter, or a line
    /// that ran ahead of the reference).
    pub fn steps_back(&self) -> u64 {
        self.steps_back
    }

    /// Times that the reference was more than a millisecond away: the machine was suspended or moved.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    /// Ties the counter to the reference again: measures the rate since the last time, and bends the line
    /// so that it meets the reference one interval later instead of stepping.
    #[cold]
    fn anchor(&mut self) -> i64 {
        let now = self.origin.pair();
        let ours = self.on_line(now.ticks.saturating_sub(self.base.ticks)).max(self.last_ns);
        let error = now.ns - ours;
        let rate = true_rate(self.measured, now).unwrap_or(self.rate_f64());
        self.measured = now;
        if error.abs() > SLEW_MAX_NS {
            self.jumps += 1;
            // Ahead of us: follow. Behind us: the line holds, as `advance_to` sees to.
            self.base = now;
            self.set_rate(rate);
            return self.advance_to(now.ns);
        }
        self.base = Pair { ticks: now.ticks, ns: ours };
        let interval = ANCHOR_INTERVAL_NS as f64;
        self.set_rate(rate * (interval + error as f64) / interval);
        self.advance_to(ours)
    }

    fn set_rate(&mut self, ns_per_tick: f64) {
        self.rate = (ns_per_tick * (1u64 << 32) as f64) as u64;
        self.due_ticks = (ANCHOR_INTERVAL_NS as f64 / ns_per_tick) as u64;
    }

    fn rate_f64(&self) -> f64 {
        self.rate as f64 / (1u64 << 32) as f64
    }

    /// The line's value `since` ticks after its beginning.
    #[inline]
    fn on_line(&self, since: u64) -> i64 {
        self.base.ns + ((u128::from(since) * u128::from(self.rate)) >> 32) as i64
    }

    #[inline]
    fn advance_to(&mut self, ns: i64) -> i64 {
        if ns < self.last_ns {
            self.steps_back += 1;
        } else {
            self.last_ns = ns;
        }
        self.last_ns
    }
}

/// The counter's rate between two pairs, when it can be true.
fn true_rate(from: Pair, to: Pair) -> Option<f64> {
    let ticks = to.ticks.checked_sub(from.ticks).filter(|&ticks| ticks > 0)?;
    let rate = (to.ns - from.ns) as f64 / ticks as f64;
    RATE_RANGE.contains(&rate).then_some(rate)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn read_counter(origin: &ClockOrigin) -> u64 {
    match origin.counter {
        // SAFETY: reading the time stamp counter touches no memory and exists on every x86-64 processor.
        CounterKind::Tsc => unsafe { core::arch::x86_64::_rdtsc() },
        CounterKind::Monotonic => origin.reference_ns() as u64,
    }
}

#[cfg(not(target_arch = "x86_64"))]
#[inline]
fn read_counter(origin: &ClockOrigin) -> u64 {
    origin.reference_ns() as u64
}

/// Whether the counter runs at one rate in all power states (CPUID 8000_0007h, EDX bit 8; Intel SDM vol. 3B
/// §18.17, AMD APM vol. 3 §E.4.6).
#[cfg(target_arch = "x86_64")]
fn tsc_is_invariant() -> bool {
    use core::arch::x86_64::__cpuid;
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
}

#[cfg(not(target_arch = "x86_64"))]
fn tsc_is_invariant() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clocks() -> Vec<Clock> {
        let origin = ClockOrigin::begin();
        let slow = ClockOrigin { counter: CounterKind::Monotonic, ..origin };
        vec![origin.clock(), slow.clock()]
    }

    #[test]
    fn follows_the_reference_and_never_steps_back() {
        for mut clock in clocks() {
            let mut last = clock.mono_ns();
            let begun = clock.origin.reference_ns();
            while clock.origin.reference_ns() - begun < 350_000_000 {
                let before = clock.origin.reference_ns();
                let now = clock.mono_ns();
                let after = clock.origin.reference_ns();
                assert!(now >= last, "{now} after {last}");
                assert!(now > before - 200_000 && now < after + 200_000, "{now} is not in {before}..{after}");
                last = now;
            }
            assert_eq!(clock.jumps(), 0);
        }
    }

    #[test]
    fn a_wrong_rate_is_corrected_without_a_step_back() {
        let mut clock = ClockOrigin::begin().clock();
        clock.set_rate(clock.rate_f64() * 1.0005); // 500 ppm fast
        let mut last = clock.mono_ns();
        let begun = clock.origin.reference_ns();
        while clock.origin.reference_ns() - begun < 450_000_000 {
            let now = clock.mono_ns();
            assert!(now >= last);
            last = now;
        }
        let error = clock.mono_ns() - clock.origin.reference_ns();
        assert!(error.abs() < 30_000, "{error} ns away after the correction");
    }

    #[test]
    fn a_counter_that_steps_back_is_held_and_counted() {
        let mut clock = ClockOrigin::begin().clock();
        let now = clock.mono_ns();
        clock.last_ns = now + 50_000_000; // as if another core had been read
        assert_eq!(clock.mono_ns(), now + 50_000_000);
        assert_eq!(clock.steps_back(), 1);
    }

    #[test]
    fn a_jump_of_the_reference_is_followed_at_once() {
        let mut clock = ClockOrigin::begin().clock();
        clock.base.ns -= 3_000_000_000; // as if the counter had stood still for three seconds
        clock.last_ns -= 3_000_000_000;
        clock.due_ticks = 0;
        let now = clock.mono_ns();
        assert_eq!(clock.jumps(), 1);
        assert!((now - clock.origin.reference_ns()).abs() < 1_000_000);
    }

    #[test]
    fn the_wall_offset_is_that_of_the_system() {
        let mut clock = ClockOrigin::begin().clock();
        let wall = clock.wall_offset_ns() + clock.mono_ns();
        let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
        assert!((wall - system).abs() < 50_000_000);
    }
}
