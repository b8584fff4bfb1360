//! The venue's rate limits: request weight per address, order requests per account.

use super::error::ApiError;
use crate::domain::time::{Nanos, SECOND};
use crate::sim::config::SimVenueConfig;
use crate::sim::exchange::{AccountId, RateWindow};
use std::collections::BTreeMap;

/// Counters. All clients share one address.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    weight: RateWindow,
    ten_seconds: RateWindow,
    minute: RateWindow,
    orders: BTreeMap<AccountId, (RateWindow, RateWindow)>,
    last_account: Option<AccountId>,
}

impl Limits {
    pub fn new(settings: &SimVenueConfig) -> Self {
        Self {
            weight: RateWindow::new(settings.weight_per_minute_max, 60 * SECOND),
            ten_seconds: RateWindow::new(settings.orders_per_window_max, settings.order_window_ns),
            minute: RateWindow::new(Self::per_minute(settings), 60 * SECOND),
            orders: BTreeMap::new(),
            last_account: None,
        }
    }

    /// Orders per minute: four times the ten-second limit, as at the venue (300 and 1 200); the limit itself where
    /// the window is a minute.
    pub fn per_minute(settings: &SimVenueConfig) -> u32 {
        let windows = if settings.order_window_ns < 60 * SECOND { 4 } else { 1 };
        settings.orders_per_window_max.saturating_mul(windows)
    }

    /// Counts request weight; false above the limit.
    pub fn weight(&mut self, weight: u32, now: Nanos) -> bool {
        self.weight.take(weight, now)
    }

    /// Weight used this minute.
    pub fn weight_used(&mut self, now: Nanos) -> u32 {
        self.weight.used(now)
    }

    /// When this minute ends.
    pub fn weight_ends(&self, now: Nanos) -> Nanos {
        self.weight.ends(now)
    }

    /// Counts order requests of an account (cancels count 0); error −1015 above a limit.
    pub fn order(&mut self, account: AccountId, count: u32, now: Nanos) -> Result<(), ApiError> {
        let (ten, minute) = self.orders.entry(account).or_insert((self.ten_seconds, self.minute));
        self.last_account = Some(account);
        if count == 0 {
            return Ok(());
        }
        let (ten_ok, minute_ok) = (ten.take(count, now), minute.take(count, now));
        if !ten_ok {
            return Err(ApiError::new(
                -1015,
                format!("Too many new orders; current limit is {} orders per TEN_SECONDS.", ten.limit()),
            ));
        }
        if !minute_ok {
            return Err(ApiError::new(
                -1015,
                format!("Too many new orders; current limit is {} orders per MINUTE.", minute.limit()),
            ));
        }
        Ok(())
    }

    /// Orders of the account that ordered last: in ten seconds, in a minute.
    pub fn orders_used(&mut self, now: Nanos) -> Option<(u32, u32)> {
        let (ten, minute) = self.orders.get_mut(&self.last_account?)?;
        Some((ten.used(now), minute.used(now)))
    }

    /// The `rateLimits` array of a WebSocket API reply; order requests show order counts, others weight.
    pub fn json(&mut self, order: bool, now: Nanos) -> String {
        if !order {
            return format!(
                "[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{},\"count\":{}}}]",
                self.weight.limit(),
                self.weight.used(now)
            );
        }
        let (ten, minute) = self.orders_used(now).unwrap_or((0, 0));
        format!(
            concat!(
                "[{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":-1,\"count\":-1}},",
                "{{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":{},\"count\":{}}},",
                "{{\"rateLimitType\":\"ORDERS\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{},\"count\":{}}}]"
            ),
            self.ten_seconds.limit(),
            ten,
            self.minute.limit(),
            minute
        )
    }
}
