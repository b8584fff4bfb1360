"""Drives the simulated Hyperliquid with ccxt; see ccxt_drive.py, whose checks it shares.

Usage: ccxt_hyperliquid.py hyperliquid BASE_URL SYMBOL AMOUNT. What is different here: keys are a wallet, prices
have five significant figures, amounts are in USDC, and the venue has neither a maximum size nor market orders.
"""

import json
import sys

import ccxt

from ccxt_drive import check, check_book, near, refused

ADDRESS = "0x61fb9e7583dc92cc76eb52f93d88addaa0f02265"
KEY = "0x0123456789012345678901234567890123456789012345678901234567890123"
DEPOSIT = 100_000.0


def client(base, key, library=ccxt):
    exchange = library.hyperliquid({"walletAddress": ADDRESS, "privateKey": key, "enableRateLimit": False, "timeout": 10_000})
    exchange.urls["api"] = {"public": base, "private": base}
    exchange.options["fetchMarkets"] = {"types": ["swap"]}
    return exchange


def check_market(exchange, symbol):
    markets = exchange.load_markets()
    market = markets[symbol]
    check(market["swap"] and market["linear"] and market["active"], f"{symbol} is no live linear swap: {market}")
    check(market["settle"] == "USDC" and market["contractSize"] == 1, f"{market}")
    gone = [m for m in markets.values() if m["base"].startswith("GONE")]
    check(gone and not any(m["active"] for m in gone), "what is delisted is not active")
    return market


def check_modification(exchange, symbol, order, amount, bid):
    """The venue ends the order and begins another one, with a number of its own; returns that one."""
    price = float(exchange.price_to_precision(symbol, bid * 0.97))
    exchange.edit_order(order["id"], symbol, "limit", "buy", amount, price)
    modified = exchange.fetch_open_orders(symbol)
    check(len(modified) == 1 and modified[0]["id"] != order["id"], f"modified: {modified}")
    check(modified[0]["price"] == price and modified[0]["amount"] == amount, f"not as modified: {modified}")
    check(exchange.fetch_order(order["id"], symbol)["status"] == "canceled", "the old one is not over")
    again = lambda: exchange.edit_order(order["id"], symbol, "limit", "buy", amount, price)
    refused(ccxt.BaseError, again, "modifying what is over", "Cannot modify canceled or filled order")
    return modified[0]


def check_resting_order(exchange, symbol, amount, bid):
    price = float(exchange.price_to_precision(symbol, bid * 0.98))
    placed = exchange.create_order(symbol, "limit", "buy", amount, price)
    open_orders = exchange.fetch_open_orders(symbol)
    check([order["id"] for order in open_orders] == [placed["id"]], f"open orders: {open_orders}")
    order = open_orders[0]
    check(order["status"] == "open" and order["side"] == "buy", f"{order}")
    check(order["price"] == price and order["amount"] == amount and order["filled"] == 0, f"{order}")
    placed = check_modification(exchange, symbol, order, 2 * amount, bid)
    exchange.cancel_order(placed["id"], symbol)
    check(exchange.fetch_open_orders(symbol) == [], "the order is still open after its cancellation")
    check(exchange.fetch_order(placed["id"], symbol)["status"] == "canceled", "not canceled")
    refused(ccxt.OrderNotFound, lambda: exchange.cancel_order(placed["id"], symbol), "canceling twice")
    return placed["id"]


def check_trade(exchange, symbol, amount, ask):
    """Buys by IOC, sells by a reduce-only market order (an IOC with a far limit); returns both order ids."""
    limit = float(exchange.price_to_precision(symbol, ask * 1.003))
    bought = exchange.create_order(symbol, "limit", "buy", amount, limit, {"timeInForce": "IOC"})
    order = exchange.fetch_order(bought["id"], symbol)
    check(order["status"] == "closed" and order["filled"] == amount, f"{order}")
    positions = [p for p in exchange.fetch_positions([symbol]) if p["contracts"]]
    check(len(positions) == 1, f"{positions}")
    position = positions[0]
    check(position["side"] == "long" and position["contracts"] == amount, f"{position}")
    near(position["entryPrice"], ask, 0.004, "entry price")
    near(position["notional"], amount * ask, 0.01, "notional")
    sold = exchange.create_order(symbol, "market", "sell", amount, ask, {"reduceOnly": True, "slippage": "0.03"})
    check(exchange.fetch_order(sold["id"], symbol)["status"] == "closed", "the exit is not closed")
    check(not [p for p in exchange.fetch_positions([symbol]) if p["contracts"]], "not flat after the exit")
    trades = exchange.fetch_my_trades(symbol)
    for side in ("buy", "sell"):
        near(sum(trade["amount"] for trade in trades if trade["side"] == side), amount, 1e-9, f"{side} trades")
    near(sum(trade["fee"]["cost"] for trade in trades), 2 * amount * ask * 0.00045, 0.02, "taker fees")
    return [bought["id"], sold["id"]]


def main(base, symbol, amount):
    exchange = client(base, KEY)
    check_market(exchange, symbol)
    bid, ask = check_book(exchange, symbol)
    near(exchange.fetch_balance()["USDC"]["total"], DEPOSIT, 1e-12, "opening balance")
    check(not [p for p in exchange.fetch_positions([symbol]) if p["contracts"]], "a position before any order")
    canceled = check_resting_order(exchange, symbol, amount, bid)
    bid, ask = check_book(exchange, symbol)
    traded = check_trade(exchange, symbol, amount, ask)
    price = float(exchange.price_to_precision(symbol, bid * 0.99))
    refused(ccxt.InsufficientFunds, lambda: exchange.create_order(symbol, "limit", "buy", 900, price), "an unpayable order")
    forger = client(base, KEY.replace("0123", "4567"))
    forger.set_markets(exchange.markets, exchange.currencies)
    refused(ccxt.InvalidOrder, lambda: forger.create_order(symbol, "limit", "buy", amount, price), "a stranger's signature", "does not exist")
    balance = exchange.fetch_balance()["USDC"]["total"]
    check(DEPOSIT * 0.99 < balance < DEPOSIT, f"a round trip costs fees and spread: {balance}")
    trades = exchange.fetch_my_trades(symbol)
    print(json.dumps({
        "venue": "hyperliquid",
        "canceled": canceled,
        "traded": traded,
        "balance": balance,
        "fees": sum(trade["fee"]["cost"] for trade in trades),
        "trade_ids": sorted(trade["id"] for trade in trades),
    }))


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3], float(sys.argv[4]))
