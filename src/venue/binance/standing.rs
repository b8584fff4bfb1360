//! What the venue says of our account before it may trade, and of its time: replies → start checks.
//!
//! Values are counted as [`Check`] documents them. Whether a finding holds the venue is decided in `core`.

use super::symbols::Listings;
use crate::domain::event::EventBody;
use crate::domain::instrument::VenueId;
use crate::domain::intent::{ONE_PPB, Ppb};
use crate::domain::order::ClientId;
use crate::domain::params::VenueParams;
use crate::domain::standing::{Check, CheckSet, ClockSample};
use crate::domain::time::{MILLI, Nanos};
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use crate::venue::standing::States;
use crate::venue::{OddKind, Out};
use serde::{Deserialize, Serialize};

type Odd<T> = Result<T, OddKind>;

/// What is read back. Self-trade prevention is not: every order states it.
pub const CHECKS: CheckSet = CheckSet::of(&[
    Check::PositionMode,
    Check::MarginMode,
    Check::AssetMode,
    Check::Leverage,
    Check::Fee,
    Check::Permission,
    Check::ForeignOrders,
    Check::Clock,
    Check::DeadMan,
]);

const fn malformed(_: DecodeError) -> OddKind {
    OddKind::Malformed
}

/// States checks of one venue, and remembers whether all were passed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Standing {
    venue: VenueId,
    /// Configured leverage.
    leverage: i64,
    /// Configured taker fee.
    fee: Ppb,
    /// The listing whose commission is asked for next.
    pub commission_at: usize,
    /// The part of the account's settings that is asked for next.
    pub account_at: usize,
}

impl States for Standing {
    fn venue(&self) -> VenueId {
        self.venue
    }
}

impl Standing {
    /// For a venue as configured.
    pub fn new(venue: VenueId, params: &VenueParams) -> Self {
        // Margin is configured as the inverse of the leverage.
        let margin = params.margin_ppb.max(1);
        let leverage = (ONE_PPB + margin / 2) / margin;
        Self { venue, leverage, fee: params.taker_fee_ppb, commission_at: 0, account_at: 0 }
    }

    /// `GET time`, asked at `sent` (`mono`) and answered at `received`.
    ///
    /// # Errors
    /// When there is no time in it.
    pub fn time(&self, body: &[u8], sent: Nanos, received: Nanos, out: &mut Out) -> Odd<()> {
        let mut stated = 0;
        let mut cursor = Cursor::new(body);
        cursor
            .object(|key, cursor| match key {
                b"serverTime" => cursor.int("serverTime").map(|ms| stated = ms.saturating_mul(MILLI)),
                _ => cursor.skip(),
            })
            .map_err(malformed)?;
        if stated <= 0 {
            return Err(OddKind::Malformed);
        }
        out.event(EventBody::Clock(ClockSample {
            venue: self.venue,
            sent,
            received,
            stated,
            resolution: MILLI,
        }));
        Ok(())
    }

    /// `GET accountConfig` (`whole`), or a reply with a part of it: modes and permission. True when all that it
    /// states are as wanted.
    ///
    /// # Errors
    /// When one of them is missing that should be there.
    pub fn account(&self, body: &[u8], whole: bool, out: &mut Out) -> Odd<bool> {
        let (mut trade, mut dual, mut multi) = (None, None, None);
        let mut cursor = Cursor::new(body);
        cursor
            .object(|key, cursor| match key {
                b"canTrade" => cursor.boolean("canTrade").map(|flag| trade = Some(flag)),
                b"dualSidePosition" => cursor.boolean("dualSidePosition").map(|flag| dual = Some(flag)),
                b"multiAssetsMargin" => cursor.boolean("multiAssetsMargin").map(|flag| multi = Some(flag)),
                _ => cursor.skip(),
            })
            .map_err(malformed)?;
        let bad = [
            (Check::PositionMode, dual),
            (Check::AssetMode, multi),
            (Check::Permission, trade.map(|may| !may)),
        ];
        let stated = bad.iter().filter(|(_, bad)| bad.is_some()).count();
        if stated < if whole { bad.len() } else { 1 } {
            return Err(OddKind::Malformed);
        }
        let mut good = true;
        for (check, bad) in bad {
            if let Some(bad) = bad {
                good &= self.equal(check, None, 1 + i64::from(bad), 1, out);
            }
        }
        Ok(good)
    }

    /// `GET symbolConfig`: margin mode and leverage of every listing. True when all are as wanted.
    ///
    /// # Errors
    /// When one of our symbols lacks them.
    pub fn symbols(&self, body: &[u8], listings: &Listings, out: &mut Out) -> Odd<bool> {
        let mut good = true;
        let mut cursor = Cursor::new(body);
        cursor
            .array(|cursor| {
                let (mut symbol, mut margin): (&[u8], &[u8]) = (&[], &[]);
                let mut leverage = None;
                cursor.object(|key, cursor| match key {
                    b"symbol" => cursor.string().map(|text| symbol = text),
                    b"marginType" => cursor.string().map(|text| margin = text),
                    b"leverage" => cursor.int("leverage").map(|value| leverage = Some(value)),
                    _ => cursor.skip(),
                })?;
                let Some(index) = listings.find(symbol) else { return Ok(()) };
                let listing = Some(listings.params(index).id);
                let leverage = leverage.ok_or(DecodeError::Missing("leverage"))?;
                let crossed =
                    margin.eq_ignore_ascii_case(b"CROSSED") || margin.eq_ignore_ascii_case(b"CROSS");
                good &= self.equal(Check::MarginMode, listing, 1 + i64::from(!crossed), 1, out);
                good &= self.equal(Check::Leverage, listing, leverage, self.leverage, out);
                Ok(())
            })
            .and_then(|()| cursor.end())
            .map_err(malformed)?;
        Ok(good)
    }

    /// `GET commissionRate` of one listing. True when the taker fee is not above the configured one.
    ///
    /// # Errors
    /// When there is no fee in it.
    pub fn commission(&self, body: &[u8], listings: &Listings, out: &mut Out) -> Odd<bool> {
        let mut symbol: &[u8] = &[];
        let mut taker = None;
        let mut cursor = Cursor::new(body);
        cursor
            .object(|key, cursor| match key {
                b"symbol" => cursor.string().map(|text| symbol = text),
                b"takerCommissionRate" => {
                    cursor.num("takerCommissionRate").map(|rate| taker = rate.at_scale(9))
                }
                _ => cursor.skip(),
            })
            .map_err(malformed)?;
        let index = listings.find(symbol).ok_or(OddKind::UnknownSymbol)?;
        let taker = taker.ok_or(OddKind::Inexact)?;
        let listing = Some(listings.params(index).id);
        Ok(self.state(Check::Fee, listing, (taker, self.fee), taker <= self.fee, out))
    }

    /// `GET openOrders`: how many are not ours. True when none is.
    ///
    /// # Errors
    /// When it is no list of orders.
    pub fn foreign(&self, body: &[u8], out: &mut Out) -> Odd<bool> {
        let mut count = 0;
        let mut cursor = Cursor::new(body);
        cursor
            .array(|cursor| {
                let mut client: &[u8] = &[];
                cursor.object(|key, cursor| match key {
                    b"clientOrderId" => cursor.string().map(|text| client = text),
                    _ => cursor.skip(),
                })?;
                // Orders of an earlier run of ours are cancelled as strays.
                count += i64::from(ClientId::parse(client).is_none());
                Ok(())
            })
            .and_then(|()| cursor.end())
            .map_err(malformed)?;
        Ok(self.equal(Check::ForeignOrders, None, count, 0, out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::venue::Emit;
    use crate::venue::binance::tests::listings;

    fn standing() -> Standing {
        Standing::new(
            VenueId(0),
            &VenueParams { margin_ppb: ONE_PPB / 3, taker_fee_ppb: 500_000, ..VenueParams::default() },
        )
    }

    fn checks(out: &Out) -> Vec<(Check, i64, bool)> {
        let check = |item: &Emit| match item {
            Emit::Event(EventBody::Check(check)) => Some((check.check, check.stated, check.passed)),
            _ => None,
        };
        out.items().iter().filter_map(check).collect()
    }

    #[test]
    fn settings_are_stated_as_the_venue_has_them() {
        let mut out = Out::default();
        let body = br#"{"feeTier":0,"canTrade":false,"dualSidePosition":true,"multiAssetsMargin":true,"tradeGroupId":-1}"#;
        assert_eq!(standing().account(body, true, &mut out), Ok(false));
        assert_eq!(
            checks(&out),
            [(Check::PositionMode, 2, false), (Check::AssetMode, 2, false), (Check::Permission, 2, false)]
        );
        out.clear();
        let body = br#"[{"symbol":"XYZUSDT","marginType":"ISOLATED","leverage":9},
            {"symbol":"BTCUSDT","marginType":"CROSSED","isAutoAddMargin":"false","leverage":3,"maxNotionalValue":"1000"},
            {"symbol":"ETHUSDT","marginType":"ISOLATED","leverage":20}]"#;
        assert_eq!(standing().symbols(body, &listings(), &mut out), Ok(false));
        assert_eq!(
            checks(&out),
            [
                (Check::MarginMode, 1, true),
                (Check::Leverage, 3, true),
                (Check::MarginMode, 2, false),
                (Check::Leverage, 20, false)
            ]
        );
        out.clear();
        for (rate, good) in [("0.000500", true), ("0.0004", true), ("0.00050001", false)] {
            let body = format!(
                r#"{{"symbol":"BTCUSDT","makerCommissionRate":"0.0002","takerCommissionRate":"{rate}"}}"#
            );
            assert_eq!(standing().commission(body.as_bytes(), &listings(), &mut out), Ok(good), "{rate}");
        }
        out.clear();
        let ours = String::from_utf8(ClientId::new(1, 2).hex().to_vec()).unwrap();
        let body = format!(r#"[{{"clientOrderId":"{ours}"}},{{"clientOrderId":"web_abc"}}]"#);
        assert_eq!(standing().foreign(body.as_bytes(), &mut out), Ok(false));
        assert_eq!(checks(&out), [(Check::ForeignOrders, 1, false)]);
    }

    #[test]
    fn what_is_missing_is_no_statement() {
        let mut out = Out::default();
        assert!(standing().account(br#"{"canTrade":true}"#, true, &mut out).is_err());
        assert!(standing().account(b"{}", false, &mut out).is_err());
        assert!(standing().symbols(br#"[{"symbol":"BTCUSDT"}]"#, &listings(), &mut out).is_err());
        assert!(standing().commission(br#"{"symbol":"BTCUSDT"}"#, &listings(), &mut out).is_err());
        assert!(standing().time(b"{}", 0, 1, &mut out).is_err());
        assert!(checks(&out).is_empty());
    }
}
