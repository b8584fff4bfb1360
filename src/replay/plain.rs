//! Recorded things in people's terms: names in place of numbers, decimals in place of scaled integers.
//!
//! Works on the JSON of events and outputs, so that a field that is added to them is shown without a change here.

use crate::domain::instrument::{CanonicalId, Instrument, InstrumentId, VenueId};
use crate::domain::number::{Num, SCALE_MAX};
use crate::ops::view::Names;
use serde::Serialize;
use serde_json::{Map, Value};

/// Fields that are prices of the instrument of their object, or of one around it.
const PRICES: [&str; 5] = ["price", "bid", "ask", "fill_price", "mid"];
/// Fields that are quantities of it.
const QUANTITIES: [&str; 6] = ["qty", "bid_qty", "ask_qty", "filled", "leaves", "fill_qty"];

/// Who knows names and scales.
pub struct Plain<'a> {
    /// Names of the run.
    pub names: &'a Names,
    /// Listings as they are defined now.
    pub instrument: &'a dyn Fn(InstrumentId) -> Option<Instrument>,
}

/// Parts per billion as basis points.
pub fn bps(ppb: i64) -> Num {
    Num::new(ppb, 5)
}

/// Nanoseconds in a unit in which people read them.
pub fn duration(ns: i64) -> String {
    let (unit, scale) = match ns.unsigned_abs() {
        0..1_000 => ("ns", 0),
        1_000..1_000_000 => ("µs", 3),
        1_000_000..1_000_000_000 => ("ms", 6),
        _ => ("s", 9),
    };
    format!("{} {unit}", Num::new(ns, scale).normalized())
}

impl Plain<'_> {
    /// In people's terms.
    pub fn of(&self, what: &impl Serialize) -> Value {
        let mut value = serde_json::to_value(what).unwrap_or(Value::Null);
        self.walk(&mut value, None);
        value
    }

    /// The venue's own name of a listing and its venue: `BTC-USDT-SWAP.okx`.
    pub fn listing(&self, id: InstrumentId) -> String {
        match self.names.listings.get(id.index()) {
            Some((venue, symbol)) => format!("{symbol}.{}", self.names.venue(*venue)),
            None => format!("listing {}", id.0),
        }
    }

    fn walk(&self, value: &mut Value, about: Option<&Instrument>) {
        match value {
            Value::Object(fields) => {
                if let Some(number) = decimal(fields) {
                    *value = Value::String(number.to_string());
                    return;
                }
                let own = fields
                    .get("instrument")
                    .and_then(Value::as_u64)
                    .and_then(|id| (self.instrument)(InstrumentId(u16::try_from(id).ok()?)));
                let about = own.as_ref().or(about);
                self.shorten(fields);
                for (key, field) in fields {
                    self.field(key, field, about);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.walk(item, about)),
            _ => {}
        }
    }

    fn field(&self, key: &str, field: &mut Value, about: Option<&Instrument>) {
        let number = field.as_i64();
        let named = |text: &str| Value::String(text.to_owned());
        match (key, number, about) {
            ("venue", Some(id), _) => *field = named(self.names.venue(VenueId(id as u8))),
            ("canonical", Some(id), _) => *field = named(self.names.canonical(CanonicalId(id as u16))),
            ("instrument", Some(id), _) => *field = Value::String(self.listing(InstrumentId(id as u16))),
            ("levels", None, Some(instrument)) => levels(field, instrument),
            ("edge", None, _) => {
                for term in field.as_object_mut().into_iter().flat_map(Map::values_mut) {
                    if let Some(ppb) = term.as_i64() {
                        *term = Value::String(format!("{} bps", bps(ppb)));
                    }
                }
            }
            (key, Some(price), Some(instrument)) if PRICES.contains(&key) => {
                *field = scaled(price, instrument.price_scale);
            }
            (key, Some(qty), Some(instrument)) if QUANTITIES.contains(&key) => {
                *field = scaled(qty, instrument.qty_scale);
            }
            _ => self.walk(field, about),
        }
    }

    /// Fixed arrays lose the places that are not used; mids are prices of their legs.
    fn shorten(&self, fields: &mut Map<String, Value>) {
        let count = |name: &str| fields.get(name).and_then(Value::as_u64);
        let used = match (count("len"), count("bids"), count("asks")) {
            (Some(len), ..) => len,
            (None, Some(bids), Some(asks)) => bids + asks,
            _ => return,
        };
        for name in ["legs", "mids", "book_age_ns", "levels"] {
            if let Some(Value::Array(items)) = fields.get_mut(name) {
                items.truncate(usize::try_from(used).unwrap_or(usize::MAX));
            }
        }
        let leg = |leg: &Value| (self.instrument)(InstrumentId(leg.get("instrument")?.as_u64()? as u16));
        let legs: Vec<Option<Instrument>> =
            fields.get("legs").and_then(Value::as_array).into_iter().flatten().map(leg).collect();
        let mids = fields.get_mut("mids").and_then(Value::as_array_mut).into_iter().flatten();
        for (mid, instrument) in mids.zip(&legs) {
            if let (Some(price), Some(instrument)) = (mid.as_i64(), instrument) {
                *mid = scaled(price, instrument.price_scale);
            }
        }
    }
}

fn levels(field: &mut Value, instrument: &Instrument) {
    for level in field.as_array_mut().into_iter().flatten() {
        if let Some([price, qty]) = level.as_array_mut().and_then(|level| level.first_chunk_mut::<2>())
            && let (Some(at), Some(size)) = (price.as_i64(), qty.as_i64())
        {
            (*price, *qty) = (scaled(at, instrument.price_scale), scaled(size, instrument.qty_scale));
        }
    }
}

fn scaled(value: i64, scale: u8) -> Value {
    Value::String(Num::new(value, scale.min(SCALE_MAX)).to_string())
}

/// A [`Num`] that was serialised field by field.
fn decimal(fields: &Map<String, Value>) -> Option<Num> {
    let (mantissa, scale) = (fields.get("mantissa")?.as_i64()?, fields.get("scale")?.as_u64()?);
    let scale = u8::try_from(scale).ok().filter(|scale| *scale <= SCALE_MAX)?;
    (fields.len() == 2).then(|| Num::new(mantissa, scale))
}

/// The beginning of recorded bytes as one line of text.
pub fn excerpt(bytes: &[u8], most: usize) -> String {
    let cut = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(cut.len());
    for part in String::from_utf8_lossy(cut).chars() {
        if part.is_control() { text.extend(part.escape_default()) } else { text.push(part) }
    }
    if bytes.len() > most {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::event::{Bbo, EventBody, LevelsChunk};
    use crate::domain::instrument::{Price, Qty};
    use crate::domain::intent::{Basket, Intent};
    use crate::domain::order::OrderSpec;
    use serde_json::json;

    fn shown(what: &impl Serialize) -> Value {
        let names = Names {
            venues: vec!["okx".into()],
            canonicals: vec!["BTC/USDT:USDT".into()],
            listings: vec![(VenueId(0), "BTC-USDT-SWAP".into())],
        };
        let instrument = |id: InstrumentId| {
            let of = Instrument { id, price_scale: 2, qty_scale: 1, ..Instrument::default() };
            (id.0 == 0).then_some(of)
        };
        Plain { names: &names, instrument: &instrument }.of(what)
    }

    #[test]
    fn prices_quantities_and_names_are_those_of_the_listing() {
        let bbo = Bbo { bid: Price(6_000_050), bid_qty: Qty(15), ..Bbo::default() };
        let told = shown(&EventBody::Bbo(bbo));
        assert_eq!(told["Bbo"]["bid"], "60000.5");
        assert_eq!(
            (&told["Bbo"]["bid_qty"], &told["Bbo"]["instrument"]),
            (&json!("1.5"), &json!("BTC-USDT-SWAP.okx"))
        );
        let mut chunk = LevelsChunk { bids: 1, ..LevelsChunk::default() };
        chunk.levels[0] = (Price(100), Qty(20));
        assert_eq!(shown(&EventBody::Levels(chunk))["Levels"]["levels"], json!([["1", "2"]]));
    }

    #[test]
    fn a_basket_shows_its_legs_and_no_unused_ones() {
        let leg = OrderSpec { price: Price(250), qty: Qty(5), ..OrderSpec::default() };
        let mut basket = Basket { len: 1, legs: [leg; 4], mids: [Price(240); 4], ..Basket::default() };
        basket.edge.net = 810_000;
        let told = shown(&Intent::Basket(basket));
        let basket = &told["Basket"];
        assert_eq!((&basket["legs"][0]["price"], &basket["mids"]), (&json!("2.5"), &json!(["2.4"])));
        assert_eq!(
            (&basket["edge"]["net"], &basket["canonical"]),
            (&json!("8.1 bps"), &json!("BTC/USDT:USDT"))
        );
        assert_eq!(basket["legs"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn bytes_are_one_line() {
        assert_eq!(excerpt(b"{\"a\":\n1}", 7), "{\"a\":\\n1…");
    }
}
