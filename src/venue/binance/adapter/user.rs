//! The user stream: its news, its loss, and leaving a private connection before its end.

use super::BinanceAdapter;
use crate::domain::event::SessionRole;
use crate::domain::input::ConnId;
use crate::domain::time::{Nanos, SECOND};
use crate::venue::binance::duties::{Chore, Duty, RECONCILE, SETTINGS};
use crate::venue::binance::encode::TRADES_LIMIT;
use crate::venue::binance::link::NEVER;
use crate::venue::binance::{account, backfill, conn};
use crate::venue::{Emit, OddKind, Out};

/// How long before the cut `serverShutdown` comes is not documented: a private connection is left within this.
const SHUTDOWN_WITHIN: Nanos = 30 * SECOND;

impl BinanceAdapter {
    pub(super) fn on_user_frame(&mut self, frame: &[u8], now: Nanos, out: &mut Out) {
        match account::user_event(frame, self.venue, &self.listings, out) {
            Ok(account::UserEvent::Done) => {}
            Ok(account::UserEvent::Changed) => {
                self.chore(Duty::AccountConfig).due = now;
                self.chore(Duty::SymbolConfig).due = now;
            }
            Ok(account::UserEvent::Leaving) => self.announced(conn::PRIVATE, now, out),
            Ok(account::UserEvent::KeyExpired) => {
                // The reconnect fetches a new key first.
                self.links[conn::PRIVATE].close(out);
                self.account_down(out);
                self.chore(Duty::KeepAlive).due = NEVER;
            }
            Err(kind) => {
                self.odd(conn::PRIVATE, kind, out);
                if matches!(kind, OddKind::Malformed | OddKind::Inexact) {
                    // Something about the account is lost: only a new session with a reconciliation tells
                    // what is true, because a snapshot amid live orders would not.
                    self.links[conn::PRIVATE].close(out);
                    self.account_down(out);
                }
            }
        }
    }

    pub(super) fn account_down(&mut self, out: &mut Out) {
        self.missing = 0;
        self.backfill.clear();
        self.missed.lose();
        for duty in RECONCILE.into_iter().chain(SETTINGS).chain([
            Duty::Foreign,
            Duty::Countdown,
            Duty::Indicators,
            Duty::Missed,
        ]) {
            *self.chore(duty) = Chore { due: NEVER, request: None, attempts: 0 };
        }
        if self.account_ready {
            self.account_ready = false;
            self.session(SessionRole::Account, false, out);
        }
        if self.orders_http {
            self.orders_down(out);
        }
    }

    /// A page of a listing's executions since the user stream was away, oldest first.
    pub(super) fn on_missed(&mut self, body: &[u8], now: Nanos, out: &mut Out) -> Result<(), OddKind> {
        let (at, _) = self.missed_at;
        let (count, last) = backfill::executions(body, self.venue, &self.listings, out)?;
        self.missed_at = if count >= TRADES_LIMIT { (at, last + 1) } else { (at + 1, 0) };
        if self.missed_at.0 < self.listings.len() {
            self.chore(Duty::Missed).due = now + backfill::PAUSE;
        } else {
            self.missed.end(out);
        }
        Ok(())
    }

    /// The venue is about to cut a private connection.
    pub(super) fn announced(&self, link: usize, now: Nanos, out: &mut Out) {
        out.emit(Emit::Leave { conn: self.links[link].conn, by: now + SHUTDOWN_WITHIN });
    }

    /// Closes a private connection; it comes back by itself.
    pub(super) fn leave_private(&mut self, conn: ConnId, out: &mut Out) {
        let Some(link) = self.link_of(conn) else { return };
        self.links[link].close(out);
        match link {
            conn::PRIVATE => self.account_down(out),
            conn::API => self.orders_down(out),
            _ => {}
        }
    }
}
