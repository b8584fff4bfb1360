//! What a thread does when there was nothing to do: spin, yield or park. Decides nothing else.

use std::str::FromStr;
use std::time::Duration;

/// How a thread waits for work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleMode {
    /// Never gives up its core: lowest latency, needs a core of its own.
    Spin,
    /// Spins a little, then lets others run: shares cores at the price of microseconds.
    #[default]
    Yield,
    /// Spins, yields, then sleeps up to a millisecond: for hosts that do other things.
    Park,
}

impl FromStr for IdleMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "spin" => Ok(Self::Spin),
            "yield" => Ok(Self::Yield),
            "park" => Ok(Self::Park),
            _ => Err(format!("unknown idle strategy {text:?}: choose spin, yield or park")),
        }
    }
}

impl IdleMode {
    /// Its name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Spin => "spin",
            Self::Yield => "yield",
            Self::Park => "park",
        }
    }
}

/// Spins before yielding.
const SPINS: u32 = 64;
/// Yields before parking.
const YIELDS: u32 = 64;
/// First and longest sleep, ns.
const PARK_NS: std::ops::RangeInclusive<u64> = 20_000..=1_000_000;

/// The state of waiting of one thread.
#[derive(Clone, Debug)]
pub struct Idle {
    mode: IdleMode,
    /// Empty rounds since the last work.
    rounds: u32,
    park_ns: u64,
}

impl Idle {
    /// Waits in this mode.
    pub const fn new(mode: IdleMode) -> Self {
        Self { mode, rounds: 0, park_ns: *PARK_NS.start() }
    }

    /// After a round that did `work` things: returns at once when there were any, else waits a little.
    /// Another thread may end a sleep by `unpark`.
    #[inline]
    pub fn idle(&mut self, work: usize) {
        if work > 0 {
            self.rounds = 0;
            self.park_ns = *PARK_NS.start();
            return;
        }
        if self.mode == IdleMode::Spin || self.rounds < SPINS {
            self.rounds = self.rounds.saturating_add(1);
            std::hint::spin_loop();
        } else {
            self.give_way();
        }
    }

    #[cold]
    fn give_way(&mut self) {
        if self.mode == IdleMode::Yield || self.rounds < SPINS + YIELDS {
            self.rounds = self.rounds.saturating_add(1);
            std::thread::yield_now();
        } else {
            std::thread::park_timeout(Duration::from_nanos(self.park_ns));
            self.park_ns = (self.park_ns * 2).min(*PARK_NS.end());
        }
    }

    /// Whether the next empty round would sleep: an agent that has its own way of sleeping (a poll of
    /// sockets) does it then instead.
    pub fn would_park(&self) -> Option<Duration> {
        let ready = self.mode == IdleMode::Park && self.rounds >= SPINS + YIELDS;
        ready.then_some(Duration::from_nanos(self.park_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parking_comes_after_spinning_and_yielding_and_grows_to_a_millisecond() {
        let mut idle = Idle::new(IdleMode::Park);
        for _ in 0..SPINS + YIELDS {
            assert_eq!(idle.would_park(), None);
            idle.idle(0);
        }
        let mut sleeps = Vec::new();
        for _ in 0..8 {
            sleeps.push(idle.would_park().unwrap().as_micros());
            std::thread::current().unpark(); // so that the test does not sleep
            idle.idle(0);
        }
        assert_eq!(sleeps, [20, 40, 80, 160, 320, 640, 1_000, 1_000]);
        idle.idle(1);
        assert_eq!(idle.would_park(), None, "work starts it over");
    }

    #[test]
    fn spinning_and_yielding_never_park() {
        for mode in [IdleMode::Spin, IdleMode::Yield] {
            let mut idle = Idle::new(mode);
            for _ in 0..1_000 {
                idle.idle(0);
                assert_eq!(idle.would_park(), None);
            }
        }
    }

    #[test]
    fn names_are_read_back() {
        for mode in [IdleMode::Spin, IdleMode::Yield, IdleMode::Park] {
            assert_eq!(mode.name().parse(), Ok(mode));
        }
        assert!("sleep".parse::<IdleMode>().unwrap_err().contains("spin, yield or park"));
    }
}
