"""Follows a simulated venue with ccxt.pro, the WebSocket half of a client that nobody here wrote.

Usage: ccxt_pro.py VENUE HTTP_URL WS_URL SYMBOL AMOUNT. Watches book, best prices and trades and compares them with what
the venue says over HTTP; places, cancels and fills orders and finds each of them on the account's streams. Any failed
check is an uncaught exception. Prints one JSON object.
"""

import asyncio
import json
import sys

import ccxt.pro

import ccxt_deribit
import ccxt_drive
import ccxt_hyperliquid
from ccxt_drive import check, near

WITHIN_S = 20
UPDATES = 12


def client(venue, http, ws):
    if venue == "deribit":
        exchange = ccxt_deribit.client(http, ccxt.pro)
        exchange.urls["api"]["ws"] = ws + "/ws/api/v2"
    elif venue == "hyperliquid":
        exchange = ccxt_hyperliquid.client(http, ccxt_hyperliquid.KEY, ccxt.pro)
        exchange.urls["api"]["ws"] = {"public": ws + "/ws"}
    else:
        exchange = ccxt_drive.client(venue, http, ccxt.pro)
        if venue == "okx":
            exchange.urls["api"]["ws"] = ws + "/ws/v5"
        elif venue == "bybit":
            exchange.options["defaultType"] = "swap"  # symbols of the streams do not tell
            public = {"linear": ws + "/v5/public/linear"}
            exchange.urls["api"]["ws"] = {"public": public, "private": {"contract": ws + "/v5/private"}}
        else:
            exchange.urls["api"]["ws"] = {"linear": ws + "/ws", "ws-api": {"linear": ws + "/ws-fapi/v1"}}
            exchange.options["watchTrades"] = {"name": "aggTrade"}
    return exchange


async def soon(awaitable, what):
    try:
        return await asyncio.wait_for(awaitable, WITHIN_S)
    except asyncio.TimeoutError:
        raise AssertionError(f"{what}: nothing within {WITHIN_S} s") from None


def touch(book):
    bids, asks = book["bids"], book["asks"]
    check(bids and asks, "a side of the book is empty")
    check(all(a[0] > b[0] for a, b in zip(bids, bids[1:])), "bids are not falling")
    check(all(a[0] < b[0] for a, b in zip(asks, asks[1:])), "asks are not rising")
    check(bids[0][0] < asks[0][0], f"the book is crossed: {bids[0]} {asks[0]}")
    check(all(level[1] > 0 for level in bids + asks), "an empty level")
    return bids[0][0], asks[0][0]


async def check_book(exchange, symbol):
    """The book that updates built is a book of the venue's: at the same instant over HTTP, its prices are near."""
    for _ in range(UPDATES):
        book = await soon(exchange.watch_order_book(symbol), "order book")
        touch(book)
    bid, ask = touch(await exchange.fetch_order_book(symbol))
    book = await soon(exchange.watch_order_book(symbol), "order book")
    near(touch(book)[0], bid, 0.002, "best bid of the stream")
    return ask


async def check_trades(exchange, symbol, ask):
    seen = await soon(exchange.watch_trades(symbol), "trades")
    check(seen, "no trade")
    for trade in seen:
        near(trade["price"], ask, 0.02, "price of a trade")
        check(trade["amount"] > 0 and trade["side"] in ("buy", "sell"), f"{trade}")


class Orders:
    """What the account's stream says of orders, by id."""

    def __init__(self, exchange, symbol, params):
        self.seen = {}
        self.changed = asyncio.Event()
        self.task = asyncio.create_task(self.follow(exchange, symbol, params))

    async def follow(self, exchange, symbol, params):
        while True:
            for order in await exchange.watch_orders(symbol, params=params):
                self.seen.setdefault(order["id"], []).append((order["status"], order["filled"]))
            self.changed.set()

    async def told(self, order_id, status=None):
        while not any(status in (None, said) for said, _ in self.seen.get(order_id, [])):
            if self.task.done():
                self.task.result()
            self.changed.clear()
            await self.changed.wait()

    async def until(self, order_id, status):
        await soon(self.told(order_id, status), f"{order_id} {status}; seen {self.seen}")
        return self.seen[order_id]


async def first_told(exchange, orders, symbol, amount, price):
    """A resting order that the stream tells of: those placed before its subscription stood are canceled."""
    while True:
        order = await exchange.create_order(symbol, "limit", "buy", amount, price)
        try:
            await asyncio.wait_for(orders.told(order["id"]), 1)
            return order
        except asyncio.TimeoutError:
            await exchange.cancel_order(order["id"], symbol)


async def check_orders(exchange, venue, symbol, amount, ask):
    params = {"kind": "future"} if venue == "deribit" else {}
    orders = Orders(exchange, symbol, params)
    fills = asyncio.create_task(exchange.watch_my_trades(symbol, params=params))
    low = float(exchange.price_to_precision(symbol, ask * 0.98))
    resting = await soon(first_told(exchange, orders, symbol, amount, low), "an order on the stream")
    await orders.until(resting["id"], "open")
    await exchange.cancel_order(resting["id"], symbol)
    said = await orders.until(resting["id"], "canceled")
    check(all(not filled for _, filled in said), f"a canceled order filled: {said}")
    high = float(exchange.price_to_precision(symbol, ask * 1.003))
    bought = await exchange.create_order(symbol, "limit", "buy", amount, high, {"timeInForce": "IOC"})
    said = await orders.until(bought["id"], "closed")
    near(said[-1][1], amount, 1e-9, "filled by the stream")
    trades = await soon(fills, "own trades")
    check(trades and all(trade["order"] == bought["id"] for trade in trades), f"{trades}")
    # There a market order is a limit this far from a price; by itself 5 %, at the edge of what the venue takes.
    exit_price, more = (ask, {"slippage": "0.02"}) if venue == "hyperliquid" else (None, {})
    sold = await exchange.create_order(symbol, "market", "sell", amount, exit_price, {"reduceOnly": True, **more})
    await orders.until(sold["id"], "closed")
    orders.task.cancel()
    return [resting["id"], bought["id"], sold["id"]]


async def main(venue, http, ws, symbol, amount):
    exchange = client(venue, http, ws)
    try:
        await exchange.load_markets()
        ask = await check_book(exchange, symbol)
        await check_trades(exchange, symbol, ask)
        orders = await check_orders(exchange, venue, symbol, amount, ask)
    finally:
        await exchange.close()
    print(json.dumps({"venue": venue, "orders": orders}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:5], float(sys.argv[5])))
