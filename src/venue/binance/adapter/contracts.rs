//! Contract specifications as they change: when `exchangeInfo` is read, and what of it is told.

use super::super::duties::Duty;
use super::super::metadata;
use super::BinanceAdapter;
use crate::domain::instrument::{Status, VenueSpec};
use crate::domain::time::Nanos;
use crate::venue::{Emit, OddKind, Oddity, Out};

impl BinanceAdapter {
    /// Metadata are read at `due`, or sooner where that is planned.
    pub(super) fn read_metadata(&mut self, due: Nanos) {
        let chore = self.chore(Duty::ExchangeInfo);
        chore.due = chore.due.min(due);
        // A reply that is under way may have been written before the change.
        self.stale = chore.request.is_some() && self.read_at != Nanos::MIN;
    }

    /// Reads specifications; whether one has changed, or does not trade.
    pub(super) fn on_exchange_info(&mut self, body: &[u8], out: &mut Out) -> Result<bool, OddKind> {
        let Self { listings, specs, conn_base, .. } = self;
        let mut seen = vec![false; listings.len()];
        let mut odd = |kind| out.emit(Emit::Odd(Oddity { conn: *conn_base, kind }));
        let mut fresh = Vec::new();
        let mut changed = false;
        metadata::exchange_info(
            body,
            self.variant.kind,
            |symbol| listings.find(symbol).is_some(),
            |symbol, spec| {
                let Some(index) = listings.find(symbol) else { return };
                seen[index] = true;
                match spec {
                    Ok(spec) => {
                        let spec = VenueSpec { instrument: listings.params(index).id, ..spec };
                        changed |= spec.status != Status::Trading;
                        if specs[index] != Some(spec) {
                            changed |= specs[index].is_some();
                            specs[index] = Some(spec);
                            fresh.push(spec);
                        }
                    }
                    Err(_) => odd(OddKind::Malformed),
                }
            },
        )
        .map_err(|_| OddKind::Malformed)?;
        for index in (0..seen.len()).filter(|index| !seen[*index]) {
            odd(OddKind::UnknownSymbol);
            changed = true;
            // Delisted since: what is known stays, but it no longer trades.
            if let Some(spec) = specs[index].as_mut().filter(|spec| spec.status == Status::Trading) {
                spec.status = Status::Suspended;
                fresh.push(*spec);
            }
        }
        for spec in fresh {
            out.emit(Emit::Spec(spec));
        }
        Ok(changed)
    }
}
