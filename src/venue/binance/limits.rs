//! The limits that `exchangeInfo` states in `rateLimits`: what they grant of orders, and when the weight of a
//! minute is nearly used.

use crate::domain::instrument::VenueId;
use crate::domain::standing::Grant;
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;
use serde::{Deserialize, Serialize};

/// Weight of a minute until the venue has stated it.
const WEIGHT: u64 = 2_400;

/// What the venue has stated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Used weight of a minute beyond which the rest is kept for what keeps the account known: three quarters.
    pub data_weight_max: u32,
    /// Orders at once and in 10 s in the long run; `None` = not stated.
    orders: Option<(u32, u32)>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { data_weight_max: three_quarters(WEIGHT), orders: None }
    }
}

fn three_quarters(limit: u64) -> u32 {
    u32::try_from(limit.saturating_mul(3) / 4).unwrap_or(u32::MAX)
}

impl Limits {
    /// Reads an `exchangeInfo` reply. Limits of a kind or an interval that is not known say nothing.
    ///
    /// # Errors
    /// When it is no object, or a limit in it is not a number.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let mut limits = Self::default();
        // Limit and seconds of every window in which orders are counted.
        let mut windows = Vec::new();
        Cursor::new(body).object(|key, cursor| match key {
            b"rateLimits" => cursor.array(|cursor| {
                let (mut of, mut unit): (&[u8], &[u8]) = (&[], &[]);
                let (mut count, mut limit) = (0, None);
                cursor.object(|key, cursor| match key {
                    b"rateLimitType" => cursor.string().map(|text| of = text),
                    b"interval" => cursor.string().map(|text| unit = text),
                    b"intervalNum" => cursor.uint("intervalNum").map(|value| count = value),
                    b"limit" => cursor.uint("limit").map(|value| limit = Some(value)),
                    _ => cursor.skip(),
                })?;
                let seconds = count.saturating_mul(match unit {
                    b"SECOND" => 1,
                    b"MINUTE" => 60,
                    b"HOUR" => 3_600,
                    b"DAY" => 86_400,
                    _ => 0,
                });
                let limit = limit.ok_or(DecodeError::Missing("limit"))?;
                match of {
                    b"REQUEST_WEIGHT" if seconds == 60 => limits.data_weight_max = three_quarters(limit),
                    b"ORDERS" if seconds > 0 => windows.push((limit, seconds)),
                    _ => {}
                }
                Ok(())
            }),
            _ => cursor.skip(),
        })?;
        limits.orders = granted(&windows);
        Ok(limits)
    }

    /// What is granted of orders, where stated. Cancels are not counted.
    pub fn grant(&self, venue: VenueId) -> Option<Grant> {
        let (burst, per_10s) = self.orders?;
        Some(Grant { venue, burst, per_10s, cancels: false })
    }
}

/// Half of the least limit at once, and over time what every window has left beside that: no window, wherever it
/// begins, sees more than its limit.
fn granted(windows: &[(u64, u64)]) -> Option<(u32, u32)> {
    let burst = windows.iter().map(|(limit, _)| limit.div_ceil(2)).min()?;
    let left = |(limit, seconds): &(u64, u64)| (limit - burst).saturating_mul(10) / seconds;
    // A limit that is nearly nothing still lets an order through now and then.
    let per_10s = windows.iter().map(left).min()?.max(burst.min(1));
    let narrow = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
    Some((narrow(burst), narrow(per_10s)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(rows: &[(&str, &str, u32, u32)]) -> Limits {
        let row = |(of, unit, count, limit): &(&str, &str, u32, u32)| {
            format!(r#"{{"rateLimitType":"{of}","interval":"{unit}","intervalNum":{count},"limit":{limit}}}"#)
        };
        let rows: Vec<String> = rows.iter().map(row).collect();
        let body = format!(r#"{{"timezone":"UTC","rateLimits":[{}],"symbols":[]}}"#, rows.join(","));
        Limits::read(body.as_bytes()).unwrap()
    }

    fn orders(rows: &[(&str, &str, u32, u32)]) -> Option<(u32, u32)> {
        read(rows).grant(VenueId(2)).map(|grant| {
            assert!(grant.venue == VenueId(2) && !grant.cancels);
            (grant.burst, grant.per_10s)
        })
    }

    #[test]
    fn no_window_sees_more_orders_than_its_limit() {
        let (ten, minute) = (("ORDERS", "SECOND", 10, 300), ("ORDERS", "MINUTE", 1, 1_200));
        assert_eq!(orders(&[minute, ten]), Some((150, 150)));
        assert_eq!(orders(&[minute]), Some((600, 100)));
        assert_eq!(orders(&[ten, ("ORDERS", "MINUTE", 1, 600)]), Some((150, 75)));
        assert_eq!(orders(&[("ORDERS", "SECOND", 10, 0)]), Some((0, 0)), "nothing is granted");
        assert_eq!(orders(&[("ORDERS", "MINUTE", 1, 5)]), Some((3, 1)));
    }

    #[test]
    fn the_weight_that_data_may_use_follows_the_stated_limit() {
        assert_eq!(read(&[]), Limits::default());
        assert_eq!(Limits::default().data_weight_max, 1_800);
        assert_eq!(read(&[("REQUEST_WEIGHT", "MINUTE", 1, 1_000)]).data_weight_max, 750);
        assert_eq!(read(&[("REQUEST_WEIGHT", "HOUR", 1, 9)]).data_weight_max, 1_800, "not what is counted");
    }

    #[test]
    fn what_is_not_known_grants_and_takes_nothing() {
        assert_eq!(orders(&[("ORDERS", "FORTNIGHT", 1, 5), ("RAW_REQUESTS", "SECOND", 1, 5)]), None);
        assert!(Limits::read(br#"{"rateLimits":[{"rateLimitType":"ORDERS"}]}"#).is_err());
        assert!(Limits::read(b"[").is_err());
    }
}
