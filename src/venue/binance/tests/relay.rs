//! Second connections: handing over before a planned cut, and two at all times.

use super::market::{diff, snapshot};
use super::*;

/// Second connections without orders: after the first two.
const PUBLIC_2: usize = 2;
const MARKET_2: usize = 3;
const NAMES: [&str; 2] = ["BTCUSDT", "ETHUSDT"];

/// The venue: one sequence of depth events for each listing, told to whoever is connected.
struct Venue {
    rig: Rig,
    /// Last update id of each listing.
    ids: [u64; 2],
    states: [Option<BookState>; 2],
    /// Update ids of what the scanner was told, by listing.
    told: [Vec<u64>; 2],
    invalid: usize,
    up: Vec<usize>,
}

impl Venue {
    /// Books live at 105.
    fn live(copies: MarketCopies) -> Self {
        let mut rig = Rig::copied(false, copies).run();
        let mut up = vec![conn::PUBLIC, conn::MARKET];
        if copies == MarketCopies::Two {
            for index in [PUBLIC_2, MARKET_2] {
                rig.up(index);
                up.push(index);
            }
            let seen = rig.wait(SECOND);
            rig.acknowledge(&seen);
        }
        for name in NAMES {
            rig.frame(conn::PUBLIC, &diff(name, 101, 105, 90, r#"["100.00","5.000"]"#));
        }
        let seen = rig.wait(100 * MILLI);
        let mut venue =
            Self { rig, ids: [105; 2], states: [None; 2], told: Default::default(), invalid: 0, up };
        for (id, _) in seen.http(op::DEPTH) {
            venue.rig.http(id, 200, &snapshot(105));
        }
        venue.look();
        assert_eq!(venue.states, [Some(BookState::Live); 2]);
        venue
    }

    /// Reads what was emitted, and does what a venue does with it.
    fn look(&mut self) -> Seen {
        let seen = self.rig.take();
        for event in seen.events() {
            match event {
                EventBody::Book(status) => {
                    let at = usize::from(status.instrument.0 - 10);
                    self.invalid += usize::from(status.state == BookState::Invalid);
                    self.states[at] = Some(status.state);
                }
                EventBody::Levels(chunk) => {
                    self.told[usize::from(chunk.instrument.0 - 10)].push(chunk.update_id);
                }
                _ => {}
            }
        }
        for index in seen.closes() {
            self.up.retain(|up| *up != usize::from(index));
            self.rig.down(usize::from(index));
        }
        for (index, _) in seen.connects() {
            self.up.push(usize::from(index));
            self.rig.up(usize::from(index));
        }
        self.rig.acknowledge(&seen);
        seen
    }

    /// The next event of a listing, as a frame.
    fn event(&mut self, at: usize) -> String {
        let before = self.ids[at];
        self.ids[at] += 3;
        diff(NAMES[at], before + 2, before + 3, before as i64, r#"["99.80","1.000"]"#)
    }

    /// One round of events on all connections but those in `lost`.
    fn round(&mut self, lost: &[usize]) -> Vec<u8> {
        let mut closed = Vec::new();
        for (at, name) in NAMES.iter().enumerate() {
            let event = self.event(at);
            let mark = format!(
                r#"{{"e":"markPriceUpdate","E":{0},"s":"{1}","p":"100.0","i":"100.0","P":"1","r":"0.0001","T":9}}"#,
                self.rig.now / MILLI,
                name
            );
            for index in self.up.clone() {
                let is_public = index % 2 == conn::PUBLIC;
                if !lost.contains(&index) {
                    self.rig.frame(index, if is_public { &event } else { &mark });
                }
            }
        }
        let end = self.rig.now + 100 * MILLI;
        while self.rig.now < end {
            self.rig.now += 10 * MILLI;
            self.rig.adapter.on_tick(self.rig.at(), &mut self.rig.out);
            closed.extend(self.look().closes());
        }
        closed
    }

    /// Every event since the snapshot was told once and in order.
    fn assert_whole(&self) {
        for at in 0..2 {
            let expected: Vec<u64> = (105..=self.ids[at]).step_by(3).collect();
            let mut told = self.told[at].clone();
            told.dedup();
            assert_eq!(told, expected);
        }
        assert_eq!((self.invalid, self.states), (0, [Some(BookState::Live); 2]));
    }
}

#[test]
fn before_the_planned_cut_a_second_connection_takes_over_and_no_book_goes_invalid() {
    let mut venue = Venue::live(MarketCopies::Relay);
    for _ in 0..20 {
        venue.round(&[]);
    }
    assert_eq!(venue.up, [conn::PUBLIC, conn::MARKET], "a second one is not kept");
    for (first, second) in [([0, 1], [PUBLIC_2, MARKET_2]), ([PUBLIC_2, MARKET_2], [0, 1])] {
        venue.rig.now += 23 * 3600 * SECOND + 1800 * SECOND;
        let mut closed = Vec::new();
        for _ in 0..50 {
            closed.extend(venue.round(&[]));
        }
        closed.sort_unstable();
        assert_eq!(closed, first.map(|index| index as u8));
        let mut up = venue.up.clone();
        up.sort_unstable();
        assert_eq!(up, second, "each day the other one");
        venue.assert_whole();
    }
}

#[test]
fn a_notice_of_the_venue_is_followed_at_once_and_the_old_connection_goes_last() {
    let mut venue = Venue::live(MarketCopies::Relay);
    venue.rig.frame(conn::PUBLIC, r#"{"e":"serverShutdown","E":1}"#);
    // The new connection is up but silent: the old one stays.
    for _ in 0..100 {
        assert!(venue.round(&[PUBLIC_2]).is_empty());
    }
    assert!(venue.up.contains(&PUBLIC_2));
    let mut closed = Vec::new();
    for _ in 0..10 {
        closed.extend(venue.round(&[]));
    }
    assert_eq!(closed, [conn::PUBLIC as u8]);
    venue.assert_whole();
    assert_eq!(venue.up, [conn::MARKET, PUBLIC_2], "the other stream is not concerned");
}

#[test]
fn a_second_connection_that_cannot_be_made_is_tried_with_back_off_and_the_old_one_stays() {
    let mut venue = Venue::live(MarketCopies::Relay);
    venue.rig.frame(conn::PUBLIC, r#"{"e":"serverShutdown","E":1}"#);
    let mut tries = 0;
    for _ in 0..600 {
        venue.rig.now += 100 * MILLI;
        let frames = [venue.event(0), venue.event(1)];
        frames.iter().for_each(|frame| venue.rig.frame(conn::PUBLIC, frame));
        venue.rig.frame(
            conn::MARKET,
            r#"{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1.0","i":"1.0","P":"1","r":"0","T":9}"#,
        );
        venue.rig.adapter.on_tick(venue.rig.at(), &mut venue.rig.out);
        let seen = venue.rig.take();
        tries += seen.connects().len();
        assert_eq!((seen.closes().len(), seen.books().len()), (0, 0));
        for (index, _) in seen.connects() {
            assert_eq!(usize::from(index), PUBLIC_2);
            venue.rig.down(PUBLIC_2);
        }
    }
    assert!((4..20).contains(&tries), "{tries} tries in a minute");
    // It is cut after all: as it would be without a second one.
    venue.rig.down(conn::PUBLIC);
    assert_eq!(venue.rig.take().books().len(), 2);
}

#[test]
fn with_two_connections_either_may_lose_anything_that_the_other_has() {
    let mut venue = Venue::live(MarketCopies::Two);
    for _ in 0..5 {
        venue.round(&[]);
    }
    assert_eq!(venue.up.len(), 4);
    for round in 0..60 {
        venue.round(match round / 10 % 3 {
            0 => &[conn::PUBLIC],
            1 => &[PUBLIC_2],
            _ => &[],
        });
    }
    venue.assert_whole();
    let counts = *venue.rig.adapter.copies().unwrap();
    assert!(counts.wins.iter().all(|wins| *wins > 0) && counts.duplicates[1] > 20, "{counts:?}");
    // One is lost without a word, and comes back by itself.
    for lost in [conn::PUBLIC, PUBLIC_2] {
        venue.up.retain(|up| *up != lost);
        venue.rig.down(lost);
        for _ in 0..20 {
            venue.round(&[]);
        }
        assert!(venue.up.contains(&lost));
        venue.assert_whole();
    }
}

#[test]
fn what_both_connections_lost_is_a_gap_and_what_one_lost_is_waited_for_only_so_long() {
    let mut venue = Venue::live(MarketCopies::Two);
    for _ in 0..5 {
        venue.round(&[]);
    }
    let lost = venue.event(0);
    for _ in 0..2 {
        venue.round(&[PUBLIC_2]);
    }
    assert_eq!(venue.invalid, 0, "the silent one may still bring it");
    for _ in 0..3 {
        venue.round(&[PUBLIC_2]);
    }
    assert_eq!(venue.invalid, 1, "{lost}");
    assert_eq!(venue.states, [Some(BookState::Invalid), Some(BookState::Live)]);
}
