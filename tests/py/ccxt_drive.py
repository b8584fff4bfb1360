"""Drives a simulated venue with ccxt, a client that nobody here wrote, and checks that what it sees makes sense.

Usage: ccxt_drive.py binanceusdm|okx|bybit BASE_URL SYMBOL AMOUNT. Prints one JSON object for the caller to compare
with the venue's own ledger; any failed check is an uncaught exception.
"""

import json
import sys

import ccxt

TAKER_FEES = {"okx": 0.0005, "binanceusdm": 0.0005, "bybit": 0.00055}
KEYS = {"apiKey": "sim-key", "secret": "sim-secret", "password": "sim-passphrase"}
DEPOSIT = 100_000.0


def client(venue, base, library=ccxt, **keys):
    exchange = getattr(library, venue)({**KEYS, **keys, "enableRateLimit": True, "timeout": 10_000})
    if venue == "okx":
        exchange.urls["api"] = {"rest": base}
        # Swaps only: the venue lists nothing else.
        exchange.options["fetchMarkets"] = {"types": ["swap"]}
    elif venue == "bybit":
        for name in exchange.urls["api"]:
            exchange.urls["api"][name] = base
        exchange.has["fetchCurrencies"] = False  # belongs to the asset service
        exchange.options["fetchMarkets"] = {"types": ["linear"]}
        exchange.options["fetchOrder"] = {"acknowledged": True}
    else:
        exchange.options["fetchCurrencies"] = False  # belongs to the spot service
        for name, url in exchange.urls["api"].items():
            if name.startswith("fapi"):
                exchange.urls["api"][name] = base + "/" + url.split("/", 3)[3]
            else:
                exchange.urls["api"][name] = "http://127.0.0.1:9"  # nothing may be asked of the real venue
    return exchange


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def near(value, expected, relative, what):
    check(abs(value - expected) <= abs(expected) * relative, f"{what}: {value} is not near {expected}")


def refused(kind, call, what, code=""):
    try:
        call()
    except kind as refusal:
        check(code in str(refusal), f"{what}: {refusal} lacks {code}")
        return
    raise AssertionError(f"{what} was not refused as {kind.__name__}")


def check_markets(exchange, symbol):
    markets = exchange.load_markets()
    check(len(markets) >= 2, f"only {list(markets)}")
    market = markets[symbol]
    check(market["swap"] and market["linear"] and market["active"], f"{symbol} is no live linear swap: {market}")
    check(market["settle"] == "USDT" and market["contractSize"] > 0, f"{market}")
    check(market["precision"]["price"] > 0 and market["precision"]["amount"] > 0, f"{market}")
    return market


def check_book(exchange, symbol):
    book = exchange.fetch_order_book(symbol, 20)
    bids, asks = book["bids"], book["asks"]
    check(len(bids) == 20 and len(asks) == 20, f"{len(bids)} bids, {len(asks)} asks")
    check(all(a[0] > b[0] for a, b in zip(bids, bids[1:])), "bids are not falling")
    check(all(a[0] < b[0] for a, b in zip(asks, asks[1:])), "asks are not rising")
    check(bids[0][0] < asks[0][0], "the book is crossed")
    check(all(level[1] > 0 for level in bids + asks), "an empty level")
    near(asks[0][0], bids[0][0], 0.001, "spread")
    return bids[0][0], asks[0][0]


def check_account(exchange, symbol):
    balance = exchange.fetch_balance()["USDT"]
    near(balance["total"], DEPOSIT, 1e-12, "opening balance")
    check(not [p for p in exchange.fetch_positions([symbol]) if p["contracts"]], "a position before any order")
    check(exchange.fetch_open_orders(symbol) == [], "open orders before any order")


def check_settings(exchange, symbol):
    """What Bybit's account service says of a unified account."""
    check(exchange.is_unified_enabled() == [False, True], "not a unified account")
    check(exchange.options["unifiedMarginStatus"] == 5, f"{exchange.options['unifiedMarginStatus']}")
    near(exchange.fetch_trading_fee(symbol)["taker"], TAKER_FEES["bybit"], 1e-12, "taker fee")
    leverage = exchange.fetch_leverage(symbol)
    check(leverage["longLeverage"] == 10 and leverage["shortLeverage"] == 10, f"{leverage}")


def check_cancel_all(exchange, symbol, amount, bid):
    price = float(exchange.price_to_precision(symbol, bid * 0.98))
    placed = [exchange.create_order(symbol, "limit", "buy", amount, price)["id"] for _ in range(3)]
    canceled = sorted(order["id"] for order in exchange.cancel_all_orders(symbol))
    check(canceled == sorted(placed), f"{canceled} were canceled of {placed}")
    check(exchange.fetch_open_orders(symbol) == [], "open after all were canceled")


def check_amendment(exchange, symbol, order, amount, bid):
    """Price and total change; the order stays the same one."""
    price = float(exchange.price_to_precision(symbol, bid * 0.97))
    exchange.edit_order(order["id"], symbol, "limit", "buy", amount, price)
    amended = exchange.fetch_open_orders(symbol)
    check([other["id"] for other in amended] == [order["id"]], f"amended: {amended}")
    check(amended[0]["price"] == price and amended[0]["amount"] == amount, f"not as amended: {amended}")


def check_resting_order(exchange, symbol, amount, bid):
    price = float(exchange.price_to_precision(symbol, bid * 0.98))
    placed = exchange.create_order(symbol, "limit", "buy", amount, price)
    open_orders = exchange.fetch_open_orders(symbol)
    check([order["id"] for order in open_orders] == [placed["id"]], f"open orders: {open_orders}")
    order = open_orders[0]
    check(order["status"] == "open" and order["side"] == "buy" and order["type"] == "limit", f"{order}")
    check(order["price"] == price and order["amount"] == amount and order["filled"] == 0, f"{order}")
    balance = exchange.fetch_balance()["USDT"]
    check(balance["free"] < balance["total"], "a resting order holds no margin")
    check_amendment(exchange, symbol, order, 2 * amount, bid)
    exchange.cancel_order(placed["id"], symbol)
    check(exchange.fetch_open_orders(symbol) == [], "the order is still open after its cancellation")
    check(exchange.fetch_order(placed["id"], symbol)["status"] == "canceled", "not canceled")
    refused(ccxt.OrderNotFound, lambda: exchange.cancel_order(placed["id"], symbol), "canceling twice")
    return placed["id"]


def check_trade(exchange, symbol, market, amount, ask):
    """Buys by IOC, sells by a reduce-only market order; returns both order ids."""
    limit = float(exchange.price_to_precision(symbol, ask * 1.003))
    bought = exchange.create_order(symbol, "limit", "buy", amount, limit, {"timeInForce": "IOC"})
    order = exchange.fetch_order(bought["id"], symbol)
    check(order["status"] == "closed" and order["filled"] == amount and order["remaining"] == 0, f"{order}")
    near(order["average"], ask, 0.004, "average price of the buy")
    positions = [p for p in exchange.fetch_positions([symbol]) if p["contracts"]]
    check(len(positions) == 1, f"{positions}")
    position = positions[0]
    check(position["side"] == "long" and position["contracts"] == amount, f"{position}")
    near(position["entryPrice"], order["average"], 1e-6, "entry price")
    near(position["notional"], amount * market["contractSize"] * position["markPrice"], 1e-3, "notional")
    near(position["markPrice"], order["average"], 0.01, "mark price")
    sold = exchange.create_order(symbol, "market", "sell", amount, None, {"reduceOnly": True})
    order = exchange.fetch_order(sold["id"], symbol)
    check(order["status"] == "closed" and order["filled"] == amount, f"{order}")
    check(not [p for p in exchange.fetch_positions([symbol]) if p["contracts"]], "not flat after the exit")
    trades = exchange.fetch_my_trades(symbol)
    for side in ("buy", "sell"):
        filled = sum(trade["amount"] for trade in trades if trade["side"] == side)
        near(filled, amount, 1e-9, f"{side} trades")
    fees = sum(trade["fee"]["cost"] for trade in trades)
    turnover = 2 * amount * market["contractSize"] * ask
    near(fees, turnover * TAKER_FEES[exchange.id], 0.02, "taker fees")
    return [bought["id"], sold["id"]]


def check_refusals(exchange, venue, base, symbol, market, bid):
    too_much = market["limits"]["amount"]["max"] / 2
    price = float(exchange.price_to_precision(symbol, bid * 0.99))
    # ccxt tells Binance's futures errors from spot ones by the real host name, so here only the code is certain.
    code = {"okx": '"51008"', "binanceusdm": "-2019", "bybit": "110007"}[venue]
    refused(ccxt.ExchangeError, lambda: exchange.create_order(symbol, "limit", "buy", too_much, price), "an unpayable order", code)
    refused(ccxt.OrderNotFound, lambda: exchange.cancel_order("1234567", symbol), "canceling an unknown order")
    forger = client(venue, base, secret="wrong")
    forger.set_markets(exchange.markets, exchange.currencies)
    refused(ccxt.AuthenticationError, forger.fetch_balance, "a wrong signature")


def main(venue, base, symbol, amount):
    exchange = client(venue, base)
    market = check_markets(exchange, symbol)
    bid, ask = check_book(exchange, symbol)
    near(exchange.fetch_ticker(symbol)["last"], bid, 0.01, "last price")
    check_account(exchange, symbol)
    if venue == "bybit":
        check_settings(exchange, symbol)
        check_cancel_all(exchange, symbol, amount, bid)
    canceled = check_resting_order(exchange, symbol, amount, bid)
    bid, ask = check_book(exchange, symbol)
    traded = check_trade(exchange, symbol, market, amount, ask)
    check_refusals(exchange, venue, base, symbol, market, bid)
    balance = exchange.fetch_balance()["USDT"]["total"]
    check(DEPOSIT * 0.99 < balance < DEPOSIT, f"a round trip costs fees and spread: {balance}")
    trades = exchange.fetch_my_trades(symbol)
    print(json.dumps({
        "venue": venue,
        "canceled": canceled,
        "traded": traded,
        "balance": balance,
        "fees": sum(trade["fee"]["cost"] for trade in trades),
        "trade_ids": sorted(trade["id"] for trade in trades),
    }))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4]))
