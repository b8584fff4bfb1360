"""Drives the simulated Binance COIN-M with ccxt; see ccxt_drive.py, whose checks it shares.

Usage: ccxt_coinm.py binancecoinm BASE_URL SYMBOL AMOUNT. What is different here: contracts are worth US dollars, and
margin, profit and fees are in the coin.
"""

import json
import sys

import ccxt

from ccxt_drive import KEYS, check, check_book, near, refused

DEPOSIT = 10.0
TAKER_FEE = 0.0005
# The venue states coins to eight decimals: of 0.008 BTC that is a millionth and more.
ROUNDING = 1e-5


def client(base, **keys):
    exchange = ccxt.binancecoinm({**KEYS, **keys, "enableRateLimit": True, "timeout": 10_000})
    exchange.options["fetchCurrencies"] = False  # belongs to the spot service
    for name, url in exchange.urls["api"].items():
        if name.startswith("dapi"):
            exchange.urls["api"][name] = base + "/" + url.split("/", 3)[3]
        else:
            exchange.urls["api"][name] = "http://127.0.0.1:9"  # nothing may be asked of the real venue
    return exchange


def check_market(exchange, symbol):
    market = exchange.load_markets()[symbol]
    check(market["swap"] and market["inverse"] and market["active"], f"{symbol} is no live inverse swap: {market}")
    check(market["settle"] == market["base"] and market["contractSize"] == 100, f"{market}")
    return market


def held(exchange, symbol):
    return [position for position in exchange.fetch_positions([symbol]) if position["contracts"]]


def check_trade(exchange, symbol, market, amount, ask):
    """Buys by IOC, sells by a reduce-only market order; returns both order ids and the cost of the buy in coins."""
    limit = float(exchange.price_to_precision(symbol, ask * 1.003))
    bought = exchange.create_order(symbol, "limit", "buy", amount, limit, {"timeInForce": "IOC"})
    order = exchange.fetch_order(bought["id"], symbol)
    check(order["status"] == "closed" and order["filled"] == amount, f"{order}")
    near(order["cost"], amount * market["contractSize"] / order["average"], ROUNDING, "cost in coins")
    positions = held(exchange, symbol)
    check(len(positions) == 1 and positions[0]["side"] == "long" and positions[0]["contracts"] == amount, f"{positions}")
    near(positions[0]["entryPrice"], order["average"], ROUNDING, "entry price")
    near(positions[0]["notional"], amount * market["contractSize"] / positions[0]["markPrice"], ROUNDING, "notional in coins")
    sold = exchange.create_order(symbol, "market", "sell", amount, None, {"reduceOnly": True})
    check(exchange.fetch_order(sold["id"], symbol)["status"] == "closed", "the exit is not closed")
    check(held(exchange, symbol) == [], "not flat after the exit")
    return [bought["id"], sold["id"]], order["cost"]


def main(base, symbol, amount):
    exchange = client(base)
    market = check_market(exchange, symbol)
    coin = market["settle"]
    bid, ask = check_book(exchange, symbol)
    near(exchange.fetch_ticker(symbol)["last"], bid, 0.01, "last price")
    near(exchange.fetch_balance()[coin]["total"], DEPOSIT, 1e-12, "opening balance")
    check(held(exchange, symbol) == [], "a position before any order")
    placed = exchange.create_order(symbol, "limit", "buy", amount, float(exchange.price_to_precision(symbol, bid * 0.98)))
    balance = exchange.fetch_balance()[coin]
    check(balance["free"] < balance["total"], "a resting order holds no margin")
    exchange.cancel_order(placed["id"], symbol)
    check(exchange.fetch_order(placed["id"], symbol)["status"] == "canceled", "not canceled")
    refused(ccxt.OrderNotFound, lambda: exchange.cancel_order(placed["id"], symbol), "canceling twice")
    bid, ask = check_book(exchange, symbol)
    traded, cost = check_trade(exchange, symbol, market, amount, ask)
    low = float(exchange.price_to_precision(symbol, bid * 0.99))
    too_much = market["limits"]["amount"]["max"] / 2
    refused(ccxt.ExchangeError, lambda: exchange.create_order(symbol, "limit", "buy", too_much, low), "an unpayable order", "-2019")
    forger = client(base, secret="wrong")
    forger.set_markets(exchange.markets, exchange.currencies)
    refused(ccxt.AuthenticationError, forger.fetch_balance, "a wrong signature")
    trades = exchange.fetch_my_trades(symbol)
    fees = sum(trade["fee"]["cost"] for trade in trades)
    check(all(trade["fee"]["currency"] == coin for trade in trades), "a fee in another currency")
    near(fees, 2 * cost * TAKER_FEE, 0.02, "taker fees")
    balance = exchange.fetch_balance()[coin]["total"]
    check(DEPOSIT * 0.99 < balance < DEPOSIT, f"a round trip costs fees and spread: {balance}")
    print(json.dumps({
        "venue": "binancecoinm",
        "canceled": placed["id"],
        "traded": traded,
        "balance": balance,
        "fees": fees,
        "trade_ids": sorted(trade["id"] for trade in trades),
    }))


if __name__ == "__main__":
    main(sys.argv[2], sys.argv[3], float(sys.argv[4]))
