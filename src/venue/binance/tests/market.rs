//! Market data: subscriptions, books, gaps, quarantine, reconnects.

use super::*;

pub(super) fn diff(symbol: &str, first: u64, last: u64, prev: i64, bids: &str) -> String {
    format!(
        r#"{{"e":"depthUpdate","E":5,"T":4,"s":"{symbol}","U":{first},"u":{last},"pu":{prev},"b":[{bids}],"a":[],"st":1}}"#
    )
}

pub(super) fn snapshot(last: u64) -> String {
    format!(
        r#"{{"lastUpdateId":{last},"E":3,"T":2,"bids":[["100.00","1.000"],["99.90","2.000"]],"asks":[["100.10","3.000"]]}}"#
    )
}

/// A running rig whose first instrument's book is live at id 110.
fn live() -> Rig {
    let mut rig = Rig::running(false);
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 101, 105, 90, r#"["100.00","5.000"]"#));
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 108, 110, 105, r#"["99.90","0.000"]"#));
    let requests = rig.wait(100 * MILLI).http(op::DEPTH);
    let (id, call) = requests[0];
    assert_eq!(call.instrument, Some(InstrumentId(10)));
    rig.http(id, 200, &snapshot(105));
    rig
}

#[test]
fn the_start_asks_for_metadata_and_connections_and_subscribes_what_is_defined() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(rig.at(), &mut rig.out);
    let seen = rig.take();
    assert_eq!(seen.connects(), [(0, None), (1, None)]);
    assert_eq!((seen.http(op::EXCHANGE_INFO).len(), seen.http(op::FUNDING_INFO).len()), (1, 1));
    let info = r#"{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","filters":[
        {"filterType":"PRICE_FILTER","tickSize":"0.10"},{"filterType":"LOT_SIZE","stepSize":"0.001","minQty":"0.001","maxQty":"1000"},
        {"filterType":"MIN_NOTIONAL","notional":"100"}]}]}"#;
    let id = seen.http(op::EXCHANGE_INFO)[0].0;
    rig.http(id, 200, info);
    let seen = rig.take();
    assert_eq!(seen.odds(), [OddKind::UnknownSymbol], "ETHUSDT is not listed");
    let Some(Emit::Spec(spec)) = seen.0.iter().find(|item| matches!(item, Emit::Spec(_))) else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (spec.instrument, spec.tick, spec.status),
        (InstrumentId(10), Num::new(1, 1), Status::Trading)
    );
    // The same again after the period says nothing new.
    let seen = rig.wait(1801 * SECOND);
    rig.http(seen.http(op::EXCHANGE_INFO)[0].0, 200, info);
    assert!(!rig.take().0.iter().any(|item| matches!(item, Emit::Spec(_))));
    // Nothing is subscribed before a definition, and everything defined in one message per connection.
    rig.up(conn::PUBLIC);
    rig.up(conn::MARKET);
    assert!(rig.wait(SECOND).batches().is_empty());
    rig.adapter.on_instrument(&instrument(0), rig.at(), &mut rig.out);
    rig.adapter.on_instrument(&instrument(1), rig.at(), &mut rig.out);
    let batches = rig.wait(SECOND).batches();
    assert_eq!(batches.iter().map(|(conn, batch)| (*conn, batch.mask)).collect::<Vec<_>>(), [(0, 3), (1, 3)]);
    rig.frame(0, &format!(r#"{{"result":null,"id":{}}}"#, batches[0].1.request));
    let seen = rig.take();
    assert_eq!(seen.books().len(), 2);
    assert!(seen.sessions().is_empty());
    rig.frame(1, &format!(r#"{{"result":null,"id":{}}}"#, batches[1].1.request));
    assert_eq!(rig.take().sessions(), [(SessionRole::Market, true)]);
}

#[test]
fn a_snapshot_and_what_was_buffered_make_the_book_live() {
    let mut rig = live();
    let seen = rig.take();
    let chunks: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| if let EventBody::Levels(chunk) = event { Some(chunk) } else { None })
        .collect();
    // Snapshot, then 101..105 (contains 105) and 108..110.
    assert_eq!(
        chunks.iter().map(|c| (c.clear, c.last, c.bids, c.asks, c.update_id)).collect::<Vec<_>>(),
        [(true, true, 2, 1, 105), (false, true, 1, 0, 105), (false, true, 1, 0, 110)]
    );
    assert_eq!(chunks[0].levels[0], (Price(1_000_000), Qty(1000)));
    assert_eq!(chunks[0].levels[2], (Price(1_001_000), Qty(3000)));
    assert_eq!(chunks[0].venue_ns, 2 * MILLI);
    assert_eq!(seen.books().last(), Some(&(10, BookState::Live, BookReason::Sync)));
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 112, 115, 110, ""));
    let seen = rig.take();
    let [EventBody::Levels(chunk)] = seen.events()[..] else { panic!("{seen:?}") };
    assert_eq!((chunk.update_id, chunk.bids, chunk.last), (115, 0, true));
}

#[test]
fn long_messages_are_chunks_of_eight() {
    let mut rig = live();
    rig.take();
    let bids: Vec<String> = (0..20).map(|i| format!(r#"["{}.0","1"]"#, 50 + i)).collect();
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 112, 115, 110, &bids.join(",")));
    let seen = rig.take();
    let chunks: Vec<_> = seen
        .events()
        .into_iter()
        .filter_map(|event| if let EventBody::Levels(c) = event { Some((c.bids, c.last)) } else { None })
        .collect();
    assert_eq!(chunks, [(8, false), (8, false), (4, true)]);
}

#[test]
fn a_gap_resyncs_that_instrument_alone() {
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 120, 125, 119, r#"["1.0","1.000"]"#));
    let seen = rig.take();
    assert_eq!(seen.books(), [(10, BookState::Invalid, BookReason::Gap)]);
    assert!(!seen.events().iter().any(|event| matches!(event, EventBody::Levels(_))));
    let requests = rig.wait(2 * SECOND).http(op::DEPTH);
    let own: Vec<_> = requests.iter().filter(|(_, call)| call.instrument == Some(InstrumentId(10))).collect();
    assert_eq!(own.len(), 1);
    // A snapshot that is older than what is buffered is asked for again.
    rig.http(own[0].0, 200, &snapshot(111));
    assert!(rig.take().books().is_empty());
    let requests = rig.wait(2 * SECOND).http(op::DEPTH);
    let (id, _) = requests.iter().find(|(_, call)| call.instrument == Some(InstrumentId(10))).unwrap();
    rig.http(*id, 200, &snapshot(122));
    assert_eq!(rig.take().books(), [(10, BookState::Live, BookReason::Sync)]);
}

#[test]
fn failed_snapshots_are_asked_for_again_with_growing_pauses() {
    let mut rig = Rig::running(false);
    rig.take();
    let mut times = Vec::new();
    for _ in 0..4000 {
        let seen = rig.wait(10 * MILLI);
        for (id, call) in seen.http(op::DEPTH) {
            if call.instrument == Some(InstrumentId(10)) {
                times.push(rig.now);
            }
            rig.http(id, 503, "{}");
        }
    }
    let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 4 && pauses.windows(2).all(|pair| pair[1] >= pair[0]), "{pauses:?}");
    // A rate limit stops every request for a while.
    let mut rig = Rig::running(false);
    let (id, _) = rig.wait(3 * SECOND).http(op::DEPTH)[0];
    rig.http(id, 429, "{}");
    assert!(rig.wait(9 * SECOND).http(op::DEPTH).is_empty());
    assert!(!rig.wait(3 * SECOND).http(op::DEPTH).is_empty());
}

#[test]
fn broken_frames_void_the_book_that_they_name_or_all() {
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, r#"{"e":"depthUpdate","s":"ETHUSDT","U":1,"u":"#);
    let seen = rig.take();
    assert_eq!((seen.odds(), seen.books()), (vec![OddKind::Malformed], vec![]));
    for broken in [
        r#"{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":112,"u":115,"pu":110,"b":[["x","1"]],"a":[]}"#,
        r#"{"e":"depthUpdate","E":5,"T":4,"s":"BTCUSDT","U":116,"u":115,"pu":110,"b":[],"a":[]}"#,
        "\u{1}\u{2}garbage",
        "",
    ] {
        let mut rig = live();
        rig.take();
        rig.frame(conn::PUBLIC, broken);
        let seen = rig.take();
        assert_eq!(seen.odds(), [OddKind::Malformed], "{broken}");
        assert_eq!(seen.books(), [(10, BookState::Invalid, BookReason::Malformed)], "{broken}");
    }
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, r#"{"e":"newThing","s":"BTCUSDT"}"#);
    rig.frame(
        conn::PUBLIC,
        r#"{"e":"bookTicker","u":1,"s":"XYZUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
    );
    let seen = rig.take();
    assert_eq!((seen.odds(), seen.books()), (vec![OddKind::Unknown, OddKind::UnknownSymbol], vec![]));
}

#[test]
fn numbers_that_do_not_fit_the_scale_quarantine_until_a_new_generation() {
    let mut rig = live();
    rig.take();
    rig.frame(conn::PUBLIC, &diff("BTCUSDT", 112, 115, 110, r#"["100.00001","1.000"]"#));
    let seen = rig.take();
    assert_eq!(seen.odds(), [OddKind::Inexact]);
    assert_eq!(seen.books(), [(10, BookState::Invalid, BookReason::Malformed)]);
    rig.frame(
        conn::PUBLIC,
        r#"{"e":"bookTicker","u":120,"s":"BTCUSDT","b":"100.0","B":"1","a":"100.1","A":"1","T":1,"E":1}"#,
    );
    assert!(rig.take().0.is_empty(), "nothing of a quarantined instrument is served");
    assert_eq!(rig.wait(31 * SECOND).http(op::EXCHANGE_INFO).len(), 1, "metadata is read again");
    rig.adapter.on_instrument(
        &Instrument { generation: 2, price_scale: 6, ..instrument(0) },
        rig.at(),
        &mut rig.out,
    );
    assert_eq!(rig.take().books(), [(10, BookState::AwaitSnapshot, BookReason::Sync)]);
    rig.frame(
        conn::PUBLIC,
        r#"{"e":"bookTicker","u":120,"s":"BTCUSDT","b":"100.00001","B":"1","a":"100.1","A":"1","T":1,"E":1}"#,
    );
    let seen = rig.take();
    let [EventBody::Bbo(bbo)] = seen.events()[..] else { panic!("{seen:?}") };
    assert_eq!((bbo.bid, bbo.bid_qty, bbo.update_id), (Price(100_000_010), Qty(1000), 120));
}

#[test]
fn trades_and_marks_are_normalised() {
    let mut rig = live();
    rig.take();
    let m = conn::MARKET;
    rig.frame(m, r#"{"e":"aggTrade","E":9,"a":7,"s":"BTCUSDT","p":"100.1","q":"0.02","nq":"0.02","f":1,"l":2,"T":8,"m":false,"st":1}"#);
    rig.frame(m, r#"{"e":"aggTrade","E":9,"a":8,"s":"BTCUSDT","p":"0","q":"0","f":1,"l":2,"T":8,"m":true}"#);
    rig.frame(m, r#"{"e":"markPriceUpdate","E":1790755199000,"s":"BTCUSDT","p":"83259.61836957","P":"1","i":"83301.3126087","r":"-0.00000189","T":1790755200000}"#);
    let seen = rig.take();
    let [EventBody::Trade(trade), EventBody::Mark(mark)] = seen.events()[..] else { panic!("{seen:?}") };
    assert_eq!(
        (trade.price, trade.qty, trade.aggressor, trade.id),
        (Price(1_001_000), Qty(20), Side::Buy, 7)
    );
    assert_eq!(mark.rate.unwrap().to_string(), "-0.00000189");
    assert_eq!((mark.funding_ns, mark.interval_ns), (1_790_755_200 * SECOND, 8 * 3600 * SECOND));
    assert!(seen.odds().is_empty());
}

#[test]
fn a_lost_connection_voids_the_books_and_comes_back_with_pauses() {
    let mut rig = live();
    rig.take();
    rig.down(conn::PUBLIC);
    let seen = rig.take();
    assert_eq!(
        seen.books(),
        [
            (10, BookState::Invalid, BookReason::Disconnected),
            (11, BookState::Invalid, BookReason::Disconnected)
        ]
    );
    assert_eq!(seen.sessions(), [(SessionRole::Market, false)]);
    assert_eq!(rig.wait(SECOND).connects(), [(0, None)]);
    rig.up(conn::PUBLIC);
    let batches = rig.wait(SECOND).batches();
    assert_eq!(batches.len(), 1);
    rig.frame(conn::PUBLIC, &format!(r#"{{"result":null,"id":{}}}"#, batches[0].1.request));
    let seen = rig.take();
    assert_eq!(seen.sessions(), [(SessionRole::Market, true)]);
    assert_eq!(seen.books().len(), 2);
}

#[test]
fn silence_after_an_acknowledgement_and_old_age_mean_a_new_connection() {
    let mut rig = Rig::running(false);
    rig.take();
    let mut closed = Vec::new();
    for _ in 0..30 {
        // The public connection talks, the other one is silent.
        rig.frame(
            conn::PUBLIC,
            r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
        );
        closed.extend(rig.wait(SECOND).closes());
    }
    assert_eq!(closed, [1]);

    let mut rig = Rig::running(false);
    rig.take();
    let mut closed = Vec::new();
    for _ in 0..24 * 360 {
        for (conn, event) in [
            (
                conn::PUBLIC,
                r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
            ),
            (
                conn::MARKET,
                r#"{"e":"aggTrade","E":9,"a":7,"s":"BTCUSDT","p":"100.1","q":"0.02","f":1,"l":2,"T":8,"m":false}"#,
            ),
        ] {
            rig.frame(conn, event);
        }
        rig.now += 10 * SECOND;
        rig.adapter.on_tick(rig.at(), &mut rig.out);
        closed.extend(rig.take().closes());
    }
    closed.sort_unstable();
    assert_eq!(closed, [0, 1], "each once, before 24 h");
}

#[test]
fn a_silent_stream_is_asked_for_again_without_losing_readiness() {
    let mut rig = Rig::running(false);
    rig.take();
    let mut asked = Vec::new();
    for _ in 0..130 {
        for (conn, text) in [
            (
                conn::PUBLIC,
                r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
            ),
            (
                conn::MARKET,
                r#"{"e":"aggTrade","E":9,"a":7,"s":"BTCUSDT","p":"100.1","q":"0.02","f":1,"l":2,"T":8,"m":false}"#,
            ),
        ] {
            rig.frame(conn, text);
        }
        let seen = rig.wait(SECOND);
        assert!(seen.sessions().is_empty() && seen.closes().is_empty(), "{seen:?}");
        for (conn, batch) in seen.batches() {
            asked.push((conn, batch.listings().collect::<Vec<_>>()));
            rig.frame(conn, &format!(r#"{{"result":null,"id":{}}}"#, batch.request));
        }
    }
    assert_eq!(asked, [(0, vec![1]), (1, vec![1])], "only the silent listing, and patience doubles");
}

#[test]
fn extras_do_not_hide_that_a_core_stream_is_silent() {
    for (core, beside) in [
        (conn::MARKET, r#"{"e":"24hrTicker","E":9,"s":"BTCUSDT","c":"100.1","b":"100.0","a":"100.2"}"#),
        (
            conn::MARKET,
            r#"{"e":"forceOrder","E":9,"o":{"s":"BTCUSDT","S":"SELL","o":"LIMIT","f":"IOC","q":"0.014","p":"99.10","ap":"99.10","X":"FILLED","l":"0.014","z":"0.014","T":9}}"#,
        ),
    ] {
        let mut rig = Rig::running(false);
        rig.take();
        let mut closed = Vec::new();
        for _ in 0..30 {
            rig.frame(
                conn::PUBLIC,
                r#"{"e":"bookTicker","u":1,"s":"BTCUSDT","b":"1","B":"1","a":"2","A":"1","T":1,"E":1}"#,
            );
            rig.frame(core, beside);
            closed.extend(rig.wait(SECOND).closes());
        }
        assert_eq!(closed, [1], "{beside}");
    }
}

#[test]
fn a_refused_subscription_is_told_and_tried_again() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(rig.at(), &mut rig.out);
    rig.up(conn::PUBLIC);
    rig.adapter.on_instrument(&instrument(0), rig.at(), &mut rig.out);
    let batches = rig.wait(SECOND).batches();
    rig.frame(
        conn::PUBLIC,
        &format!(r#"{{"error":{{"code":2,"msg":"Invalid request"}},"id":{}}}"#, batches[0].1.request),
    );
    assert_eq!(rig.take().odds(), [OddKind::Refused]);
    assert!(rig.wait(4 * SECOND).batches().is_empty());
    assert_eq!(rig.wait(2 * SECOND).batches().len(), 1);
}

#[test]
fn every_connection_is_renewed_before_the_venues_cut_and_never_two_at_once() {
    const HOUR: Nanos = 3_600 * SECOND;
    let mut adapter = BinanceAdapter::new(&USDM, &context(true));
    let mut out = Out::with_capacity(1024);
    let at = |mono: Nanos| Stamp { mono, wall: WALL + mono };
    adapter.on_start(at(0), &mut out);
    for index in 0..conn::COUNT {
        adapter.on_conn_up(ConnId(BASE + index as u8), 1, at(1), &mut out);
    }
    out.clear();
    let (mut closed, mut again, mut now) = (Vec::new(), Vec::new(), 22 * HOUR);
    while now < 24 * HOUR && again.len() < conn::COUNT {
        now += SECOND;
        // Pings and data keep every connection alive.
        for index in 0..conn::COUNT {
            let meta = FrameMeta {
                conn: ConnId(BASE + index as u8),
                epoch: 1,
                kind: FrameKind::Ping,
                ..FrameMeta::default()
            };
            adapter.on_frame(meta, b"1", at(now), &mut out);
        }
        adapter.on_tick(at(now), &mut out);
        let items = out.items().to_vec();
        out.clear();
        for item in items {
            match item {
                Emit::Action(SessionAction::Close { conn }) => {
                    assert!((23 * HOUR..24 * HOUR).contains(&now), "{now}");
                    closed.push((conn, now));
                    adapter.on_conn_down(conn, 1, DownReason::Ours, at(now), &mut out);
                }
                Emit::Action(SessionAction::Http { id, what, .. }) if what.op == op::LISTEN_KEY => {
                    adapter.on_http(id, 200, br#"{"listenKey":"xxxx"}"#, at(now), &mut out);
                }
                Emit::Action(SessionAction::Connect { conn, .. }) => {
                    again.push((conn, now));
                    adapter.on_conn_up(conn, 2, at(now), &mut out);
                }
                _ => {}
            }
        }
    }
    assert_eq!((closed.len(), again.len()), (conn::COUNT, conn::COUNT), "{closed:?} {again:?}");
    for (conn, at) in &closed {
        let up = again.iter().find(|(other, _)| other == conn).unwrap().1;
        assert!(up - at <= 4 * SECOND, "{conn:?} is back at once");
        let others = closed.iter().filter(|(other, _)| other != conn);
        assert!(others.clone().all(|(_, other)| (other - at).abs() > 10 * SECOND), "{closed:?}");
    }
}

#[test]
fn open_interest_is_asked_for_one_listing_after_the_other_and_a_refusal_holds_up_none() {
    let mut context = context(false);
    context.params.extras = Extras { open_interest: true, ..Extras::FREE };
    let adapter = BinanceAdapter::new(&USDM, &context);
    let mut rig = Rig { adapter, now: 0, out: Out::with_capacity(1024) };
    rig.adapter.on_start(rig.at(), &mut rig.out);
    let asked = rig.wait(2 * SECOND).http(op::OPEN_INTEREST);
    assert_eq!((asked.len(), asked[0].1.instrument), (1, Some(InstrumentId(10))));
    rig.http(asked[0].0, 400, "{}");
    let asked = rig.wait(5 * SECOND).http(op::OPEN_INTEREST);
    assert_eq!((asked.len(), asked[0].1.instrument), (1, Some(InstrumentId(11))));
    rig.http(asked[0].0, 200, r#"{"symbol":"ETHUSDT","openInterest":"84617.188","time":1654336844754}"#);
    let venue_ns = 1_654_336_844_754 * MILLI;
    let stated = OpenInterest { instrument: InstrumentId(11), qty: Num::new(84_617_188, 3), venue_ns };
    assert_eq!(rig.take().events(), [EventBody::OpenInterest(stated)]);
    // Two listings in 30 s; and only while much of the minute's weight is left.
    assert!(rig.wait(14 * SECOND).http(op::OPEN_INTEREST).is_empty());
    let used = Pace { weight_1m: Some(1_900), ..Pace::default() };
    rig.adapter.on_pace(&used, rig.at(), &mut rig.out);
    assert!(rig.wait(18 * SECOND).http(op::OPEN_INTEREST).is_empty());
    assert_eq!(rig.wait(60 * SECOND).http(op::OPEN_INTEREST)[0].1.instrument, Some(InstrumentId(10)));
}

#[test]
fn streams_of_no_listing_are_asked_for_whichever_listing_is_there_and_once_a_connection() {
    let mut rig = Rig::new(false);
    rig.adapter.on_start(rig.at(), &mut rig.out);
    for index in [conn::PUBLIC, conn::MARKET] {
        rig.up(index);
    }
    let wide = |seen: &Seen| {
        let batches = seen.batches().into_iter().filter(|(link, _)| *link == conn::MARKET);
        batches.map(|(_, batch)| (batch.start, batch.wide)).collect::<Vec<_>>()
    };
    // The first listing is not in the venue's list.
    rig.adapter.on_instrument(&instrument(1), rig.at(), &mut rig.out);
    let seen = rig.wait(SECOND);
    assert_eq!(wide(&seen), [(1, true)]);
    assert!(seen.batches().iter().all(|(link, batch)| *link == conn::MARKET || !batch.wide));
    rig.acknowledge(&seen);
    rig.adapter.on_instrument(&instrument(0), rig.at(), &mut rig.out);
    assert_eq!(wide(&rig.wait(SECOND)), [(0, false)]);
    rig.down(conn::MARKET);
    rig.up(conn::MARKET);
    assert_eq!(wide(&rig.wait(SECOND)), [(0, true)]);
}
