"""Drives the simulated Deribit with ccxt; see ccxt_drive.py, whose checks it shares.

Usage: ccxt_deribit.py deribit BASE_URL SYMBOL AMOUNT. What is different here: every request is a signed GET, the
wallet is in USDC, positions are counted in coins, a second cancellation is refused as of an order that is not
open, and instruments name no maximum size.
"""

import json
import sys

import ccxt

from ccxt_drive import check, check_amendment, check_book, near, refused

KEYS = {"apiKey": "sim-key", "secret": "sim-secret"}
DEPOSIT = 100_000.0
TAKER_FEE = 0.0005


def client(base, library=ccxt, **keys):
    exchange = library.deribit({**KEYS, **keys, "enableRateLimit": True, "timeout": 10_000})
    exchange.urls["api"] = {"rest": base}
    return exchange


def check_market(exchange, symbol):
    markets = exchange.load_markets()
    check(len(markets) >= 2, f"only {list(markets)}")
    market = markets[symbol]
    check(market["swap"] and market["linear"] and market["active"], f"{symbol} is no live linear swap: {market}")
    check(market["settle"] == "USDC" and market["contractSize"] > 0, f"{market}")
    check(market["precision"]["price"] > 0 and market["precision"]["amount"] > 0, f"{market}")
    near(market["taker"], TAKER_FEE, 1e-12, "taker fee of the instrument")
    for other in markets.values():
        for name in ("base", "quote", "settle"):
            check(other[name] in exchange.currencies, f"{other[name]} of {other['symbol']} is no currency here")
    # The other way to the same list: currency by currency.
    one_by_one = client(exchange.urls["api"]["rest"]).fetch_markets({"fetchAllMarkets": False})
    check(sorted(m["symbol"] for m in one_by_one) == sorted(markets), "lists by currency differ from the whole one")


def held(exchange, symbol):
    return [position for position in exchange.fetch_positions([symbol]) if position["contracts"]]


def check_account(exchange, symbol):
    near(exchange.fetch_balance()["USDC"]["total"], DEPOSIT, 1e-12, "opening balance")
    near(exchange.fetch_balance({"code": "USDC"})["USDC"]["total"], DEPOSIT, 1e-12, "the same by currency")
    check(held(exchange, symbol) == [], "a position before any order")
    check(exchange.fetch_open_orders(symbol) == [], "open orders before any order")


def check_resting_order(exchange, symbol, amount, bid):
    price = float(exchange.price_to_precision(symbol, bid * 0.98))
    placed = exchange.create_order(symbol, "limit", "buy", amount, price, {"postOnly": True})
    open_orders = exchange.fetch_open_orders(symbol)
    check([order["id"] for order in open_orders] == [placed["id"]], f"open orders: {open_orders}")
    order = open_orders[0]
    check(order["status"] == "open" and order["side"] == "buy" and order["type"] == "limit", f"{order}")
    check(order["price"] == price and order["amount"] == amount and order["filled"] == 0, f"{order}")
    check(order["postOnly"] and order["timeInForce"] == "GTC", f"{order}")
    balance = exchange.fetch_balance()["USDC"]
    check(balance["free"] < balance["total"], "a resting order holds no margin")
    check_amendment(exchange, symbol, order, 2 * amount, bid)
    check(exchange.cancel_order(placed["id"], symbol)["status"] == "canceled", "the reply to the cancellation")
    check(exchange.fetch_open_orders(symbol) == [], "the order is still open after its cancellation")
    check(exchange.fetch_order(placed["id"], symbol)["status"] == "canceled", "not canceled")
    refused(ccxt.InvalidOrder, lambda: exchange.cancel_order(placed["id"], symbol), "canceling twice", "11044")
    return placed["id"]


def check_cancel_all(exchange, symbol, amount, bid):
    for below in (0.97, 0.96):
        exchange.create_order(symbol, "limit", "buy", amount, float(exchange.price_to_precision(symbol, bid * below)))
    check(len(exchange.fetch_open_orders(symbol)) == 2, "two orders rest")
    exchange.cancel_all_orders(symbol)
    check(exchange.fetch_open_orders(symbol) == [], "orders are left after all were canceled")


def check_trade(exchange, symbol, amount, ask):
    """Buys by IOC, sells by a reduce-only market order; returns both order ids."""
    limit = float(exchange.price_to_precision(symbol, ask * 1.003))
    bought = exchange.create_order(symbol, "limit", "buy", amount, limit, {"timeInForce": "IOC"})
    near(sum(trade["amount"] for trade in bought["trades"]), amount, 1e-9, "trades in the reply")
    order = exchange.fetch_order(bought["id"], symbol)
    check(order["status"] == "closed" and order["filled"] == amount and order["remaining"] == 0, f"{order}")
    near(order["average"], ask, 0.004, "average price of the buy")
    positions = held(exchange, symbol)
    check(len(positions) == 1, f"{positions}")
    position = positions[0]
    check(position["side"] == "long" and position["contracts"] == amount, f"{position}")
    near(position["entryPrice"], order["average"], 1e-6, "entry price")
    near(position["notional"], amount, 1e-9, "size in coins")
    near(position["markPrice"], order["average"], 0.01, "mark price")
    sold = exchange.create_order(symbol, "market", "sell", amount, None, {"reduceOnly": True})
    order = exchange.fetch_order(sold["id"], symbol)
    check(order["status"] == "closed" and order["filled"] == amount, f"{order}")
    check(held(exchange, symbol) == [], "not flat after the exit")
    refused(
        ccxt.ExchangeError,
        lambda: exchange.create_order(symbol, "market", "sell", amount, None, {"reduceOnly": True}),
        "reducing nothing",
        "11056",
    )
    trades = exchange.fetch_my_trades(symbol, limit=1000)
    for side in ("buy", "sell"):
        near(sum(trade["amount"] for trade in trades if trade["side"] == side), amount, 1e-9, f"{side} trades")
    check(all(trade["fee"]["currency"] == "USDC" for trade in trades), "fees are in USDC")
    near(sum(trade["fee"]["cost"] for trade in trades), 2 * amount * ask * TAKER_FEE, 0.02, "taker fees")
    by_order = exchange.fetch_order_trades(bought["id"], symbol)
    check({trade["order"] for trade in by_order} == {bought["id"]}, f"{by_order}")
    return [bought["id"], sold["id"]]


def check_refusals(exchange, base, symbol, bid):
    price = float(exchange.price_to_precision(symbol, bid * 0.99))
    refused(ccxt.InsufficientFunds, lambda: exchange.create_order(symbol, "limit", "buy", 90, price), "an unpayable order")
    refused(ccxt.OrderNotFound, lambda: exchange.cancel_order("USDC-1234567", symbol), "canceling an unknown order")
    crossing = float(exchange.price_to_precision(symbol, bid * 1.005))
    refused(
        ccxt.InvalidOrder,
        lambda: exchange.create_order(symbol, "limit", "buy", 0.025, crossing, {"postOnly": True}),
        "a post-only order that would take",
        "11054",
    )
    forger = client(base, secret="wrong")
    forger.set_markets(exchange.markets, exchange.currencies)
    refused(ccxt.AuthenticationError, forger.fetch_balance, "a wrong signature")


def main(base, symbol, amount):
    exchange = client(base)
    check_market(exchange, symbol)
    bid, ask = check_book(exchange, symbol)
    ticker = exchange.fetch_ticker(symbol)
    near(ticker["bid"], bid, 0.01, "best bid")
    near(ticker["markPrice"], bid, 0.01, "mark price")
    check_account(exchange, symbol)
    canceled = check_resting_order(exchange, symbol, amount, bid)
    check_cancel_all(exchange, symbol, amount, bid)
    bid, ask = check_book(exchange, symbol)
    traded = check_trade(exchange, symbol, amount, ask)
    check_refusals(exchange, base, symbol, bid)
    balance = exchange.fetch_balance()["USDC"]["total"]
    check(DEPOSIT * 0.99 < balance < DEPOSIT, f"a round trip costs fees and spread: {balance}")
    trades = exchange.fetch_my_trades(symbol, limit=1000)
    print(json.dumps({
        "venue": "deribit",
        "canceled": canceled,
        "traded": traded,
        "balance": balance,
        "fees": sum(trade["fee"]["cost"] for trade in trades),
        "trade_ids": sorted(trade["id"] for trade in trades),
    }))


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3], float(sys.argv[4]))
