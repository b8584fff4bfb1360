//! From a simulated world to an engine that trades in it: parameters, credentials, addresses.

use crate::domain::instrument::{CanonicalId, ContractKind, InstrumentId, VenueId};
use crate::domain::intent::ONE_PPB;
use crate::domain::params::{
    Amending, CanonicalParams, EngineParams, Extras, ListingParams, OrderFallback, OrderRoute, RiskParams,
    ScanParams, SessionKind, VenueParams,
};
use crate::domain::standing::CheckSet;
use crate::domain::text::{Currency, Text};
use crate::domain::time::{MILLI, SECOND};
use crate::sim::config::SimConfig;
use crate::stage::egress::Credentials;
use crate::venue::{dialect, market_copies};

/// Parameters of an engine that trades every instrument of `sim` on every venue that lists it.
/// Names that do not fit the engine's short texts are left out.
pub fn engine_params(sim: &SimConfig, boot_epoch: u64, scan: ScanParams, risk: RiskParams) -> EngineParams {
    let mut params = EngineParams { boot_epoch, scan, risk, ..EngineParams::default() };
    for instrument in &sim.instruments {
        params.canonicals.push(CanonicalParams {
            name: instrument.name(),
            base: Text::new(&instrument.base).unwrap_or_default(),
            quote: Text::new(&instrument.quote).unwrap_or_default(),
            settle: Text::new(&instrument.settle).unwrap_or_default(),
            kind: if instrument.is_inverse() { ContractKind::Inverse } else { ContractKind::Linear },
        });
    }
    for (index, venue) in sim.venues.iter().enumerate() {
        let dialect = dialect(&venue.dialect);
        params.venues.push(VenueParams {
            dialect: venue.dialect.clone(),
            taker_fee_ppb: venue.taker_fee_ppb,
            maker_fee_ppb: venue.maker_fee_ppb,
            margin_ppb: ONE_PPB / i64::from(venue.leverage.max(1)),
            orders_per_10s_max: 200,
            ack_timeout_ns: SECOND,
            order_valid_ms: 2_000,
            start_checks: dialect.map_or(CheckSet::EMPTY, |of| of.start_checks()),
            dead_man_ns: 60 * SECOND,
            session: match venue.accounts.first() {
                Some(account) if !account.ed25519_public.is_empty() => SessionKind::Logon,
                _ => SessionKind::Signed,
            },
            orders: dialect.map_or_else(OrderRoute::default, |of| of.order_routes()[0]),
            orders_fallback: OrderFallback::Off,
            settle_at_par: at_par(sim, venue),
            market_copies: market_copies(&venue.dialect, false),
            settle_haircut_ppb: 0,
            allowance_ppb: 0,
            extras: Extras::FREE,
            miss_prior_ppb: dialect.map_or(0, |of| of.miss_prior()),
            amending: dialect.map_or(Amending::None, |of| of.amending()),
            connection_age_max_ns: 0,
        });
        for listing in &venue.listings {
            let Some(symbol) = Text::new(&listing.symbol) else { continue };
            params.listings.push(ListingParams {
                id: InstrumentId(params.listings.len() as u16),
                venue: VenueId(index as u8),
                canonical: CanonicalId(listing.instrument as u16),
                symbol,
            });
        }
    }
    params
}

/// Orders take that way at every venue that has it.
pub fn route_orders(params: &mut EngineParams, route: OrderRoute) {
    for venue in &mut params.venues {
        if dialect(&venue.dialect).is_some_and(|of| of.order_routes().contains(&route)) {
            venue.orders = route;
        }
    }
}

/// A simulated venue that settles in a currency of its own trades beside the others at par: what the real
/// one's operator has to say explicitly.
fn at_par(sim: &SimConfig, venue: &crate::sim::config::SimVenueConfig) -> Currency {
    let settle = venue.listings.first().and_then(|listing| sim.instruments.get(listing.instrument));
    match settle {
        Some(instrument) if !venue.settles_in.is_empty() => Text::new(&instrument.settle).unwrap_or_default(),
        _ => Currency::EMPTY,
    }
}

/// The scanner's parameters for a simulated world: short windows, so that a demo of seconds trades.
pub fn demo_scan() -> ScanParams {
    ScanParams {
        basis_sample_ns: 50 * MILLI,
        basis_samples: 101,
        basis_samples_min: 41,
        edge_persist_ns: 15 * MILLI,
        hold_max_ns: 2 * SECOND,
        cooldown_ns: 300 * MILLI,
        ..ScanParams::default()
    }
}

/// The first account's credentials at every venue of `sim`.
pub fn credentials(sim: &SimConfig) -> Vec<Option<Credentials>> {
    sim.venues
        .iter()
        .map(|venue| {
            venue.accounts.first().map(|account| Credentials {
                api_key: account.api_key.clone(),
                secret: account.secret.clone(),
                passphrase: account.passphrase.clone(),
            })
        })
        .collect()
}
