//! Contract specifications from `exchangeInfo` and funding intervals from `fundingInfo`. Uses the filters,
//! never `pricePrecision`/`quantityPrecision` (the venue warns that these are no tick sizes).

use crate::domain::instrument::{BandRatio, ContractKind, InstrumentId, Status, VenueSpec};
use crate::domain::number::Num;
use crate::domain::time::{Nanos, SECOND};
use crate::venue::json::Cursor;
use crate::venue::message::DecodeError;

/// Time between settlements of symbols that `fundingInfo` does not list.
pub const FUNDING_INTERVAL: Nanos = 8 * 3600 * SECOND;

type Result<T> = std::result::Result<T, DecodeError>;

/// Walks the symbols of an `exchangeInfo` reply; `found` gets symbol and specification (with
/// `instrument` left at its default), or why it has none. Symbols that `wanted` does not name are not
/// looked into.
///
/// # Errors
/// When the reply is not JSON or has no `symbols`.
pub fn exchange_info(
    body: &[u8],
    kind: ContractKind,
    mut wanted: impl FnMut(&[u8]) -> bool,
    mut found: impl FnMut(&[u8], Result<VenueSpec>),
) -> Result<()> {
    let mut cursor = Cursor::new(body);
    let mut any = false;
    cursor.object(|key, cursor| match key {
        b"symbols" => {
            any = true;
            cursor.array(|cursor| {
                let text = cursor.raw()?;
                let name = symbol_of(text)?;
                if wanted(name) {
                    found(name, symbol(text, kind));
                }
                Ok(())
            })
        }
        _ => cursor.skip(),
    })?;
    cursor.end()?;
    if any { Ok(()) } else { Err(DecodeError::Missing("symbols")) }
}

fn symbol_of(text: &[u8]) -> Result<&[u8]> {
    let mut name: &[u8] = &[];
    Cursor::new(text).object(|key, cursor| match key {
        b"symbol" => cursor.string().map(|text| name = text),
        _ => cursor.skip(),
    })?;
    if name.is_empty() { Err(DecodeError::Missing("symbol")) } else { Ok(name) }
}

fn symbol(text: &[u8], kind: ContractKind) -> Result<VenueSpec> {
    let mut spec = VenueSpec {
        instrument: InstrumentId::default(),
        kind,
        multiplier: Num::new(1, 0),
        status: Status::Suspended,
        ..VenueSpec::default()
    };
    let (mut tick, mut step) = (None, None);
    Cursor::new(text).object(|key, cursor| match key {
        b"status" | b"contractStatus" => {
            spec.status = if cursor.string()? == b"TRADING" { Status::Trading } else { Status::Suspended };
            Ok(())
        }
        // COIN-M: quote units per contract.
        b"contractSize" => cursor.num("contractSize").map(|num| spec.multiplier = num),
        b"filters" => cursor.array(|cursor| {
            let (mut name, mut tick_size, mut step_size): (&[u8], _, _) = (&[], None, None);
            let (mut min, mut max, mut notional) = (None, None, None);
            let (mut up, mut down) = (None, None);
            cursor.object(|key, cursor| match key {
                b"filterType" => cursor.string().map(|text| name = text),
                b"tickSize" => cursor.num_or_absent("tickSize").map(|num| tick_size = num),
                b"stepSize" => cursor.num_or_absent("stepSize").map(|num| step_size = num),
                b"minQty" => cursor.num_or_absent("minQty").map(|num| min = num),
                b"maxQty" => cursor.num_or_absent("maxQty").map(|num| max = num),
                b"multiplierUp" => cursor.num_or_absent("multiplierUp").map(|num| up = num),
                b"multiplierDown" => cursor.num_or_absent("multiplierDown").map(|num| down = num),
                b"notional" => cursor.num_or_absent("notional").map(|num| notional = num),
                _ => cursor.skip(),
            })?;
            match name {
                b"PRICE_FILTER" => tick = tick_size,
                b"LOT_SIZE" => {
                    step = step_size;
                    spec.qty_min = min.unwrap_or_default();
                    spec.qty_max = max.unwrap_or_default();
                }
                // Purchases up to mark × up, sales down to mark × down.
                b"PERCENT_PRICE" => spec.band = up.zip(down).and_then(|(up, down)| ratio(up, down)),
                b"MIN_NOTIONAL" => spec.notional_min = notional.unwrap_or_default(),
                _ => {}
            }
            Ok(())
        }),
        _ => cursor.skip(),
    })?;
    spec.tick = tick.filter(|num| num.mantissa > 0).ok_or(DecodeError::Missing("tickSize"))?.normalized();
    spec.step = step.filter(|num| num.mantissa > 0).ok_or(DecodeError::Missing("stepSize"))?.normalized();
    Ok(spec)
}

/// Both factors in ppb; `None` unless they stand on their sides of the mark.
fn ratio(up: Num, down: Num) -> Option<BandRatio> {
    let ratio = BandRatio { up: up.at_scale(9)?, down: down.at_scale(9)? };
    (ratio.up > ratio.down && ratio.down > 0).then_some(ratio)
}

/// Walks a `fundingInfo` reply (`null` when nothing is adjusted): symbol and interval.
///
/// # Errors
/// When the reply is not JSON or an interval is not a number of hours.
pub fn funding_info(body: &[u8], mut found: impl FnMut(&[u8], Nanos)) -> Result<()> {
    let mut cursor = Cursor::new(body);
    if cursor.kind()? == crate::venue::json::Kind::Null {
        return cursor.skip();
    }
    cursor.array(|cursor| {
        let (mut name, mut hours): (&[u8], i64) = (&[], 0);
        cursor.object(|key, cursor| match key {
            b"symbol" => cursor.string().map(|text| name = text),
            b"fundingIntervalHours" => cursor.int("fundingIntervalHours").map(|value| hours = value),
            _ => cursor.skip(),
        })?;
        if (1..=24).contains(&hours) {
            found(name, hours * 3600 * SECOND);
        }
        Ok(())
    })?;
    cursor.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INFO: &[u8] = br#"{"timezone":"UTC","symbols":[{"symbol":"XYZUSDT","filters":[]},
        {"symbol":"BTCUSDT","contractType":"PERPETUAL","status":"TRADING","pricePrecision":2,"quantityPrecision":3,
        "filters":[{"minPrice":"556.80","maxPrice":"4529764","filterType":"PRICE_FILTER","tickSize":"0.10"},
        {"stepSize":"0.001","filterType":"LOT_SIZE","maxQty":"1000","minQty":"0.001"},
        {"stepSize":"1","filterType":"MARKET_LOT_SIZE","maxQty":"120","minQty":"5"},
        {"notional":"100","filterType":"MIN_NOTIONAL"}]}]}"#;

    #[test]
    fn the_filters_make_the_specification() {
        let mut specs = Vec::new();
        exchange_info(
            INFO,
            ContractKind::Linear,
            |name| name == b"BTCUSDT",
            |_, spec| specs.push(spec.unwrap()),
        )
        .unwrap();
        let [spec] = specs[..] else { panic!("{specs:?}") };
        assert_eq!((spec.tick, spec.step), (Num::new(1, 1), Num::new(1, 3)));
        assert_eq!((spec.qty_min, spec.qty_max), (Num::new(1, 3), Num::new(1000, 0)));
        assert_eq!((spec.notional_min, spec.multiplier), (Num::new(100, 0), Num::new(1, 0)));
        assert_eq!(spec.status, Status::Trading);
    }

    #[test]
    fn a_symbol_without_filters_has_none_and_harms_no_other() {
        let mut seen = Vec::new();
        exchange_info(INFO, ContractKind::Linear, |_| true, |_, spec| seen.push(spec)).unwrap();
        assert_eq!(seen[0], Err(DecodeError::Missing("tickSize")));
        assert!(seen[1].is_ok());
        assert!(exchange_info(b"{}", ContractKind::Linear, |_| true, |_, _| {}).is_err());
    }

    #[test]
    fn funding_intervals_are_read_and_null_is_none() {
        let mut seen = Vec::new();
        let body = br#"[{"symbol":"A","fundingIntervalHours":4,"disclaimer":false},{"symbol":"B","fundingIntervalHours":0}]"#;
        funding_info(body, |name, interval| seen.push((name.to_vec(), interval))).unwrap();
        assert_eq!(seen, [(b"A".to_vec(), 4 * 3600 * SECOND)]);
        funding_info(b"null", |_, _| panic!()).unwrap();
        assert!(funding_info(b"{", |_, _| {}).is_err());
    }

    #[test]
    fn the_band_of_percent_price_is_read_and_one_that_makes_no_sense_is_unknown() {
        let band = |up: &str, down: &str| {
            let body = format!(
                r#"{{"symbols":[{{"symbol":"A","filters":[{{"filterType":"PRICE_FILTER","tickSize":"0.1"}},{{"filterType":"LOT_SIZE","stepSize":"1"}},{{"filterType":"PERCENT_PRICE","multiplierUp":{up},"multiplierDown":{down},"multiplierDecimal":"4"}}]}}]}}"#
            );
            let mut read = None;
            exchange_info(body.as_bytes(), ContractKind::Linear, |_| true, |_, spec| read = Some(spec))
                .expect("a list");
            read.expect("one symbol").expect("a specification").band
        };
        assert_eq!(
            band(r#""1.0500""#, r#""0.9500""#),
            Some(BandRatio { up: 1_050_000_000, down: 950_000_000 })
        );
        assert_eq!(band(r#""0.9""#, r#""1.1""#), None);
        assert_eq!(band(r#""1.1""#, r#""0""#), None);
        assert_eq!(band("null", r#""0.9""#), None);
    }
}
