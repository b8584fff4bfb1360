//! A venue's list of contracts over HTTP: when it is read again, and what becomes of a listing that it does not name any
//! more. Knows no venue; the requests are the dialect's.

use super::{Emit, OddKind, Oddity, Out};
use crate::domain::input::ConnId;
use crate::domain::instrument::{Status, VenueSpec};
use crate::domain::time::Nanos;
use serde::{Deserialize, Serialize};

/// When the list was read, and whether the reply that is under way may be older than what made it wanted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Rereading {
    every: Nanos,
    /// When the list was last read; [`Nanos::MIN`] = not yet.
    read_at: Nanos,
    stale: bool,
}

impl Rereading {
    /// Not read yet; at most once `every` so often, but for the dialect's own schedule.
    pub const fn new(every: Nanos) -> Self {
        Self { every, read_at: Nanos::MIN, stale: false }
    }

    /// Whether the pace allows another reading now.
    pub const fn is_allowed(&self, now: Nanos) -> bool {
        now.saturating_sub(self.read_at) >= self.every
    }

    /// The list shall be read from `wish` on: when it may be asked for. `None` while a reply is under way (`is_out`),
    /// which may have been written before the change; then another one follows it.
    pub fn wish(&mut self, is_out: bool, wish: Nanos) -> Option<Nanos> {
        if is_out {
            self.stale = self.read_at != Nanos::MIN;
            return None;
        }
        Some(wish.max(self.read_at.saturating_add(self.every)))
    }

    /// The list was read: when it is read next, `usual` from now or sooner.
    pub const fn read(&mut self, now: Nanos, usual: Nanos) -> Nanos {
        self.read_at = now;
        let stale = std::mem::replace(&mut self.stale, false);
        now + if stale { self.every } else { usual }
    }
}

/// A listing that the list does not name any more: what is known of it stays, but it no longer trades.
pub(super) fn suspend(spec: &mut Option<VenueSpec>, conn: ConnId, out: &mut Out) {
    out.emit(Emit::Odd(Oddity { conn, kind: OddKind::UnknownSymbol }));
    if let Some(spec) = spec.as_mut().filter(|spec| spec.status == Status::Trading) {
        spec.status = Status::Suspended;
        out.emit(Emit::Spec(*spec));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::SECOND;

    #[test]
    fn the_pace_is_kept_and_a_reply_that_may_be_older_than_the_change_is_followed_by_another() {
        let mut list = Rereading::new(10 * SECOND);
        assert!(list.is_allowed(0));
        assert_eq!(list.wish(true, 0), None, "the first reading is under way");
        assert_eq!(list.read(SECOND, 60 * SECOND), 61 * SECOND, "and was not made before any change");
        assert!(!list.is_allowed(10 * SECOND) && list.is_allowed(11 * SECOND));
        assert_eq!(list.wish(false, 5 * SECOND), Some(11 * SECOND));
        assert_eq!(list.wish(false, 20 * SECOND), Some(20 * SECOND));
        assert_eq!(list.wish(true, 20 * SECOND), None);
        assert_eq!(list.read(21 * SECOND, 60 * SECOND), 31 * SECOND);
        assert_eq!(list.read(31 * SECOND, 60 * SECOND), 91 * SECOND, "once");
    }

    #[test]
    fn a_listing_that_is_gone_is_suspended_once_and_told_each_time() {
        let trading = VenueSpec { status: Status::Trading, ..VenueSpec::default() };
        let (mut spec, mut out) = (Some(trading), Out::with_capacity(8));
        suspend(&mut spec, ConnId(3), &mut out);
        suspend(&mut spec, ConnId(3), &mut out);
        suspend(&mut None, ConnId(3), &mut out);
        let suspended = VenueSpec { status: Status::Suspended, ..trading };
        assert_eq!(spec, Some(suspended));
        let odd = out.items().iter().filter(|item| matches!(item, Emit::Odd(_))).count();
        let told =
            out.items().iter().filter(|item| matches!(item, Emit::Spec(of) if *of == suspended)).count();
        assert_eq!((odd, told), (3, 1));
    }
}
