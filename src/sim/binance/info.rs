//! Public REST replies that describe instruments and prices.

use super::Limits;
use super::stream::rate_text;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{Exchange, Listing, ListingId, MoneyText, Side, Standing, fixed};

pub(super) fn premium_index(listing: &Listing, now: Nanos) -> String {
    format!(
        concat!(
            "{{\"symbol\":\"{}\",\"markPrice\":\"{}\",\"indexPrice\":\"{}\",\"estimatedSettlePrice\":\"{}\",",
            "\"lastFundingRate\":\"{}\",\"interestRate\":\"0.00010000\",\"nextFundingTime\":{},\"time\":{}}}"
        ),
        listing.symbol,
        listing.mark.fixed(8),
        listing.index.fixed(8),
        listing.index.fixed(8),
        rate_text(listing.funding_rate_ppb),
        listing.funding_at / MILLI,
        now / MILLI
    )
}

pub(super) fn book_ticker(exchange: &Exchange, id: ListingId, listing: &Listing, now: Nanos) -> String {
    let best = |side| exchange.book(id).best(side).unwrap_or_default();
    let (bid, ask) = (best(Side::Buy), best(Side::Sell));
    format!(
        "{{\"symbol\":\"{}\",\"bidPrice\":\"{}\",\"bidQty\":\"{}\",\"askPrice\":\"{}\",\"askQty\":\"{}\",\"time\":{},\"lastUpdateId\":{}}}",
        listing.symbol,
        listing.price_text(bid.price),
        listing.qty_text(bid.qty),
        listing.price_text(ask.price),
        listing.qty_text(ask.qty),
        now / MILLI,
        exchange.last_update(id)
    )
}

/// Listings whose interval is not the default of eight hours.
pub(super) fn funding_info(exchange: &Exchange) -> String {
    const HOUR: Nanos = 3_600_000 * MILLI;
    let rows: Vec<String> = exchange
        .listings()
        .iter()
        .filter(|listing| listing.funding_interval_ns != 8 * HOUR)
        .map(|listing| {
            format!(
                "{{\"symbol\":\"{}\",\"adjustedFundingRateCap\":\"0.02000000\",\"adjustedFundingRateFloor\":\"-0.02000000\",\"fundingIntervalHours\":{},\"disclaimer\":false}}",
                listing.symbol,
                (listing.funding_interval_ns / HOUR).max(1)
            )
        })
        .collect();
    format!("[{}]", rows.join(","))
}

pub(super) fn exchange_info(exchange: &Exchange, now: Nanos) -> String {
    let settings = exchange.settings();
    let band = |ppb: i64| fixed(i128::from(1_000_000_000 + ppb) / 100_000, 4);
    let mut assets: Vec<&str> = exchange.listings().iter().map(|listing| listing.settle.as_str()).collect();
    assets.sort_unstable();
    assets.dedup();
    let assets: Vec<String> = assets
        .iter()
        .map(|asset| {
            format!("{{\"asset\":\"{asset}\",\"marginAvailable\":true,\"autoAssetExchange\":\"-10000\"}}")
        })
        .collect();
    let symbols: Vec<String> = exchange
        .listings()
        .iter()
        .filter(|listing| listing.is_listed())
        .map(|listing| {
            let (tick, step) = (listing.stated_tick().to_string(), listing.stated_step().to_string());
            let (qty_min, qty_max) = (listing.qty_text(listing.stated_min()), listing.qty_text(listing.qty_max));
            format!(
                concat!(
                    "{{\"symbol\":\"{symbol}\",\"pair\":\"{pair}\",{size}\"contractType\":\"PERPETUAL\",\"deliveryDate\":4133404800000,",
                    "\"onboardDate\":1569398400000,\"{status_key}\":\"{status}\",\"maintMarginPercent\":\"2.5000\",",
                    "\"requiredMarginPercent\":\"5.0000\",\"baseAsset\":\"{base}\",\"quoteAsset\":\"{quote}\",\"marginAsset\":\"{settle}\",",
                    "\"pricePrecision\":{price_precision},\"quantityPrecision\":{qty_precision},\"baseAssetPrecision\":8,\"quotePrecision\":8,",
                    "\"underlyingType\":\"COIN\",\"underlyingSubType\":[],\"triggerProtect\":\"0.0500\",\"liquidationFee\":\"0.012500\",",
                    "\"marketTakeBound\":\"{bound}\",\"maxMoveOrderLimit\":10000,\"filters\":[",
                    "{{\"filterType\":\"PRICE_FILTER\",\"minPrice\":\"{tick}\",\"maxPrice\":\"{max_price}\",\"tickSize\":\"{tick}\"}},",
                    "{{\"filterType\":\"LOT_SIZE\",\"minQty\":\"{qty_min}\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"{step}\"}},",
                    "{{\"filterType\":\"MARKET_LOT_SIZE\",\"minQty\":\"{qty_min}\",\"maxQty\":\"{qty_max}\",\"stepSize\":\"{step}\"}},",
                    "{{\"filterType\":\"MAX_NUM_ORDERS\",\"limit\":{max_orders}}},{{\"filterType\":\"MAX_NUM_ALGO_ORDERS\",\"limit\":10}},",
                    "{notional}",
                    "{{\"filterType\":\"PERCENT_PRICE\",\"multiplierUp\":\"{up}\",\"multiplierDown\":\"{down}\",\"multiplierDecimal\":\"4\"}}],",
                    "\"orderTypes\":[\"LIMIT\",\"MARKET\"],\"timeInForce\":[\"GTC\",\"IOC\",\"FOK\",\"GTX\",\"GTD\"]}}"
                ),
                symbol = listing.symbol,
                pair = if listing.is_inverse() {
                    format!("{}{}", listing.base, listing.quote)
                } else {
                    listing.symbol.clone()
                },
                size = if listing.is_inverse() {
                    format!("\"contractSize\":{},", listing.multiplier)
                } else {
                    String::new()
                },
                status_key = if listing.is_inverse() { "contractStatus" } else { "status" },
                base = listing.base,
                status = status(listing, now),
                quote = listing.quote,
                settle = listing.settle,
                price_precision = listing.tick.scale,
                qty_precision = listing.step.scale,
                bound = fixed(i128::from(exchange.price_band_ppb()) / 10_000_000, 2),
                tick = tick,
                max_price = listing.price_text(100_000_000),
                qty_min = qty_min,
                qty_max = qty_max,
                step = step,
                max_orders = settings.open_orders_max,
                notional = if listing.is_inverse() {
                    String::new()
                } else {
                    let least = listing.notional_min;
                    format!("{{\"filterType\":\"MIN_NOTIONAL\",\"notional\":\"{least}\"}},")
                },
                up = band(exchange.price_band_ppb()),
                down = band(-exchange.price_band_ppb()),
            )
        })
        .collect();
    format!(
        concat!(
            "{{\"timezone\":\"UTC\",\"serverTime\":{now},\"futuresType\":\"U_MARGINED\",\"rateLimits\":[",
            "{{\"rateLimitType\":\"REQUEST_WEIGHT\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{weight}}},",
            "{{\"rateLimitType\":\"ORDERS\",\"interval\":\"MINUTE\",\"intervalNum\":1,\"limit\":{minute}}},",
            "{{\"rateLimitType\":\"ORDERS\",\"interval\":\"SECOND\",\"intervalNum\":10,\"limit\":{ten}}}],",
            "\"exchangeFilters\":[],\"assets\":[{assets}],\"symbols\":[{symbols}]}}"
        ),
        now = now / MILLI,
        weight = settings.weight_per_minute_max,
        minute = Limits::per_minute(settings),
        ten = settings.orders_per_window_max,
        assets = assets.join(","),
        symbols = symbols.join(",")
    )
}

/// A listing's status as the venue writes it.
pub(super) fn status(listing: &Listing, now: Nanos) -> &'static str {
    match listing.terms(now).standing {
        Standing::Open => "TRADING",
        Standing::Suspended => "SETTLING",
        Standing::Delisted => "CLOSE",
    }
}
