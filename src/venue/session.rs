//! Timers of one connection: when to connect, ping, give up, and how long to wait before the next attempt.
//! Knows time and counts only; what is sent is said in the `adapter` of a dialect, and what differs between
//! dialects in its [`Terms`].

use crate::domain::event::SessionRole;
use crate::domain::input::ConnId;
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// Patience for the answer to a ping, or anything else.
const PONG_WITHIN: Nanos = 10 * SECOND;
/// Patience for the dialler: TCP, TLS and upgrade.
const CONNECT_WITHIN: Nanos = 30 * SECOND;
/// Patience for a login, or for all acknowledgements of subscriptions.
const STEP_WITHIN: Nanos = 10 * SECOND;
/// Patience for a connection that we closed to be reported closed.
const CLOSE_WITHIN: Nanos = 5 * SECOND;
/// A connection that lived this long was good: the next failure starts counting anew.
const GOOD_AFTER: Nanos = 30 * SECOND;
/// Longest delay of [`Terms::back_off`].
const BACK_OFF_MAX: Nanos = 30 * SECOND;
/// Delay after an error that only a change of configuration can cure.
pub(super) const FATAL_DELAY: Nanos = 60 * SECOND;
/// Never.
pub(super) const NEVER: Nanos = Nanos::MAX;

/// When a ping is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Ping {
    /// When nothing was heard for this long.
    AfterSilence(Nanos),
    /// This often, whatever else is sent and heard.
    Every(Nanos),
}

/// What a venue asks of its connections beyond what they have in common.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Terms {
    /// When a ping is due.
    pub ping: Ping,
    /// First delay of [`Terms::back_off`].
    pub back_off_min: Nanos,
}

impl Terms {
    /// Delay before attempt `failures` (from 1): doubles up to 30 s, less up to half of it by a jitter that
    /// depends on `seed` alone, so that a replay waits as long.
    pub fn back_off(&self, failures: u32, seed: u64) -> Nanos {
        let doubled = self.back_off_min << failures.saturating_sub(1).min(10);
        let delay = doubled.min(BACK_OFF_MAX);
        let mixed = mix(seed ^ (u64::from(failures) << 32));
        delay - (mixed % (delay as u64 / 2)) as Nanos
    }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Not wanted (before the start, after the stop).
    Idle,
    /// To be established when due.
    Down { due: Nanos },
    /// The dialler works on it.
    Connecting { until: Nanos },
    /// Established.
    Up,
    /// We closed it and wait for the report.
    Closing { until: Nanos },
}

/// What the passing of time demands of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing.
    None,
    /// Connect, as soon as the venue's connection rate allows it.
    Connect,
    /// Send a ping.
    Ping,
    /// Close: it is dead or does not answer.
    Close,
}

/// One connection of the venue.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Session {
    /// The connection.
    pub conn: ConnId,
    /// What it is for.
    pub role: SessionRole,
    /// Where it stands.
    pub phase: Phase,
    /// Ready for use, as last told.
    pub ready: bool,
    /// Login acknowledged (private connections); where there is none, the subscriptions were sent.
    pub logged_in: bool,
    /// Subscription acknowledgements still expected before it is ready.
    pub acks: u32,
    terms: Terms,
    up_at: Nanos,
    ping_at: Nanos,
    /// Something must be heard until then.
    pong_until: Nanos,
    /// The login or the subscriptions must be acknowledged until then.
    step_until: Nanos,
    failures: u32,
    fatal: bool,
}

impl Session {
    /// Not wanted yet.
    pub fn new(conn: ConnId, role: SessionRole, terms: Terms) -> Self {
        Self {
            conn,
            role,
            phase: Phase::Idle,
            ready: false,
            logged_in: false,
            acks: 0,
            terms,
            up_at: 0,
            ping_at: NEVER,
            pong_until: NEVER,
            step_until: NEVER,
            failures: 0,
            fatal: false,
        }
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Nanos) {
        self.pong_until = NEVER;
        if let Ping::AfterSilence(silence) = self.terms.ping {
            self.ping_at = now + silence;
        }
    }

    /// The dialler was asked.
    pub fn connecting(&mut self, now: Nanos) {
        self.phase = Phase::Connecting { until: now + CONNECT_WITHIN };
    }

    /// It is established.
    pub fn up(&mut self, now: Nanos) {
        self.phase = Phase::Up;
        self.up_at = now;
        let (Ping::AfterSilence(pause) | Ping::Every(pause)) = self.terms.ping;
        self.ping_at = now + pause;
        (self.pong_until, self.step_until) = (NEVER, NEVER);
        (self.ready, self.logged_in, self.acks, self.fatal) = (false, false, 0, false);
    }

    /// A login or subscription was sent: it must be answered in time.
    pub fn step(&mut self, now: Nanos) {
        self.step_until = now + STEP_WITHIN;
    }

    /// The last step was answered.
    pub fn step_done(&mut self) {
        self.step_until = NEVER;
    }

    /// We close it; `fatal` when trying again soon is useless.
    pub fn closing(&mut self, now: Nanos, fatal: bool) {
        self.phase = Phase::Closing { until: now + CLOSE_WITHIN };
        self.fatal |= fatal;
    }

    /// It is gone: plans the next attempt.
    pub fn down(&mut self, now: Nanos, seed: u64) {
        if self.phase == Phase::Idle {
            return;
        }
        let lived = matches!(self.phase, Phase::Up | Phase::Closing { .. }) && now - self.up_at >= GOOD_AFTER;
        self.failures = if lived && !self.fatal { 1 } else { self.failures.saturating_add(1) };
        let delay = if self.fatal { FATAL_DELAY } else { self.terms.back_off(self.failures, seed) };
        self.phase = Phase::Down { due: now + delay };
        (self.ready, self.logged_in, self.acks) = (false, false, 0);
    }

    /// What time demands now, and the earliest time at which to ask again.
    pub fn due(&mut self, now: Nanos) -> (Wish, Nanos) {
        match self.phase {
            Phase::Idle => (Wish::None, NEVER),
            Phase::Down { due } if now >= due => (Wish::Connect, now),
            Phase::Down { due } => (Wish::None, due),
            // The dialler never answered, or the close was never reported: start over.
            Phase::Connecting { until } if now >= until => (Wish::Close, now),
            Phase::Closing { until } if now >= until => (Wish::Connect, now),
            Phase::Connecting { until } | Phase::Closing { until } => (Wish::None, until),
            Phase::Up => {
                let patience = self.pong_until.min(self.step_until);
                if now >= patience {
                    return (Wish::Close, now);
                }
                if now < self.ping_at {
                    return (Wish::None, patience.min(self.ping_at));
                }
                self.ping_at = match self.terms.ping {
                    Ping::AfterSilence(_) => NEVER, // until something is heard
                    Ping::Every(pause) => now + pause,
                };
                self.pong_until = now + PONG_WITHIN;
                (Wish::Ping, self.pong_until.min(self.step_until))
            }
        }
    }
}

/// Notes that a connection is ready or not. What that makes of its role, of which there may be two connections,
/// where it changes.
pub(super) fn note_ready(sessions: &mut [Session], at: usize, ready: bool) -> Option<bool> {
    let role = sessions[at].role;
    let is_ready = |sessions: &[Session]| sessions.iter().any(|other| other.role == role && other.ready);
    let before = is_ready(sessions);
    sessions[at].ready = ready;
    let after = is_ready(sessions);
    (after != before).then_some(after)
}

/// SplitMix64's finaliser.
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::MILLI;

    const SILENT: Terms = Terms { ping: Ping::AfterSilence(20 * SECOND), back_off_min: 250 * MILLI };
    const STEADY: Terms = Terms { ping: Ping::Every(20 * SECOND), back_off_min: 500 * MILLI };

    fn session(terms: Terms) -> Session {
        let mut session = Session::new(ConnId(1), SessionRole::Market, terms);
        session.phase = Phase::Down { due: 0 };
        session
    }

    #[test]
    fn silence_leads_to_a_ping_and_then_to_a_close() {
        let mut s = session(SILENT);
        assert_eq!(s.due(0).0, Wish::Connect);
        s.connecting(0);
        s.up(SECOND);
        assert_eq!(s.due(20 * SECOND), (Wish::None, 21 * SECOND));
        assert_eq!(s.due(21 * SECOND), (Wish::Ping, 31 * SECOND));
        assert_eq!(s.due(30 * SECOND).0, Wish::None);
        let mut answered = s;
        answered.heard(30 * SECOND);
        assert_eq!(answered.due(31 * SECOND), (Wish::None, 50 * SECOND));
        assert_eq!(s.due(31 * SECOND).0, Wish::Close);
    }

    #[test]
    fn a_steady_ping_goes_out_whatever_is_heard_and_silence_after_it_closes() {
        let mut s = session(STEADY);
        s.up(0);
        s.heard(15 * SECOND);
        assert_eq!(s.due(19 * SECOND), (Wish::None, 20 * SECOND));
        assert_eq!(s.due(20 * SECOND), (Wish::Ping, 30 * SECOND));
        let mut answered = s;
        answered.heard(29 * SECOND);
        assert_eq!(answered.due(30 * SECOND), (Wish::None, 40 * SECOND));
        assert_eq!(answered.due(40 * SECOND), (Wish::Ping, 50 * SECOND));
        assert_eq!(s.due(30 * SECOND).0, Wish::Close);
    }

    #[test]
    fn an_unanswered_login_or_subscription_closes() {
        for terms in [SILENT, STEADY] {
            let mut s = session(terms);
            s.up(0);
            s.step(0);
            let mut answered = s;
            answered.step_done();
            assert_eq!(s.due(9 * SECOND), (Wish::None, 10 * SECOND));
            assert_eq!(s.due(10 * SECOND).0, Wish::Close);
            assert_eq!(answered.due(10 * SECOND), (Wish::None, 20 * SECOND));
        }
    }

    #[test]
    fn a_dialler_and_a_close_that_are_never_reported_are_given_up() {
        let mut s = session(SILENT);
        s.connecting(0);
        assert_eq!(s.due(29 * SECOND), (Wish::None, 30 * SECOND));
        assert_eq!(s.due(30 * SECOND).0, Wish::Close);
        s.closing(30 * SECOND, false);
        assert_eq!(s.due(34 * SECOND), (Wish::None, 35 * SECOND));
        assert_eq!(s.due(35 * SECOND).0, Wish::Connect);
    }

    #[test]
    fn delays_double_and_jitter() {
        for terms in [SILENT, STEADY] {
            let mut last = 0;
            for attempt in 1..=12 {
                let delay = terms.back_off(attempt, 7);
                assert_eq!(delay, terms.back_off(attempt, 7));
                let full = (terms.back_off_min << (attempt - 1).min(10)).min(BACK_OFF_MAX);
                assert!(delay > full / 2 - 1 && delay <= full, "{attempt}: {delay}");
                assert!(full == BACK_OFF_MAX || delay * 2 > last);
                last = delay;
            }
            assert_ne!(terms.back_off(5, 1), terms.back_off(5, 2));
        }
    }

    /// Computed apart, by the definition of SplitMix64: another delay would not replay old journals.
    #[test]
    fn delays_are_those_of_recorded_runs() {
        let delays = |terms: Terms| [1, 2, 5, 9, 20].map(|failures| terms.back_off(failures, 7));
        assert_eq!(delays(SILENT), [172_807_137, 440_942_905, 3_679_606_258, 15_581_107_081, 18_346_443_526]);
        assert_eq!(delays(STEADY), [422_807_137, 690_942_905, 7_679_606_258, 15_581_107_081, 18_346_443_526]);
    }

    #[test]
    fn a_good_connection_starts_the_count_anew_and_a_fatal_error_waits_long() {
        for terms in [SILENT, STEADY] {
            let (mut s, mut now) = (session(terms), 0);
            for _ in 0..5 {
                s.down(now, 3);
                now += 40 * SECOND;
            }
            assert_eq!(s.failures, 5);
            s.up(now);
            s.down(now + GOOD_AFTER, 3);
            assert_eq!(s.failures, 1);
            s.up(now);
            s.closing(now, true);
            s.down(now, 3);
            assert_eq!(s.phase, Phase::Down { due: now + FATAL_DELAY });
            s.phase = Phase::Idle;
            s.down(now, 3);
            assert_eq!(s.phase, Phase::Idle, "not wanted: no next attempt");
        }
    }
}
