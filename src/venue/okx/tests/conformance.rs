//! The decoder and the sequence rule against the captures, the oracle and hand-made sequences.

use super::shared;
use crate::domain::event::BookState;
use crate::domain::number::Num;
use crate::venue::message::{Continuity, Decoder, Depth, Level, Message, Verdict};
use crate::venue::okx::OkxDecoder;
use crate::venue::okx::continuity::{CHECKSUM_LEVELS, OkxContinuity, SentBook, checksum};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::Read as _;

/// A depth message that owns its levels.
#[derive(Clone)]
struct Owned {
    snapshot: bool,
    seq: u64,
    prev: i64,
    checksum: Option<i32>,
    time_ms: i64,
    bids: Vec<Level>,
    asks: Vec<Level>,
}

impl Owned {
    fn depth(&self) -> Depth<'_> {
        Depth {
            channel: "books",
            symbol: b"X",
            snapshot: self.snapshot,
            first: 0,
            last: self.seq,
            prev: self.prev,
            checksum: self.checksum,
            bids: &self.bids,
            asks: &self.asks,
            time_ms: self.time_ms,
        }
    }

    fn of(depth: &Depth<'_>) -> Self {
        Self {
            snapshot: depth.snapshot,
            seq: depth.last,
            prev: depth.prev,
            checksum: depth.checksum,
            time_ms: depth.time_ms,
            bids: depth.bids.to_vec(),
            asks: depth.asks.to_vec(),
        }
    }
}

/// A book rebuilt by the sequence rule.
#[derive(Default)]
struct Rebuilt {
    rule: OkxContinuity,
    book: SentBook,
    messages: usize,
    verified: usize,
    gaps: usize,
}

impl Rebuilt {
    fn offer(&mut self, depth: &Depth<'_>) -> Verdict {
        self.messages += 1;
        let verdict = self.rule.on_depth(depth);
        match verdict {
            Verdict::Snapshot => self.book.clear(),
            Verdict::Apply => {}
            Verdict::Skip | Verdict::Buffer => return verdict,
            Verdict::Gap => {
                self.gaps += 1;
                return verdict;
            }
        }
        self.book.apply(depth.bids, depth.asks);
        let (bids, asks) = self.book.top();
        if !self.rule.verify(depth, bids, asks) {
            self.gaps += 1;
            return Verdict::Gap;
        }
        self.verified += usize::from(depth.checksum.is_some());
        verdict
    }

    fn text(&self, levels: usize) -> String {
        let (bids, asks) = self.book.sides();
        let mut text = String::new();
        for (mark, side) in [('B', bids), ('A', asks)] {
            for (price, qty) in side.iter().take(levels) {
                text += &format!("{mark}{price}:{qty};");
            }
        }
        text
    }
}

fn capture_lines(file: &str) -> Option<Vec<String>> {
    let path = shared(&format!("corpus/okx/capture/{file}"))?;
    let bytes = std::fs::read(path).unwrap();
    let text = if file.ends_with(".gz") {
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        text
    } else {
        String::from_utf8(bytes).unwrap()
    };
    let frame = |line: &str| {
        line.split_once(": ").filter(|(head, _)| !head.contains("wss")).map(|(_, f)| f.to_owned())
    };
    Some(text.lines().filter_map(frame).collect())
}

const CAPTURES: [(&str, &str); 3] = [
    ("20210722-1", "cryptofeed_OKEX.ws.1.0__2021-07-22.txt.gz"),
    ("20210722-2", "cryptofeed_OKEX.ws.2.0__2021-07-22.txt.gz"),
    ("20220513", "cryptofeed_OKX.ws.1.0__2022-05-13.txt"),
];

#[test]
fn captures_rebuild_to_the_oracles_lines_and_books() {
    for (name, file) in CAPTURES {
        let Some(oracle) = shared(&format!("oracle/expected/shared-okx-{name}.json")) else { return };
        let oracle: serde_json::Value = serde_json::from_slice(&std::fs::read(oracle).unwrap()).unwrap();
        let mut decoder = OkxDecoder::new();
        let writer = OkxDecoder::new();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut lines: BTreeMap<String, (u64, crc32fast::Hasher)> = BTreeMap::new();
        let mut books: BTreeMap<String, Rebuilt> = BTreeMap::new();
        let mut line = String::new();
        for frame in capture_lines(file).unwrap() {
            let mut counted = None;
            decoder
                .decode(frame.as_bytes(), &mut |message| {
                    let (symbol, channel, count) = match message {
                        Message::Depth(depth) => {
                            let symbol = String::from_utf8(depth.symbol.to_vec()).unwrap();
                            books.entry(symbol.clone()).or_default().offer(depth);
                            let action = if depth.snapshot { "snapshot" } else { "update" };
                            (symbol, depth.channel, format!("{}:{action}", depth.channel))
                        }
                        Message::Trade { symbol, channel, .. } => {
                            (String::from_utf8(symbol.to_vec()).unwrap(), *channel, (*channel).to_owned())
                        }
                        Message::Ticker { .. } => (String::new(), "", "tickers".into()),
                        Message::Ignored { kind } => (String::new(), "", (*kind).to_owned()),
                        other => panic!("{other:?}"),
                    };
                    counted = Some(count);
                    if writer.oracle_line(message, &mut line) {
                        let entry = lines.entry(format!("{symbol} {channel}")).or_default();
                        entry.0 += 1;
                        line.push('\n');
                        entry.1.update(line.as_bytes());
                    }
                })
                .unwrap();
            *counts.entry(counted.unwrap()).or_default() += 1;
        }
        assert_eq!(serde_json::json!(counts), oracle["counts"], "{name}");
        let lines: BTreeMap<_, _> = lines
            .into_iter()
            .map(|(k, (count, crc))| (k, serde_json::json!({"count": count, "crc": crc.finalize()})))
            .collect();
        assert_eq!(serde_json::json!(lines), oracle["channels"], "{name}");
        let finals = oracle["final"].as_object().unwrap();
        assert_eq!(books.len(), finals.len());
        for (symbol, expected) in finals {
            let rebuilt = &books[symbol];
            let (bids, asks) = rebuilt.book.sides();
            let sha = ring::digest::digest(&ring::digest::SHA256, rebuilt.text(usize::MAX).as_bytes());
            let sha: String = sha.as_ref().iter().map(|b| format!("{b:02x}")).collect();
            assert_eq!(rebuilt.gaps, 0);
            assert_eq!(expected["n"], rebuilt.messages);
            assert_eq!(expected["checksum_ok"], rebuilt.verified);
            assert_eq!(expected["levels_bid"], bids.len());
            assert_eq!(expected["levels_ask"], asks.len());
            assert_eq!(expected["crc25"], crc32fast::hash(rebuilt.text(CHECKSUM_LEVELS).as_bytes()));
            assert_eq!(expected["sha256_full"], sha);
        }
    }
}

/// All depth messages of a capture by symbol.
fn depths(file: &str) -> Option<BTreeMap<Vec<u8>, Vec<Owned>>> {
    let mut all: BTreeMap<Vec<u8>, Vec<Owned>> = BTreeMap::new();
    let mut decoder = OkxDecoder::new();
    for frame in capture_lines(file)? {
        decoder
            .decode(frame.as_bytes(), &mut |message| {
                if let Message::Depth(depth) = message {
                    all.entry(depth.symbol.to_vec()).or_default().push(Owned::of(depth));
                }
            })
            .unwrap();
    }
    Some(all)
}

/// Feeds messages until the first gap; `None` when there was none, else where.
fn first_gap<'a>(messages: impl Iterator<Item = &'a Owned>, book: &mut Rebuilt) -> Option<usize> {
    messages.enumerate().find_map(|(i, m)| (book.offer(&m.depth()) == Verdict::Gap).then_some(i))
}

#[test]
fn a_dropped_repeated_or_swapped_line_is_found_or_harmless_at_the_top() {
    // Without sequence ids the checksum proves the best 25 levels and nothing below.
    let (mut found, mut harmless) = (0, 0);
    for (_, file) in CAPTURES {
        let Some(all) = depths(file) else { return };
        for messages in all.values() {
            let mut whole = Rebuilt::default();
            assert_eq!(first_gap(messages.iter(), &mut whole), None);
            let step = messages.len() / 40 + 1;
            for at in (0..messages.len() - 1).step_by(step) {
                let dropped: Vec<_> = [&messages[..at], &messages[at + 1..]].concat();
                let mut swapped = messages.clone();
                swapped.swap(at, at + 1);
                let mut repeated = messages.clone();
                repeated.insert(at, messages[at].clone());
                for changed in [dropped, swapped, repeated] {
                    let mut book = Rebuilt::default();
                    if first_gap(changed.iter(), &mut book).is_some() {
                        assert_eq!(book.rule.state(), BookState::Invalid);
                        found += 1;
                    } else {
                        assert_eq!(book.text(CHECKSUM_LEVELS), whole.text(CHECKSUM_LEVELS));
                        harmless += 1;
                    }
                }
            }
        }
    }
    assert!(found > 100 && harmless > 100, "{found} found, {harmless} harmless");
}

/// A sequenced book in which every message changes it.
fn sequenced(len: u64) -> Vec<Owned> {
    let level = |price: i64, qty: i64| (Num::new(price, 1), Num::new(qty, 0));
    let owned = |i: u64| Owned {
        snapshot: i == 0,
        seq: 1_000 + 7 * i,
        prev: if i == 0 { -1 } else { 1_000 + 7 * (i as i64 - 1) },
        checksum: None,
        time_ms: i as i64,
        bids: vec![level(100 + i as i64, 1)],
        asks: vec![level(10_000 + i as i64, 2 + i as i64)],
    };
    (0..len).map(owned).collect()
}

proptest! {
    #[test]
    fn with_sequence_ids_every_change_of_order_is_found_or_harmless(at in 0usize..18, other in 0usize..18, way in 0u8..3) {
        let messages = sequenced(20);
        let mut whole = Rebuilt::default();
        prop_assert_eq!(first_gap(messages.iter(), &mut whole), None);
        let mut changed = messages.clone();
        match way {
            0 => { changed.remove(at); }
            1 => changed.insert(other, messages[at].clone()),
            _ => changed.swap(at, other),
        }
        let mut book = Rebuilt::default();
        if first_gap(changed.iter(), &mut book).is_none() {
            prop_assert_eq!(book.text(usize::MAX), whole.text(usize::MAX));
        }
    }

    #[test]
    fn damaged_frames_never_panic(
        which in 0usize..8, at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>()
    ) {
        let frames = [
            super::book("BTC-USDT-SWAP", "update", 107, 100),
            r#"{"data":[{"instId":"A","tradeId":"9","px":"1","sz":"2","side":"buy","ts":"3"}],"arg":{"channel":"trades","instId":"A"}}"#.into(),
            r#"{"arg":{"channel":"bbo-tbt","instId":"B"},"data":[{"asks":[["1","2","0","3"]],"bids":[],"ts":"1","seqId":5}]}"#.into(),
            r#"{"arg":{"channel":"orders","instType":"SWAP"},"data":[{"instId":"BTC-USDT-SWAP","state":"live","side":"buy","accFillSz":"0","clOrdId":"00000000000000030000000000000abc"}]}"#.into(),
            r#"{"id":"1","op":"order","code":"1","msg":"","data":[{"clOrdId":"","ordId":"","sCode":"51016"}]}"#.into(),
            r#"{"event":"error","code":"60018","msg":"x","connId":"y"}"#.into(),
            r#"{"arg":{"channel":"liquidation-orders","instType":"SWAP"},"data":[{"instId":"A","details":[{"side":"buy","bkPx":"1","sz":"2","ts":"3"}]}]}"#.into(),
            r#"{"code":"0","data":[{"asks":[["1","2","0","3"]],"bids":[],"ts":"1"}]}"#.to_owned(),
        ];
        let mut frame = frames[which].clone().into_bytes();
        let at = at.index(frame.len());
        if cut { frame.truncate(at) } else { frame[at] = byte }
        let _ = OkxDecoder::new().decode(&frame, &mut |_| {});
        let mut rig = super::Rig::live(true);
        for conn in [super::PUBLIC, super::ACCOUNT, super::ORDERS] {
            let meta = crate::domain::input::FrameMeta { conn, ..Default::default() };
            rig.adapter.on_frame(meta, &frame, super::at(rig.now), &mut rig.out);
        }
        for id in [1, 2, 3, 4, 5, 6, 7, 8, 1 << 31] {
            rig.adapter.on_http(crate::domain::effect::HttpId(id), 200, &frame, super::at(rig.now), &mut rig.out);
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = OkxDecoder::new().decode(&bytes, &mut |_| {});
    }
}

#[test]
fn keep_alive_and_maintenance_reset_go_on_and_anything_else_is_a_gap() {
    let messages = sequenced(3);
    let make = |seq, prev, empty: bool| Owned {
        seq,
        prev,
        bids: if empty { vec![] } else { messages[1].bids.clone() },
        asks: vec![],
        ..messages[1].clone()
    };
    let start = || {
        let mut rule = OkxContinuity::default();
        assert_eq!(rule.on_depth(&messages[0].depth()), Verdict::Snapshot);
        rule
    };
    // Keep-alive: nothing changed for a minute.
    let mut rule = start();
    assert_eq!(rule.on_depth(&make(1_000, 1_000, true).depth()), Verdict::Skip);
    assert_eq!(rule.on_depth(&messages[1].depth()), Verdict::Apply);
    // The same message again.
    assert_eq!(rule.on_depth(&messages[1].depth()), Verdict::Skip);
    assert_eq!(rule.on_depth(&messages[2].depth()), Verdict::Apply);
    // Maintenance: the ids start over, once.
    let mut rule = start();
    assert_eq!(rule.on_depth(&make(3, 1_000, false).depth()), Verdict::Apply);
    assert_eq!(rule.on_depth(&make(5, 3, false).depth()), Verdict::Apply);
    // A keep-alive of another position, a jump, a message without ids, levels in a keep-alive.
    for bad in
        [make(1_007, 1_007, true), make(1_014, 1_007, false), make(0, -1, false), make(1_000, 1_000, false)]
    {
        let mut rule = start();
        assert_eq!(rule.on_depth(&bad.depth()), Verdict::Gap);
        assert_eq!(rule.state(), BookState::Invalid);
        assert_eq!(
            rule.on_depth(&messages[1].depth()),
            Verdict::Skip,
            "nothing counts before the next snapshot"
        );
        assert_eq!(rule.on_depth(&messages[0].depth()), Verdict::Snapshot);
        assert_eq!(rule.state(), BookState::Live);
    }
    assert_eq!(
        OkxContinuity::default().on_depth(&messages[1].depth()),
        Verdict::Gap,
        "an update without base"
    );
}

#[test]
fn the_checksum_is_over_the_sent_text_and_zero_means_none() {
    let num = |text: &str| Num::parse(text.as_bytes()).unwrap();
    let bids = [(num("3366.1"), num("7")), (num("3366"), num("6"))];
    let asks = [(num("3366.8"), num("9.0"))];
    let text = "3366.1:7:3366.8:9.0:3366:6";
    assert_eq!(checksum(&bids, &asks), crc32fast::hash(text.as_bytes()) as i32);
    let mut seen = vec![];
    for sum in ["\"checksum\":0,", "", "\"checksum\":-855196043,"] {
        let frame = super::book("A", "snapshot", 1, -1).replace("\"checksum\":0,", sum);
        OkxDecoder::new()
            .decode(frame.as_bytes(), &mut |message| {
                if let Message::Depth(depth) = message {
                    seen.push(depth.checksum);
                    let good = OkxContinuity::default().verify(depth, &bids, &asks);
                    assert_eq!(good, depth.checksum.is_none());
                }
            })
            .unwrap();
    }
    assert_eq!(seen, [None, None, Some(-855_196_043)]);
}

#[test]
fn corpus_payloads_decode_and_only_foreign_wrappers_are_unknown() {
    let Some(root) = shared("corpus/okx") else { return };
    let mut decoder = OkxDecoder::new();
    let (mut messages, mut unknown, mut errors) = (0, vec![], vec![]);
    for folder in std::fs::read_dir(root).unwrap().flatten().filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(folder.path()).unwrap().flatten() {
            if file.path().extension().is_none_or(|e| e == "gz" || e == "txt") {
                continue;
            }
            let text = std::fs::read_to_string(file.path()).unwrap();
            let whole = file.path().extension().is_some_and(|e| e == "json");
            for line in if whole { vec![text.as_str()] } else { text.lines().collect() } {
                let line = line.split_once('\t').filter(|_| !whole).map_or(line, |(_, frame)| frame);
                let result = decoder.decode(line.as_bytes(), &mut |message| {
                    messages += 1;
                    if *message == Message::Unknown {
                        unknown.push((file.path(), line[..line.len().min(90)].to_owned()));
                    }
                });
                if let Err(error) = result {
                    errors.push((file.path(), error, line[..line.len().min(200)].to_owned()));
                }
            }
        }
    }
    for error in &errors {
        println!("{error:?}");
    }
    assert!(messages > 150 && errors.is_empty());
    // Another recorder's wrapper, a channel that it made up, pieces of replies, and two invented payloads.
    const FOREIGN: [&str; 7] = [
        "rest/tardis-node.jsonl",
        "liquidations/tardis-node.jsonl",
        "fixtures/gct_523b1165.json",
        "fixtures/bbgo_parse_53f7f0ed.json",
        "fixtures/nautilus_http_place_order_response.json",
        "fixtures/nautilus_http_transaction_detail.json",
        "fixtures/nautilus_http_balance_detail_old_fields.json",
    ];
    unknown.retain(|(path, _)| !FOREIGN.iter().any(|foreign| path.ends_with(foreign)));
    assert!(unknown.is_empty(), "{unknown:?}");
}
