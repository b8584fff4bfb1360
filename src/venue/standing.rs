//! How a dialect states settings of the account: what the venue says, held against what is wanted. What is asked,
//! and what a reply means, is each dialect's; whether a finding holds the venue is decided in `core`.

use super::Out;
use crate::domain::event::EventBody;
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::standing::{Check, StartCheck};

/// Who states settings of an account. Values are counted as [`Check`] documents them.
pub(super) trait States {
    /// Whose account.
    fn venue(&self) -> VenueId;

    /// States a setting as `(stated, wanted)`; returns whether it passed.
    fn state(
        &self,
        check: Check,
        listing: Option<InstrumentId>,
        (stated, wanted): (i64, i64),
        passed: bool,
        out: &mut Out,
    ) -> bool {
        let venue = self.venue();
        out.event(EventBody::Check(StartCheck { venue, check, listing, passed, stated, wanted }));
        passed
    }

    /// States a setting that passes when it is the wanted one.
    fn equal(
        &self,
        check: Check,
        listing: Option<InstrumentId>,
        stated: i64,
        wanted: i64,
        out: &mut Out,
    ) -> bool {
        self.state(check, listing, (stated, wanted), stated == wanted, out)
    }
}
