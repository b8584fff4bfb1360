"""An independent reading of recorded Binance-family feeds: what `perpring import` reports, computed anew.

Shares no code with the engine: the standard library only. Reads captures of the hftbacktest collector
(`<receive ns> <frame>`, gzip), rebuilds each book by the venue's sequence rule, lays the best bid and offer over it
as docs/IMPORT.md says, and computes edges, episodes and clock offsets.

usage: import_oracle.py NAME:KIND:MULTIPLIER:STEP:FEE_BPS=FILE NAME:…=FILE   (KIND: linear or inverse)
"""

import bisect
import collections
import gzip
import heapq
import json
import sys

NOTIONAL = 1000.0
ALLOWANCE = 0.5
THRESHOLD = 1.0
SAMPLE_NS = 100_000_000
SAMPLES = 101
SAMPLES_MIN = 31
AGE_MAX_NS = 1_000_000_000
# The engine rounds every term against itself, by less than this in all: an edge of nothing is not above it.
ROUNDING = 5e-5
SURVIVAL_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000]


class Book:
    """One contract: depth by the sequence rule, best bid and offer laid over it."""

    def __init__(self, name, kind, multiplier, step, fee):
        self.name, self.kind = name, kind
        self.multiplier, self.step, self.fee = float(multiplier), float(step), float(fee)
        self.bids, self.asks = {}, {}
        self.best = None
        self.update, self.live, self.gaps = 0, False, 0
        self.waiting = []
        self.bbo = None
        self.heard = None

    def levels(self, bids, asks):
        for side, rows in ((self.bids, bids), (self.asks, asks)):
            for price, qty in rows:
                price, qty = float(price), float(qty)
                if qty == 0:
                    side.pop(price, None)
                else:
                    side[price] = qty
        self.best = None

    def snapshot(self, message):
        if self.live:
            return
        self.bids.clear()
        self.asks.clear()
        self.levels(message["bids"], message["asks"])
        self.update, self.live = message["lastUpdateId"], True
        first = True
        for event in self.waiting:
            if event["u"] < self.update:
                continue
            if first and event["U"] > self.update:
                raise SystemExit(self.name + ": the snapshot is older than what is buffered")
            first = False
            self.levels(event["b"], event["a"])
            self.update = event["u"]
        self.waiting = []
        self.joined = not first

    def difference(self, event):
        if not self.live:
            self.waiting.append(event)
            return
        if event["u"] < self.update:
            return
        if self.joined and event["pu"] != self.update:
            self.live, self.bbo = False, None
            self.gaps += 1
            self.waiting = [event]
            return
        self.joined = True
        self.levels(event["b"], event["a"])
        self.update = event["u"]

    def ticker(self, event):
        if self.bbo and event["u"] < self.bbo[0]:
            return
        self.bbo = (event["u"], float(event["b"]), float(event["B"]), float(event["a"]), float(event["A"]))

    def touch(self):
        """(bid, quantity, ask, quantity), or None."""
        if not self.live:
            return None
        if self.bbo and self.bbo[0] >= self.update:
            return self.bbo[1:]
        if self.best is None:
            self.best = (max(self.bids, default=None), min(self.asks, default=None))
        bid, ask = self.best
        if bid is None or ask is None:
            return None
        return bid, self.bids[bid], ask, self.asks[ask]

    def size(self, mid):
        """Contracts worth the notional, in whole steps."""
        unit = self.step * self.multiplier * (mid if self.kind == "linear" else 1.0)
        return int(NOTIONAL / unit + 1e-9) * self.step

    def take(self, side, touch, need):
        """Average price of taking `need`, or None."""
        top, there = (touch[2], touch[3]) if side == "buy" else (touch[0], touch[1])
        if need <= there + 1e-12:
            return top, top
        left, cost = need - there, top * there
        ladder = self.asks if side == "buy" else self.bids
        behind = heapq.nsmallest if side == "buy" else heapq.nlargest
        worse = [price for price in ladder if (price > top if side == "buy" else price < top)]
        for price in behind(512, worse):
            part = min(left, ladder[price])
            cost += price * part
            left -= part
            if left <= 1e-12:
                return top, cost / need
        return None


class Episodes:
    def __init__(self):
        self.since, self.lengths, self.open = None, [], 0

    def on(self, holds, now, until):
        if holds and self.since is None:
            self.since = now
        elif not holds and self.since is not None:
            self.lengths.append(max(0, min(now, until) - self.since))
            self.since = None

    def finish(self, now):
        if self.since is not None:
            self.open += 1
            self.on(False, now, now)

    def report(self):
        count = len(self.lengths)
        lengths = sorted(self.lengths)
        out = {"count": count, "open_at_end": self.open, "total_ms": sum(lengths) / 1e6, "length_ms": {}}
        if count:
            out["length_ms"] = {name: rank(lengths, at) / 1e6 for name, at in (("p50", 500), ("p90", 900), ("p99", 990))}
            out["length_ms"]["max"] = lengths[-1] / 1e6
        alive = lambda ms: sum(1 for length in lengths if length >= ms * 1_000_000)
        out["survival"] = [[ms, alive(ms) / max(count, 1)] for ms in SURVIVAL_MS]
        return out


def rank(ordered, per_mille):
    """Nearest rank."""
    return ordered[max(-(-len(ordered) * per_mille // 1000), 1) - 1]


class Window:
    """The last samples, ordered."""

    def __init__(self):
        self.ring, self.ordered = collections.deque(), []

    def push(self, value):
        if len(self.ring) == SAMPLES:
            del self.ordered[bisect.bisect_left(self.ordered, self.ring.popleft())]
        self.ring.append(value)
        bisect.insort(self.ordered, value)

    def median(self):
        return self.ordered[(len(self.ordered) - 1) // 2]


class Way:
    def __init__(self):
        self.edges = []
        self.episodes = {"before_fees": Episodes(), "zero": Episodes(), "threshold": Episodes()}


def lines(place, path):
    last = 0
    with gzip.open(path, "rt") as source:
        for line in source:
            time, _, text = line.partition(" ")
            last = max(last, int(time))
            yield last, place, text


def main(arguments):
    books, feeds, offsets, frames = [], [], [], []
    for place, argument in enumerate(arguments):
        head, path = argument.split("=", 1)
        books.append(Book(*head.split(":")))
        feeds.append(lines(place, path))
        offsets.append([])
        frames.append(0)
    a, b = books
    fees = 2 * (a.fee + b.fee)
    ways, window = [Way(), Way()], Window()
    sample_at, sampled, now = None, None, 0

    def fresh(at):
        return a.heard is not None and b.heard is not None and at <= min(a.heard, b.heard) + AGE_MAX_NS

    def sides():
        touches = a.touch(), b.touch()
        if None in touches or any(touch[0] >= touch[2] for touch in touches):
            return None
        return touches

    for now, place, text in heapq.merge(*feeds, key=lambda entry: entry[:2]):
        sample_at = now if sample_at is None else sample_at
        while sample_at <= now:
            touches = sides()
            if touches and fresh(sample_at):
                if sampled is not None and sample_at - sampled > SAMPLES * SAMPLE_NS:
                    window = Window()
                sampled = sample_at
                mids = [(touch[0] + touch[2]) / 2 for touch in touches]
                window.push((mids[1] - mids[0]) / ((mids[0] + mids[1]) / 2) * 1e4)
            sample_at += SAMPLE_NS
        book, message = books[place], json.loads(text)
        event = message.get("data", message)
        kind = event.get("e")
        if "lastUpdateId" in event:
            book.snapshot(event)
        else:
            frames[place] += 1
            offsets[place].append(now - (event.get("T") or event["E"]) * 1_000_000)
            if kind == "depthUpdate":
                book.difference(event)
            elif kind == "bookTicker":
                book.ticker(event)
            else:
                continue
        book.heard = now
        until = min(x.heard if x.heard is not None else -(1 << 62) for x in books) + AGE_MAX_NS
        touches = sides() if fresh(now) else None
        priced = None
        if touches and len(window.ordered) >= SAMPLES_MIN:
            mids = [(touch[0] + touch[2]) / 2 for touch in touches]
            sizes = [x.size(mid) for x, mid in zip(books, mids)]
            if all(size > 0 for size in sizes):
                half = sum((t[2] - t[0]) / (t[2] + t[0]) * 1e4 for t in touches)
                priced = mids, sizes, half
        for way, study in enumerate(ways):
            edge = None
            if priced:
                mids, sizes, half = priced
                mid = (mids[0] + mids[1]) / 2
                buy = books[way].take("buy", touches[way], sizes[way])
                sell = books[1 - way].take("sell", touches[1 - way], sizes[1 - way])
                if buy and sell:
                    slip = ((buy[1] - buy[0]) + (sell[0] - sell[1])) / mid * 1e4
                    basis = window.median() * (1 if way == 0 else -1)
                    edge = (sell[1] - buy[1]) / mid * 1e4 - basis - fees - half - slip - ALLOWANCE
            if edge is not None:
                study.edges.append(edge)
            for name, level in (("before_fees", -fees - ALLOWANCE), ("zero", 0.0)):
                study.episodes[name].on(edge is not None and edge > level + ROUNDING, now, until)
            study.episodes["threshold"].on(edge is not None and edge >= THRESHOLD, now, until)

    pairs = []
    for way, study in enumerate(ways):
        for episodes in study.episodes.values():
            episodes.finish(now)
        edges = sorted(study.edges)
        told = {}
        if edges:
            told = {"min": edges[0], "max": edges[-1], "mean": sum(edges) / len(edges)}
            for name, at in (("p0.1", 1), ("p1", 10), ("p10", 100), ("p25", 250), ("p50", 500), ("p75", 750),
                             ("p90", 900), ("p99", 990), ("p99.9", 999)):
                told[name] = rank(edges, at)
        pairs.append({
            "buy": books[way].name, "sell": books[1 - way].name, "evaluations": len(edges), "edge_bps": told,
            "episodes": {name: episodes.report() for name, episodes in study.episodes.items()},
        })
    venues = []
    for book, own, count in zip(books, offsets, frames):
        own.sort()
        venues.append({"name": book.name, "frames": count, "gaps": book.gaps,
                       "clock_offset_ms": {"min": own[0] / 1e6, "median": rank(own, 500) / 1e6, "max": own[-1] / 1e6}})
    print(json.dumps({"venues": venues, "pairs": pairs}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
