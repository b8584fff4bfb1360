//! Contracts as `exchangeInfo` lists them: what is news goes to the registry.

use super::BinanceAdapter;
use crate::domain::instrument::{Status, VenueSpec};
use crate::venue::binance::metadata;
use crate::venue::{Emit, OddKind, Oddity, Out};

impl BinanceAdapter {
    pub(super) fn on_exchange_info(&mut self, body: &[u8], out: &mut Out) -> Result<(), OddKind> {
        let Self { listings, specs, conn_base, .. } = self;
        let mut seen = vec![false; listings.len()];
        let mut odd = |kind| out.emit(Emit::Odd(Oddity { conn: *conn_base, kind }));
        let mut fresh = Vec::new();
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
                        if specs[index] != Some(spec) {
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
            // Delisted since: what is known stays, but it no longer trades.
            if let Some(spec) = specs[index].as_mut().filter(|spec| spec.status == Status::Trading) {
                spec.status = Status::Suspended;
                fresh.push(*spec);
            }
        }
        for spec in fresh {
            out.emit(Emit::Spec(spec));
        }
        Ok(())
    }
}
