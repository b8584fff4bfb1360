"""Plays an npz export in hftbacktest to its end and prints the best bid and ask of the book that it rebuilt.

Arguments: the file, tick size, lot size.
"""
import json
import sys

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data import validate_event_order
from hftbacktest.types import EXCH_EVENT, LOCAL_EVENT, event_dtype

path, tick, lot = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
data = np.load(path)["data"]
assert data.dtype == event_dtype, data.dtype
validate_event_order(data)
asset = (
    BacktestAsset()
    .data([path])
    .linear_asset(1.0)
    .constant_order_latency(0, 0)
    .risk_adverse_queue_model()
    .no_partial_fill_exchange()
    .trading_value_fee_model(0.0, 0.0)
    .tick_size(tick)
    .lot_size(lot)
)
backtest = HashMapMarketDepthBacktest([asset])
begin, end = int(data["local_ts"].min()), int(data["local_ts"].max())
steps = 0
while backtest.elapse(100_000_000) == 0:
    steps += 1
depth = backtest.depth(0)
print(json.dumps({
    "rows": len(data),
    "exchange": int(((data["ev"] & EXCH_EVENT) != 0).sum()),
    "local": int(((data["ev"] & LOCAL_EVENT) != 0).sum()),
    "steps": steps,
    "span_ns": end - begin,
    "bid_tick": int(depth.best_bid_tick),
    "ask_tick": int(depth.best_ask_tick),
    "bid_qty": float(depth.bid_qty_at_tick(depth.best_bid_tick)),
    "ask_qty": float(depth.ask_qty_at_tick(depth.best_ask_tick)),
}))
