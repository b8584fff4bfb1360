//! Contract specifications as they change: when `instruments` is read, and what of it is told.

use super::{Ask, MARKET, OkxAdapter, rows};
use crate::domain::instrument::{Status, VenueSpec};
use crate::domain::text::Symbol;
use crate::domain::time::{Nanos, SECOND};
use crate::venue::contracts::suspend;
use crate::venue::message::DecodeError;
use crate::venue::{Emit, OddKind, Out};

/// Metadata is read again after this.
const METADATA_PERIOD: Nanos = 1800 * SECOND;
/// Metadata is read again after this once something has changed.
const CHANGED_AGAIN: Nanos = 60 * SECOND;
/// Metadata of a listing that was not listed is asked for again after this.
const ABSENT_AGAIN: Nanos = 60 * SECOND;

impl OkxAdapter {
    /// Reads metadata again after `pause`, as soon as the pace for it allows.
    pub fn refresh(&mut self, pause: Nanos, now: Nanos) {
        let request = &self.requests[Ask::Instruments as usize];
        if let Some(due) = self.rereading.wish(request.is_out(), now + pause)
            && request.failures == 0
            && (!request.wanted || due < request.due)
        {
            self.want(Ask::Instruments, due);
        }
    }

    pub(super) fn on_instruments(
        &mut self,
        body: &[u8],
        now: Nanos,
        out: &mut Out,
    ) -> Result<i32, DecodeError> {
        let (code, data) = rows::envelope(body)?;
        if code != 0 {
            return Ok(code);
        }
        let conn = self.sessions[MARKET].conn;
        let mut changed = false;
        for listing in &mut self.listings {
            listing.seen = false;
        }
        data.ok_or(DecodeError::Missing("data"))?.array(|c| {
            let (name, spec) = rows::specification(c)?;
            let Some(at) = Symbol::from_bytes(name).and_then(|symbol| self.find(&symbol)) else {
                return Ok(());
            };
            self.listings[at].seen = true;
            match spec {
                Ok(spec) => {
                    let spec = VenueSpec { instrument: self.listings[at].id, ..spec };
                    changed |= spec.status != Status::Trading;
                    if self.listings[at].spec != Some(spec) {
                        changed |= self.listings[at].spec.is_some();
                        self.listings[at].spec = Some(spec);
                        out.emit(Emit::Spec(spec));
                    }
                }
                Err(_) => self.odd(conn, OddKind::Malformed, out),
            }
            Ok(())
        })?;
        // One change is often followed by another, which may go unheard.
        let mut again = if changed { CHANGED_AGAIN } else { METADATA_PERIOD };
        for listing in self.listings.iter_mut().filter(|listing| !listing.seen) {
            again = ABSENT_AGAIN;
            suspend(&mut listing.spec, conn, out);
        }
        let due = self.rereading.read(now, again);
        self.want(Ask::Instruments, due);
        Ok(0)
    }
}
