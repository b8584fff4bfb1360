//! Planned ends of private connections: they are left at a moment of our choice, not cut between the legs of a trade.
//!
//! A connection is left before it is a day old, and sooner when its venue announces its end. From then on until its
//! successor is ready the venue takes no opening orders ([`Check::Connections`]), so that its orders come to an end;
//! hedges and reductions go on. It is closed once no order may need it, and at the deadline in any case. A venue's
//! connections go one at a time: the order session first, while the account's stream still tells what became of its
//! orders, then that stream, whose successor is ready once the account was read again. Pure: time is an argument.
//!
//! | a connection is | until |
//! |---|---|
//! | standing | it is as old as its venue's settings allow (23 h at most), or its end is announced: *wished away* |
//! | wished away | nothing was under way for [`QUIET_FOR`] and no other one of its venue is *left*, or the deadline: *left* |
//! | wished away, and lost before | at once: *left* |
//! | left | its successor is ready: *standing* |

use crate::domain::event::{SessionRole, SessionStatus};
use crate::domain::input::ConnId;
use crate::domain::instrument::{VENUES_MAX, VenueId};
use crate::domain::params::{CONNECTION_AGE_MAX, connection_age_usual};
use crate::domain::standing::{Check, StartCheck};
use crate::domain::time::{Nanos, SECOND};
use serde::{Deserialize, Serialize};

/// By how much later the connections of the next venue are left, ns: one venue is closed to opening orders at a time. At
/// most (`spread`).
pub const SPREAD: Nanos = 180 * SECOND;
/// How long the quiet moment is waited for when nothing but the age presses, ns. Binance cuts after 24 h. At most
/// (`patience`).
pub const PATIENCE: Nanos = 1800 * SECOND;
/// No order may have been under way for this long, ns: the hedge that follows an end is not in the ledger yet.
pub const QUIET_FOR: Nanos = SECOND;
const NEVER: Nanos = Nanos::MAX;

const _: () = assert!(CONNECTION_AGE_MAX + VENUES_MAX as Nanos * SPREAD + PATIENCE < 24 * 3600 * SECOND);

/// By how much later those of the next venue, where connections are left at `age`.
const fn spread(age: Nanos) -> Nanos {
    if age / 40 < SPREAD { age / 40 } else { SPREAD }
}

/// How long a quiet moment is waited for, where connections are left at `age`.
const fn patience(age: Nanos) -> Nanos {
    if age / 4 < PATIENCE { age / 4 } else { PATIENCE }
}

/// Where a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    /// It is not there, and was not left.
    Down,
    /// It is to be left at `leave_at`.
    Standing { leave_at: Nanos },
    /// It is to be left as soon as possible, and `by` then at the latest.
    Wished { by: Nanos },
    /// Closed by us or lost, and its successor is not ready yet.
    Left,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Line {
    conn: ConnId,
    venue: VenueId,
    role: SessionRole,
    stage: Stage,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The venue's adapter is to close that connection of its own, and comes back by itself.
    Leave(VenueId, ConnId),
    /// How many connections of a venue are to be left or were, and have no successor yet.
    State(StartCheck),
}

/// The private connections of all venues.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Departures {
    lines: Vec<Line>,
    /// Since when no order has been under way, while one of the venue's connections is wished away.
    quiet_since: [Nanos; VENUES_MAX],
    /// What was stated last, by venue.
    stated: [u8; VENUES_MAX],
    /// Nothing is due before.
    due: Nanos,
    /// Age at which connections are left, by venue.
    #[serde(default = "usual_ages")]
    ages: [Nanos; VENUES_MAX],
}

const fn usual_ages() -> [Nanos; VENUES_MAX] {
    [connection_age_usual(); VENUES_MAX]
}

impl Departures {
    /// For these connections, in the order of their ids, and the age at which those of each venue are left. Those for
    /// market data are no affair of ours: their dialects hand them over.
    pub fn new(
        conns: impl Iterator<Item = (VenueId, SessionRole)>,
        ages: impl Iterator<Item = Nanos>,
    ) -> Self {
        let line = |(index, (venue, role)): (usize, (VenueId, SessionRole))| {
            let conn = ConnId(index as u8);
            (role != SessionRole::Market).then_some(Line { conn, venue, role, stage: Stage::Down })
        };
        let mut lines: Vec<Line> = conns.enumerate().filter_map(line).collect();
        // Those that go first stand first.
        lines.sort_by_key(|line| (line.role != SessionRole::Orders, line.conn.0));
        let mut by_venue = usual_ages();
        by_venue.iter_mut().zip(ages).for_each(|(age, wanted)| *age = wanted);
        let (quiet_since, stated) = ([0; VENUES_MAX], [0; VENUES_MAX]);
        Self { lines, quiet_since, stated, due: NEVER, ages: by_venue }
    }

    /// A connection is established.
    pub fn on_up(&mut self, conn: ConnId, now: Nanos) {
        let ages = self.ages;
        if let Some(line) = self.line(conn)
            && line.stage != Stage::Left
        {
            let leave_at = leave_at(line.venue, &ages, now);
            line.stage = Stage::Standing { leave_at };
            self.due = self.due.min(leave_at);
        }
    }

    /// A connection is gone.
    pub fn on_down(&mut self, conn: ConnId) {
        if let Some(line) = self.line(conn) {
            line.stage = match line.stage {
                Stage::Wished { .. } | Stage::Left => Stage::Left,
                Stage::Standing { .. } | Stage::Down => Stage::Down,
            };
            self.due = Nanos::MIN;
        }
    }

    /// A venue announced the end of a connection: it is to be left before `by`.
    pub fn on_wish(&mut self, conn: ConnId, by: Nanos, now: Nanos) {
        let Some(at) = self.lines.iter().position(|line| line.conn == conn) else { return };
        match &mut self.lines[at].stage {
            Stage::Standing { .. } => self.wish(at, by, now),
            Stage::Wished { by: before } => *before = by.min(*before),
            Stage::Down | Stage::Left => {}
        }
        self.due = Nanos::MIN;
    }

    /// A venue's session is ready, or is not any more.
    pub fn on_session(&mut self, status: &SessionStatus, now: Nanos) {
        if !status.ready {
            return;
        }
        let leave_at = leave_at(status.venue, &self.ages, now);
        for line in &mut self.lines {
            if (line.venue, line.role, line.stage) == (status.venue, status.role, Stage::Left) {
                line.stage = Stage::Standing { leave_at };
                // What waited for it goes first.
                self.quiet_since[status.venue.index()] = now;
                self.due = Nanos::MIN;
            }
        }
    }

    /// Does what is due. `quiet`: whether no order may need a connection of a venue.
    pub fn on_tick(&mut self, now: Nanos, quiet: impl Fn(VenueId) -> bool, sink: &mut impl FnMut(Step)) {
        if now < self.due {
            return;
        }
        for at in 0..self.lines.len() {
            if let Stage::Standing { leave_at } = self.lines[at].stage
                && now >= leave_at
            {
                let age = self.ages[self.lines[at].venue.index()];
                self.wish(at, leave_at.saturating_add(patience(age)), now);
            }
        }
        self.listen(now, quiet);
        // What is stated stands before what is done about it.
        self.state(sink);
        for at in 0..self.lines.len() {
            let Line { conn, venue, stage, .. } = self.lines[at];
            if let Stage::Wished { by } = stage
                && (now >= by || self.may_leave(venue, now))
            {
                self.lines[at].stage = Stage::Left;
                sink(Step::Leave(venue, conn));
            }
        }
        let due = |line: &Line| match line.stage {
            Stage::Standing { leave_at } => leave_at,
            Stage::Wished { .. } => Nanos::MIN,
            Stage::Down | Stage::Left => NEVER,
        };
        self.due = self.lines.iter().map(due).min().unwrap_or(NEVER);
    }

    /// Notes what has orders under way.
    fn listen(&mut self, now: Nanos, quiet: impl Fn(VenueId) -> bool) {
        for line in &self.lines {
            if matches!(line.stage, Stage::Wished { .. }) && !quiet(line.venue) {
                self.quiet_since[line.venue.index()] = now;
            }
        }
    }

    fn may_leave(&self, venue: VenueId, now: Nanos) -> bool {
        let is_left = |line: &Line| line.venue == venue && line.stage == Stage::Left;
        now - self.quiet_since[venue.index()] >= QUIET_FOR && !self.lines.iter().any(is_left)
    }

    fn state(&mut self, sink: &mut impl FnMut(Step)) {
        for (venue, stated) in (0..).map(VenueId).zip(&mut self.stated) {
            let goes = |line: &&Line| {
                line.venue == venue && matches!(line.stage, Stage::Wished { .. } | Stage::Left)
            };
            let count = self.lines.iter().filter(goes).count() as u8;
            if std::mem::replace(stated, count) != count {
                sink(Step::State(StartCheck {
                    venue,
                    check: Check::Connections,
                    listing: None,
                    passed: count == 0,
                    stated: i64::from(count),
                    wanted: 0,
                }));
            }
        }
    }

    fn wish(&mut self, at: usize, by: Nanos, now: Nanos) {
        let venue = self.lines[at].venue;
        let is_wished = |line: &Line| line.venue == venue && matches!(line.stage, Stage::Wished { .. });
        if !self.lines.iter().any(is_wished) {
            self.quiet_since[venue.index()] = now;
        }
        self.lines[at].stage = Stage::Wished { by };
    }

    fn line(&mut self, conn: ConnId) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.conn == conn)
    }
}

/// When a connection that stands since `now` is to be left; venues one after the other.
fn leave_at(venue: VenueId, ages: &[Nanos; VENUES_MAX], now: Nanos) -> Nanos {
    let age = ages[venue.index()];
    now + age + Nanos::from(venue.0) * spread(age)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::MILLI;

    const A: VenueId = VenueId(0);
    const B: VenueId = VenueId(1);
    /// The account's stream and the order session of the first venue.
    const ACCOUNT: ConnId = ConnId(1);
    const ORDERS: ConnId = ConnId(2);

    struct Rig {
        departures: Departures,
        now: Nanos,
        busy: bool,
    }

    impl Rig {
        /// Two venues, all connections made at 0.
        fn new() -> Self {
            let roles = [SessionRole::Market, SessionRole::Account, SessionRole::Orders];
            let conns = [A, B].into_iter().flat_map(|venue| roles.map(|role| (venue, role)));
            let mut departures = Departures::new(conns, std::iter::empty());
            (0..6).for_each(|conn| departures.on_up(ConnId(conn), 0));
            Self { departures, now: 0, busy: false }
        }

        fn tick(&mut self, step: Nanos) -> Vec<Step> {
            self.now += step;
            let (mut steps, busy) = (Vec::new(), self.busy);
            self.departures.on_tick(self.now, |_| !busy, &mut |step| steps.push(step));
            steps
        }

        fn ready(&mut self, role: SessionRole) {
            let status = SessionStatus { venue: A, role, ready: true };
            self.departures.on_session(&status, self.now);
        }

        /// It is closed, made again and ready.
        fn comes_back(&mut self, conn: ConnId, role: SessionRole) {
            self.departures.on_down(conn);
            assert_eq!(self.tick(MILLI), []);
            self.departures.on_up(conn, self.now);
            assert_eq!(self.tick(MILLI), [], "not before it is ready");
            self.ready(role);
        }
    }

    fn state(venue: VenueId, count: i64) -> Step {
        let check = Check::Connections;
        Step::State(StartCheck { venue, check, listing: None, passed: count == 0, stated: count, wanted: 0 })
    }

    #[test]
    fn both_connections_are_left_within_a_day_one_after_the_other_and_each_venue_in_its_turn() {
        let mut rig = Rig::new();
        assert_eq!(rig.tick(CONNECTION_AGE_MAX - 1), []);
        assert_eq!(rig.tick(1), [state(A, 2)]);
        assert_eq!(rig.tick(QUIET_FOR - 1), []);
        assert_eq!(rig.tick(1), [Step::Leave(A, ORDERS)]);
        assert_eq!(rig.tick(QUIET_FOR), [], "the order session is not back yet");
        rig.comes_back(ORDERS, SessionRole::Orders);
        assert_eq!(rig.tick(MILLI), [state(A, 1)]);
        assert_eq!(rig.tick(QUIET_FOR), [Step::Leave(A, ACCOUNT)]);
        rig.comes_back(ACCOUNT, SessionRole::Account);
        assert_eq!(rig.tick(MILLI), [state(A, 0)], "opened when the account was read again");
        rig.now = CONNECTION_AGE_MAX + SPREAD;
        assert_eq!(rig.tick(0), [state(B, 2)]);
        assert_eq!(rig.tick(QUIET_FOR), [Step::Leave(B, ConnId(5))]);
    }

    #[test]
    fn each_venue_has_an_age_of_its_own_and_a_young_one_is_waited_for_less() {
        let conns = [(A, SessionRole::Account), (B, SessionRole::Account)];
        let mut departures = Departures::new(conns.into_iter(), [120 * SECOND, 60 * SECOND].into_iter());
        (0..2).for_each(|conn| departures.on_up(ConnId(conn), 0));
        let mut left = Vec::new();
        for now in 0..=200 * SECOND / MILLI {
            let now = now * MILLI;
            // Something is under way at all times.
            departures.on_tick(now, |_| false, &mut |step| {
                if let Step::Leave(venue, _) = step {
                    left.push((venue, now));
                }
            });
        }
        assert_eq!(left, [(B, 60 * SECOND + 1_500 * MILLI + 15 * SECOND), (A, 150 * SECOND)]);
        for age in [60 * SECOND, CONNECTION_AGE_MAX] {
            assert!(spread(age) <= SPREAD && patience(age) <= PATIENCE);
        }
        assert_eq!((spread(CONNECTION_AGE_MAX), patience(CONNECTION_AGE_MAX)), (SPREAD, PATIENCE));
    }

    #[test]
    fn an_order_under_way_is_waited_for_until_the_deadline() {
        for ends in [true, false] {
            let mut rig = Rig::new();
            rig.busy = true;
            rig.departures.on_wish(ACCOUNT, 50 * SECOND, 0);
            assert_eq!(rig.tick(MILLI), [state(A, 1)]);
            for _ in 0..40 {
                assert_eq!(rig.tick(SECOND), []);
            }
            if ends {
                rig.busy = false;
                assert_eq!(rig.tick(QUIET_FOR - MILLI), [], "its hedge may be on the way");
                rig.busy = true;
                assert_eq!(rig.tick(MILLI), []);
                rig.busy = false;
                assert_eq!(rig.tick(QUIET_FOR), [Step::Leave(A, ACCOUNT)]);
            } else {
                assert_eq!(rig.tick(50 * SECOND - 1 - rig.now), []);
                assert_eq!(rig.tick(1), [Step::Leave(A, ACCOUNT)]);
            }
            assert_eq!(rig.tick(MILLI), []);
        }
    }

    #[test]
    fn the_deadline_does_not_wait_for_the_other_connection() {
        let mut rig = Rig::new();
        rig.departures.on_wish(ORDERS, 50 * SECOND, 0);
        rig.departures.on_wish(ACCOUNT, 20 * SECOND, 0);
        rig.departures.on_wish(ACCOUNT, 40 * SECOND, 0);
        rig.tick(MILLI);
        assert_eq!(rig.tick(QUIET_FOR), [Step::Leave(A, ORDERS)]);
        assert_eq!(rig.tick(20 * SECOND - 1 - rig.now), []);
        assert_eq!(rig.tick(1), [Step::Leave(A, ACCOUNT)], "the earlier one counts");
    }

    #[test]
    fn a_connection_that_is_lost_first_is_waited_for_as_well_and_others_are_no_affair_of_ours() {
        let mut rig = Rig::new();
        rig.busy = true;
        rig.departures.on_wish(ORDERS, 50 * SECOND, 0);
        rig.departures.on_wish(ConnId(0), 50 * SECOND, 0);
        rig.departures.on_wish(ConnId(200), 50 * SECOND, 0);
        assert_eq!(rig.tick(MILLI), [state(A, 1)]);
        rig.comes_back(ORDERS, SessionRole::Orders);
        assert_eq!(rig.tick(MILLI), [state(A, 0)]);
        // Without a wish it is an outage like any other: sessions and the ledger deal with it.
        rig.departures.on_down(ORDERS);
        assert_eq!(rig.tick(MILLI), []);
        rig.departures.on_wish(ORDERS, rig.now + SECOND, rig.now);
        assert_eq!(rig.tick(2 * SECOND), [], "it is not there");
        rig.departures.on_up(ORDERS, rig.now);
        assert_eq!(rig.tick(CONNECTION_AGE_MAX - 1 - rig.now), []);
    }
}
