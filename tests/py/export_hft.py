"""Plays npz exports in hftbacktest to their end and prints the best bid and ask of the books that it rebuilt.

Arguments: file, tick size and lot size, again and again.
"""
import json
import sys

import numpy as np
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data import validate_event_order
from hftbacktest.types import EXCH_EVENT, LOCAL_EVENT, event_dtype


def play(path, tick, lot):
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
        .tick_size(float(tick))
        .lot_size(float(lot))
    )
    backtest = HashMapMarketDepthBacktest([asset])
    steps = 0
    while backtest.elapse(100_000_000) == 0:
        steps += 1
    depth = backtest.depth(0)
    return {
        "rows": len(data),
        "exchange": int(((data["ev"] & EXCH_EVENT) != 0).sum()),
        "local": int(((data["ev"] & LOCAL_EVENT) != 0).sum()),
        "steps": steps,
        "bid_tick": int(depth.best_bid_tick),
        "ask_tick": int(depth.best_ask_tick),
        "bid_qty": float(depth.bid_qty_at_tick(depth.best_bid_tick)),
        "ask_qty": float(depth.ask_qty_at_tick(depth.best_ask_tick)),
    }


# One process for all files: it compiles itself first, which takes longer than playing.
arguments = sys.argv[1:]
print(json.dumps([play(*arguments[at : at + 3]) for at in range(0, len(arguments), 3)]))
