//! User-data events: `ORDER_TRADE_UPDATE`, `TRADE_LITE`, `ACCOUNT_UPDATE`.

use super::order::{
    average, client_id, kind_text, quoted, self_trade_text, side_text, status_text, tif_text,
};
use crate::domain::money::Money;
use crate::domain::time::{MILLI, Nanos};
use crate::sim::exchange::{ChangeReason, Exec, Fill, Listing, MoneyText, Order, OrderStatus, Position};

/// `ORDER_TRADE_UPDATE`. `n`/`N` are present for trades only.
pub(super) fn order_trade_update(
    listing: &Listing,
    order: &Order,
    exec: Exec,
    at: Nanos,
    sent: Nanos,
) -> String {
    let none = Fill::default();
    let (fill, traded) = match &exec {
        Exec::Trade(fill) => (fill, true),
        _ => (&none, false),
    };
    let execution = match exec {
        Exec::New => "NEW",
        Exec::Trade(_) if order.by_venue => "CALCULATED",
        Exec::Trade(_) => "TRADE",
        Exec::Amended => "AMENDMENT",
        Exec::Ended if order.status == OrderStatus::Canceled => "CANCELED",
        Exec::Ended => "EXPIRED",
    };
    let commission = if traded {
        format!("\"n\":\"{}\",\"N\":\"{}\",", fill.fee.fixed(8), listing.settle)
    } else {
        String::new()
    };
    format!(
        concat!(
            "{{\"e\":\"ORDER_TRADE_UPDATE\",\"T\":{time},\"E\":{sent},\"o\":{{\"s\":\"{symbol}\",\"c\":{client},\"S\":\"{side}\",",
            "\"o\":\"{kind}\",\"f\":\"{tif}\",\"q\":\"{qty}\",\"p\":\"{price}\",\"ap\":\"{average}\",\"sp\":\"0\",\"x\":\"{execution}\",",
            "\"X\":\"{status}\",\"i\":{id},\"l\":\"{last}\",\"z\":\"{filled}\",\"L\":\"{last_price}\",{commission}\"T\":{time},",
            "\"t\":{trade},\"b\":\"0\",\"a\":\"0\",\"m\":{maker},\"R\":{reduce},\"wt\":\"CONTRACT_PRICE\",\"ot\":\"{kind}\",",
            "\"ps\":\"BOTH\",\"cp\":false,\"rp\":\"{realised}\",\"pP\":false,\"si\":0,\"ss\":0,\"V\":\"{self_trade}\",",
            "\"pm\":\"NONE\",\"gtd\":{good_till},\"er\":\"0\"}}}}"
        ),
        time = at / MILLI,
        sent = sent / MILLI,
        symbol = listing.symbol,
        client = quoted(client_id(order)),
        side = side_text(order.side),
        kind = kind_text(order.kind),
        tif = tif_text(order),
        qty = listing.qty_text(order.qty),
        price = listing.price_text(order.price),
        average = average(listing, order),
        execution = execution,
        // Deleveraging is told as a new order that has traded.
        status = if order.by_venue { "NEW" } else { status_text(order.status) },
        id = order.id.0,
        last = listing.qty_text(fill.qty),
        filled = listing.qty_text(order.filled),
        last_price = listing.price_text(fill.price),
        commission = commission,
        trade = fill.trade_id,
        maker = fill.maker,
        reduce = order.reduce_only,
        realised = fill.realised.fixed(8),
        self_trade = self_trade_text(order.self_trade),
        good_till = order.expires_at / MILLI,
    )
}

/// `TRADE_LITE`: the same fill, sooner and smaller.
pub(super) fn trade_lite(listing: &Listing, order: &Order, fill: &Fill, at: Nanos, sent: Nanos) -> String {
    format!(
        concat!(
            "{{\"e\":\"TRADE_LITE\",\"E\":{},\"T\":{},\"s\":\"{}\",\"q\":\"{}\",\"p\":\"{}\",\"m\":{},\"c\":{},\"S\":\"{}\",",
            "\"L\":\"{}\",\"l\":\"{}\",\"t\":{},\"i\":{}}}"
        ),
        sent / MILLI,
        at / MILLI,
        listing.symbol,
        listing.qty_text(order.qty),
        listing.price_text(order.price),
        fill.maker,
        quoted(&order.client_id),
        side_text(order.side),
        listing.price_text(fill.price),
        listing.qty_text(fill.qty),
        fill.trade_id,
        order.id.0,
    )
}

/// What an `ACCOUNT_UPDATE` tells.
pub(super) struct AccountUpdate<'a> {
    pub listing: &'a Listing,
    pub reason: ChangeReason,
    pub wallet: Money,
    pub change: Money,
    pub position: Position,
    pub unrealised: Money,
}

/// `ACCOUNT_UPDATE`: only what changed; funding of a cross position carries the balance alone.
pub(super) fn account_update(update: &AccountUpdate<'_>, at: Nanos, sent: Nanos) -> String {
    let listing = update.listing;
    let wallet = update.wallet.fixed(8);
    let (reason, positions) = match update.reason {
        ChangeReason::Funding => ("FUNDING_FEE", String::new()),
        ChangeReason::Order => {
            let position = &update.position;
            let entry = entry_price(listing, position);
            let text = format!(
                concat!(
                    "{{\"s\":\"{}\",\"pa\":\"{}\",\"ep\":\"{}\",\"cr\":\"{}\",\"up\":\"{}\",\"mt\":\"cross\",\"iw\":\"0\",",
                    "\"ps\":\"BOTH\",\"ma\":\"{}\",\"bep\":\"{}\"}}"
                ),
                listing.symbol,
                listing.qty_text(position.qty),
                entry,
                position.realised.fixed(8),
                update.unrealised.fixed(8),
                listing.settle,
                entry,
            );
            ("ORDER", text)
        }
    };
    format!(
        concat!(
            "{{\"e\":\"ACCOUNT_UPDATE\",\"T\":{},\"E\":{},\"a\":{{\"B\":[{{\"a\":\"{}\",\"wb\":\"{}\",\"cw\":\"{}\",\"bc\":\"{}\"}}],",
            "\"P\":[{}],\"m\":\"{}\"}}}}"
        ),
        at / MILLI,
        sent / MILLI,
        listing.settle,
        wallet,
        wallet,
        if update.change == Money::ZERO { "0".into() } else { update.change.fixed(8) },
        positions,
        reason,
    )
}

/// Average entry price with 8 decimals beyond the tick's, `0.0` when flat.
pub(super) fn entry_price(listing: &Listing, position: &Position) -> String {
    if position.qty == 0 {
        return "0.0".into();
    }
    listing.average_text(position.cost, position.qty, 8)
}
