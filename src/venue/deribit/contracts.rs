//! The list of contracts as Deribit states it: handed to the registry where it is new, and read again in time.

use super::adapter::DeribitAdapter;
use super::asks::Ask;
use super::{ACCOUNT, MARKET, rows};
use crate::domain::instrument::VenueSpec;
use crate::domain::text::Symbol;
use crate::domain::time::{Nanos, SECOND};
use crate::venue::contracts::suspend;
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// Metadata of a listing that was not listed is asked for again after this.
const ABSENT_AGAIN: Nanos = 60 * SECOND;
/// Metadata is read again after this, for what the venue does not announce.
const METADATA_PERIOD: Nanos = 60 * SECOND;

impl DeribitAdapter {
    /// Takes the list of contracts: what is new goes to the registry.
    pub(super) fn on_instruments(
        &mut self,
        mut data: Cursor<'_>,
        now: Nanos,
        out: &mut Out,
    ) -> Result<(), DecodeError> {
        let conn = self.sessions[MARKET].conn;
        for listing in &mut self.listings {
            listing.seen = false;
        }
        let mut news = false;
        data.array(|c| {
            let (name, spec, terms) = rows::specification(c)?;
            let Some(at) = Symbol::from_bytes(name).and_then(|symbol| self.find(&symbol)) else {
                return Ok(());
            };
            self.listings[at].seen = true;
            news |= std::mem::replace(&mut self.listings[at].terms, terms) != terms;
            match spec {
                Ok(spec) => {
                    let spec = VenueSpec { instrument: self.listings[at].id, ..spec };
                    if self.listings[at].spec != Some(spec) {
                        self.listings[at].spec = Some(spec);
                        out.emit(Emit::Spec(spec));
                    }
                }
                Err(_) => self.odd(conn, OddKind::Malformed, out),
            }
            Ok(())
        })?;
        let mut again = METADATA_PERIOD;
        for listing in self.listings.iter_mut().filter(|listing| !listing.seen) {
            again = ABSENT_AGAIN;
            suspend(&mut listing.spec, conn, out);
        }
        let due = self.rereading.read(now, again);
        self.want(Ask::Instruments, due);
        let logged_in = self.sessions.get(ACCOUNT).is_some_and(|session| session.logged_in);
        if news && logged_in && !self.asking(Ask::Settings, now) {
            // Fees and leverages are held against what is configured anew.
            self.want(Ask::Settings, now);
        }
        Ok(())
    }
}
