//! What reply headers of any venue say of the use of its limits. Names only; what follows from them is decided
//! by the dialect (`Adapter::on_pace`) and by route.

use crate::domain::instrument::VenueId;
use crate::domain::standing::Pace;

/// Reads the headers of a reply; `None` when they say nothing and nothing was refused.
pub fn pace_of<'a>(
    venue: VenueId,
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) -> Option<Pace> {
    let mut pace = Pace { venue, status, ..Pace::default() };
    let mut said = pace.is_refusal();
    // Bybit: when its window ends and when it replied, ms.
    let (mut reset, mut replied) = (None, None);
    for (name, value) in headers {
        let number = || value.trim().parse::<u32>().ok();
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let stated = if is("x-mbx-used-weight-1m") {
            pace.weight_1m = number();
            pace.weight_1m
        } else if is("x-mbx-order-count-10s") {
            pace.orders_10s = number();
            pace.orders_10s
        } else if is("x-mbx-order-count-1m") {
            pace.orders_1m = number();
            pace.orders_1m
        } else if is("retry-after") {
            pace.retry_after_s = number().unwrap_or(0);
            number()
        } else if is("x-bapi-limit-status") {
            pace.requests_left = number();
            pace.requests_left
        } else {
            let instant = || value.trim().parse::<i64>().ok();
            if is("x-bapi-limit-reset-timestamp") {
                reset = instant();
            } else if is("timenow") {
                replied = instant();
            }
            None
        };
        said |= stated.is_some();
    }
    if let (Some(0), Some(reset), Some(replied)) = (pace.requests_left, reset, replied) {
        pace.retry_after_s = pace.retry_after_s.max(seconds_between(replied, reset));
    }
    said.then_some(pace)
}

/// From one instant to a later one in ms, in seconds that are not too few; 0 when it is not later.
pub(super) fn seconds_between(from_ms: i64, to_ms: i64) -> u32 {
    let ms = to_ms.saturating_sub(from_ms).max(0);
    u32::try_from(ms.saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_become_numbers_and_silence_is_nothing() {
        let read = |status, headers: &[(&'static str, &'static str)]| {
            pace_of(VenueId(1), status, headers.iter().copied())
        };
        assert_eq!(read(200, &[("content-type", "text/json")]), None);
        let pace = read(200, &[("X-MBX-USED-WEIGHT-1M", "37"), ("x-mbx-order-count-10s", " 4")]).unwrap();
        assert_eq!((pace.weight_1m, pace.orders_10s, pace.orders_1m), (Some(37), Some(4), None));
        let banned = read(418, &[("Retry-After", "120")]).unwrap();
        assert_eq!((banned.status, banned.retry_after_s, banned.is_refusal()), (418, 120, true));
        assert!(read(429, &[]).is_some_and(|pace| pace.is_refusal()));
        assert_eq!(read(200, &[("retry-after", "soon")]), None);
        let window = [("X-Bapi-Limit-Reset-Timestamp", "1711001596300"), ("Timenow", "1711001595209")];
        assert_eq!(read(200, &window), None, "an instant alone says nothing of what is left");
        let left = |left| read(200, &[window[0], ("X-Bapi-Limit-Status", left), window[1]]).unwrap();
        assert_eq!((left("9").requests_left, left("9").retry_after_s), (Some(9), 0));
        assert_eq!((left("0").requests_left, left("0").retry_after_s), (Some(0), 2));
    }
}
