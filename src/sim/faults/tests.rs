use super::*;
use crate::domain::time::MILLI;
use crate::sim::{SimConfig, server_with};
use std::path::Path;

const MARKET: SimConn = SimConn(1);
const OTHER: SimConn = SimConn(2);
const PRIVATE: SimConn = SimConn(3);
const START: Nanos = 1_000 * SECOND;

/// A venue that says a number on every open connection each 100 ms, and `re` to whatever it hears.
#[derive(Default)]
struct Ticker {
    open: Vec<SimConn>,
    heard: Vec<SimConn>,
    /// Ticks so far.
    count: i64,
    ledger: VenueLedger,
}

impl Server for Ticker {
    fn on_connect(&mut self, conn: SimConn, path: &str, _: Nanos, _: &mut Vec<Push>) -> bool {
        self.open.push(conn);
        path != "/none"
    }

    fn on_text(&mut self, conn: SimConn, _: &[u8], _: Nanos, out: &mut Vec<Push>) {
        self.heard.push(conn);
        out.push(Push::Text(conn, b"re".to_vec()));
    }

    fn on_closed(&mut self, conn: SimConn, _: Nanos, _: &mut Vec<Push>) {
        self.open.retain(|open| *open != conn);
    }

    fn on_http(&mut self, _: &HttpRequest, _: Nanos, _: &mut Vec<Push>) -> HttpReply {
        HttpReply { status: 200, headers: Vec::new(), body: b"{}".to_vec() }
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        (request.path == "/order").then_some(MILLI)
    }

    fn reply_travel(&mut self) -> Nanos {
        2 * MILLI
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        while self.next_due() <= now {
            self.count += 1;
            let said = |conn: &SimConn| Push::Text(*conn, format!("{{\"n\":{}}}", self.count).into_bytes());
            out.extend(self.open.iter().map(said));
        }
    }

    fn next_due(&self) -> Nanos {
        START + (self.count + 1) * 100 * MILLI
    }

    fn is_private(&self, conn: SimConn) -> bool {
        conn == PRIVATE
    }
}

impl LedgerServer for Ticker {
    fn ledger(&self) -> &VenueLedger {
        &self.ledger
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        &mut self.ledger
    }
}

/// Ten seconds of the ticker with the faults of `text`, all three connections open from the start, the clock
/// moved in steps of `step`: what each connection got, with the millisecond.
struct Run {
    venue: Faulty<Ticker>,
    got: Vec<(i64, Push)>,
}

impl Run {
    fn of(text: &str, step: Nanos) -> Self {
        let plan = FaultPlan::parse("faults.toml", text).expect("a good plan");
        let mut run = Self { venue: Faulty::new(Ticker::default(), &plan, "sim", START), got: Vec::new() };
        for conn in [MARKET, OTHER, PRIVATE] {
            assert!(run.venue.on_connect(conn, "/", START, &mut Vec::new()));
        }
        run.until(10 * SECOND, step);
        run
    }

    fn until(&mut self, end: Nanos, step: Nanos) {
        let mut now = START;
        while now < START + end {
            now += step;
            let mut out = Vec::new();
            self.venue.advance(now, &mut out);
            self.got.extend(out.into_iter().map(|push| ((now - START) / MILLI, push)));
        }
    }

    /// Texts on a connection.
    fn texts(&self, conn: SimConn) -> Vec<(i64, String)> {
        let text = |(at, push): &(i64, Push)| match push {
            Push::Text(c, text) if *c == conn => Some((*at, String::from_utf8(text.clone()).unwrap())),
            _ => None,
        };
        self.got.iter().filter_map(text).collect()
    }

    /// The numbers told on a connection.
    fn numbers(&self, conn: SimConn) -> Vec<i64> {
        let number = |text: &str| text.strip_prefix("{\"n\":")?.strip_suffix('}')?.parse().ok();
        self.texts(conn).iter().filter_map(|(_, text)| number(text)).collect()
    }

    fn count(&self, kind: FaultKind) -> u64 {
        self.venue.faults().of(kind)
    }
}

fn fault(rest: &str) -> String {
    format!("seed = 5\n[[fault]]\n{rest}\n")
}

fn calm() -> Vec<i64> {
    (1..=100).collect()
}

#[test]
fn a_gap_a_lost_ack_and_a_duplicate_are_one_message_each_on_their_side() {
    let run = Run::of(&fault("kind = 'gap'\nat_s = [1, 2]"), 10 * MILLI);
    assert_eq!((run.count(FaultKind::Gap), run.venue.faults().total()), (2, 2));
    assert_eq!(run.numbers(MARKET), [&calm()[..10], &calm()[11..20], &calm()[21..]].concat());
    assert_eq!((run.numbers(OTHER), run.numbers(PRIVATE)), (calm(), calm()));

    let run = Run::of(&fault("kind = 'ack_lost'\nat_s = [1]"), 10 * MILLI);
    assert_eq!(run.count(FaultKind::AckLost), 1);
    assert_eq!(run.numbers(PRIVATE), [&calm()[..10], &calm()[11..]].concat());
    assert_eq!(run.numbers(MARKET), calm());

    let run = Run::of(&fault("kind = 'duplicate'\nat_s = [1]\non = 'private'"), 10 * MILLI);
    assert_eq!(run.numbers(PRIVATE), [&calm()[..11], &calm()[10..]].concat());
    assert_eq!(run.numbers(MARKET), calm());
}

#[test]
fn reordered_messages_change_places_and_none_is_lost() {
    let run = Run::of(&fault("kind = 'reorder'\nat_s = [1]"), 10 * MILLI);
    let mut swapped = calm();
    swapped.swap(10, 11);
    assert_eq!(run.numbers(MARKET), swapped);
    assert_eq!(run.numbers(OTHER), calm());
}

#[test]
fn after_its_end_a_plan_does_nothing() {
    let text = |until: &str| format!("{until}\n[[fault]]\nkind = 'gap'\nper_minute = 300\n");
    let (cut, whole) = (Run::of(&text("until_s = 2"), 10 * MILLI), Run::of(&text(""), 10 * MILLI));
    assert!((1..20).contains(&cut.venue.faults().total()) && whole.venue.faults().total() > 30);
    assert_eq!(cut.numbers(MARKET)[cut.numbers(MARKET).len() - 78..], calm()[22..]);
}

#[test]
fn a_delay_holds_a_connection_and_then_sends_all_in_order() {
    let run = Run::of(&fault("kind = 'delay'\nat_s = [1]\nfor_ms = 350"), 10 * MILLI);
    assert_eq!(run.numbers(MARKET), calm());
    let at: Vec<i64> = run.texts(MARKET)[9..16].iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [1_000, 1_450, 1_450, 1_450, 1_450, 1_500, 1_600]);
    assert_eq!(run.texts(OTHER)[11].0, 1_200);
}

#[test]
fn a_stale_market_answers_but_tells_nothing() {
    let mut run = Run::of(&fault("kind = 'stale'\nat_s = [1, 10]\nfor_ms = 500"), 10 * MILLI);
    assert_eq!(run.numbers(MARKET), [&calm()[..10], &calm()[15..]].concat());
    assert_eq!(run.numbers(PRIVATE), calm());
    let mut out = Vec::new();
    run.venue.on_text(MARKET, b"ping", START + 10_100 * MILLI, &mut out);
    let market = out.iter().filter(|push| matches!(push, Push::Text(MARKET, _)));
    assert_eq!(market.collect::<Vec<_>>(), [&Push::Text(MARKET, b"re".to_vec())]);
}

#[test]
fn spoilt_messages_are_no_json_and_stay_text() {
    for kind in ["truncated", "malformed"] {
        let run = Run::of(&fault(&format!("kind = '{kind}'\nper_minute = 60\non = 'any'")), 10 * MILLI);
        let spoilt = [MARKET, OTHER, PRIVATE].iter().flat_map(|conn| run.texts(*conn));
        let spoilt = spoilt.filter(|(_, text)| serde_json::from_str::<serde_json::Value>(text).is_err());
        let spoilt = spoilt.count() as u64;
        assert!(spoilt >= 4, "{kind}: {spoilt}");
        assert_eq!(spoilt, run.venue.faults().total(), "{kind}");
    }
    let mut random = Random::keyed(1, &[]);
    for _ in 0..50 {
        let cut = truncated("ä€𝄞".as_bytes().to_vec(), &mut random);
        assert!(cut.len() < 9 && std::str::from_utf8(&cut).is_ok(), "{cut:?}");
    }
}

#[test]
fn a_disconnect_closes_one_connection_on_its_side_and_the_venue_knows() {
    let run = Run::of(&fault("kind = 'disconnect'\nat_s = [1, 2, 3]\non = 'market'"), 10 * MILLI);
    assert_eq!(run.count(FaultKind::Disconnect), 2, "there were no more");
    let closed: Vec<i64> =
        run.got.iter().filter(|(_, push)| matches!(push, Push::Close(_))).map(|(at, _)| *at).collect();
    assert_eq!(closed, [1_000, 2_000]);
    assert_eq!(run.venue.inner.open, [PRIVATE]);
    assert_eq!(run.numbers(PRIVATE), calm());
}

#[test]
fn a_half_open_connection_hears_and_says_nothing_more() {
    let mut run = Run::of(&fault("kind = 'half_open'\nat_s = [1]\non = 'private'"), 10 * MILLI);
    assert_eq!(run.numbers(PRIVATE), &calm()[..10]);
    assert!(run.got.iter().all(|(_, push)| !matches!(push, Push::Close(_))));
    let mut out = Vec::new();
    run.venue.on_text(PRIVATE, b"order", START + 10 * SECOND, &mut out);
    assert_eq!((out, run.venue.inner.heard.as_slice()), (Vec::new(), &[PRIVATE][..]));
}

#[test]
fn http_is_refused_for_as_long_as_asked_and_says_for_how_long() {
    for (kind, status) in [("http_429", 429), ("http_418", 418), ("maintenance", 503)] {
        let plan = FaultPlan::parse("", &fault(&format!("kind = '{kind}'\nat_s = [1]\nfor_ms = 1500")));
        let mut venue = Faulty::new(Ticker::default(), &plan.unwrap(), "sim", START);
        let mut status_at = |ms: i64| {
            let reply = venue.on_http(&HttpRequest::default(), START + ms * MILLI, &mut Vec::new());
            (reply.status, reply.headers.first().map(|(name, value)| format!("{name}: {value}")))
        };
        assert_eq!(status_at(999), (200, None));
        assert_eq!(status_at(1_000), (status, Some("Retry-After: 2".into())));
        assert_eq!(status_at(2_499), (status, Some("Retry-After: 1".into())));
        assert_eq!(status_at(2_500), (200, None));
    }
}

#[test]
fn a_skewed_clock_moves_everything_that_the_venue_does() {
    let text = fault("kind = 'clock_skew'\nat_s = [1]\nby_ms = 500\nfor_ms = 4_000");
    let run = Run::of(&text, 10 * MILLI);
    assert_eq!(run.count(FaultKind::ClockSkew), 1);
    let at = |n: usize| run.texts(MARKET)[n - 1].0;
    assert_eq!(run.numbers(MARKET), calm());
    // Half as fast again for a second, 500 ms ahead for three, half as fast for a second.
    assert_eq!([at(10), at(25), at(40), at(55), at(60), at(70)], [1_000, 2_000, 3_500, 5_000, 6_000, 7_000]);
}

#[test]
fn faults_of_matching_are_asked_of_the_exchange_and_counted_when_they_strike() {
    let mut config = SimConfig::demo(7, &["okx"], 1).unwrap();
    config.start_wall_ns = START;
    let text = "[[fault]]\nkind = 'price_band'\nat_s = [1]\nband_bps = 2\nfor_ms = 500\n\
                [[fault]]\nkind = 'reject'\nat_s = [1]\n[[fault]]\nkind = 'adl'\nat_s = [1]\n";
    let plan = FaultPlan::parse("", text).unwrap();
    let mut venue = Faulty::new(crate::sim::okx::OkxServer::new(&config, 0), &plan, "okx", START);
    let mut band_at = |ms: i64| {
        venue.advance(START + ms * MILLI, &mut Vec::new());
        (venue.exchange().unwrap().price_band_ppb(), venue.faults().total())
    };
    let usual = band_at(999);
    assert_eq!(band_at(1_000), (200_000, 1), "nobody has placed or holds anything yet");
    assert_eq!(band_at(1_500), (usual.0, 1));
}

#[test]
fn random_faults_that_find_no_occasion_wait_for_it_once_and_planned_ones_each() {
    let mut config = SimConfig::demo(7, &["okx"], 1).unwrap();
    config.start_wall_ns = START;
    let waiting = |when: &str| {
        let kinds = [("reject", ""), ("partial_fill", ""), ("fill_before_ack", "for_ms = 50"), ("adl", "")];
        let faults = kinds.map(|(kind, rest)| format!("[[fault]]\nkind = '{kind}'\n{when}\n{rest}\n"));
        let plan = FaultPlan::parse("", &faults.concat()).unwrap();
        let mut venue = Faulty::new(crate::sim::okx::OkxServer::new(&config, 0), &plan, "okx", START);
        venue.advance(START + 30 * SECOND, &mut Vec::new());
        let waiting = venue.exchange_mut().unwrap().trouble_mut().waiting();
        [waiting.refused, waiting.partial, waiting.late_acks, waiting.deleveraged]
    };
    assert_eq!(waiting("per_minute = 60"), [1; 4]);
    assert_eq!(waiting("at_s = [1, 2, 3]"), [3; 4]);
}

#[test]
fn maintenance_closes_everything_and_refuses_upgrades_until_its_end() {
    let mut run = Run::of(&fault("kind = 'maintenance'\nat_s = [9.5]\nfor_ms = 1_000"), 10 * MILLI);
    assert_eq!(run.got.iter().filter(|(_, push)| matches!(push, Push::Close(_))).count(), 3);
    assert_eq!(run.venue.inner.open, []);
    let mut connect = |ms| run.venue.on_connect(SimConn(9), "/", START + ms * MILLI, &mut Vec::new());
    assert!(!connect(10_499));
    assert!(connect(10_500));
}

#[test]
fn the_same_seed_gives_the_same_faults_however_coarse_the_clock() {
    let all = include_str!("../../../docs/faults.example.toml").replace("per_minute = ", "per_minute = 20");
    let pushes = |text: &str, step| {
        let run = Run::of(text, step);
        assert!(run.venue.faults().total() > 20, "{}", run.venue.faults());
        run.got.into_iter().map(|(_, push)| push).collect::<Vec<_>>()
    };
    let fine = pushes(&all, 10 * MILLI);
    assert_eq!(fine, pushes(&all, 10 * MILLI));
    assert_eq!(fine, pushes(&all, SECOND));
    assert_ne!(fine, pushes(&all.replace("seed = 1", "seed = 2"), 10 * MILLI));
}

#[test]
fn the_example_holds_every_kind_and_wraps_only_the_venues_that_it_names() {
    let text = include_str!("../../../docs/faults.example.toml");
    let plan = FaultPlan::parse("example", text).expect("the documented example");
    for kind in FaultKind::ALL {
        assert!(plan.of("okx").any(|(_, fault)| fault.kind == kind), "{}", kind.name());
    }
    let mut config = SimConfig::demo(7, &["binance-usdm", "okx"], 1).unwrap();
    config.start_wall_ns = START;
    let plan = FaultPlan::parse("", &fault("kind = 'maintenance'\nat_s = [0]\nfor_ms = 1000\nvenue = 'okx'"));
    for (venue, refused) in [(0, 0), (1, 1)] {
        let mut server = server_with(&config, venue, plan.as_ref().unwrap()).unwrap();
        server.advance(START + MILLI, &mut Vec::new());
        assert_eq!(server.faults().total(), refused);
    }
}

#[test]
fn each_venue_says_which_connections_are_private() {
    let paths = [
        ("binance-usdm", "/market/stream", "/private/ws"),
        ("okx", "/ws/v5/public", "/ws/v5/private"),
        ("bybit", "/v5/public/linear", "/v5/trade"),
    ];
    for (dialect, market, private) in paths {
        let config = SimConfig::demo(7, &[dialect], 1).unwrap();
        let mut server = server_with(&config, 0, &FaultPlan::default()).unwrap();
        for (conn, path) in [(MARKET, market), (PRIVATE, private)] {
            assert!(server.on_connect(conn, path, SECOND, &mut Vec::new()), "{dialect} {path}");
        }
        assert!(!server.is_private(MARKET) && server.is_private(PRIVATE), "{dialect}");
    }
}

#[test]
fn a_wrong_file_is_refused_with_line_and_key() {
    let said = |text: &str| FaultPlan::parse("f.toml", text).unwrap_err().to_string();
    let cases = [
        ("", "f.toml, line 1: no `[[fault]]`"),
        ("seed = 1\nsead = 2\n", "f.toml, line 2: unknown field `sead`"),
        ("[[fault]]\nkind = 'gapp'\nat_s = [1]\n", "f.toml, line 2: `kind`: unknown variant `gapp`"),
        ("seed = 1\n[[fault]]\nkind = 'gap'\n", "f.toml, line 2: `per_minute` or `at_s` is missing"),
        ("[[fault]]\nat_s = [1]\n", "f.toml, line 1: missing field `kind`"),
        ("[[fault]]\nkind = 'gap'\nat_s = [1]\nper_minute = 1\n", "line 1: `per_minute` and `at_s`"),
        ("[[fault]]\nkind = 'gap'\nper_minute = 0\n", "line 1: `per_minute` is 0"),
        ("[[fault]]\nkind = 'gap'\nper_minute = 1\nfor_ms = 5\n", "line 1: `for_ms`: a gap has no duration"),
        ("[[fault]]\nkind = 'stale'\nper_minute = 1\n", "line 1: `for_ms` is missing"),
        ("[[fault]]\nkind = 'stale'\nper_minute = 1\nfor_ms = 0\n", "line 1: `for_ms` is 0"),
        ("[[fault]]\nkind = 'gap'\nat_s = []\n", "line 1: `at_s` must be"),
        ("[[fault]]\nkind = 'gap'\nat_s = [-1]\n", "line 1: `at_s` must be"),
        ("[[fault]]\nkind = 'ack_lost'\nat_s = [1]\non = 'market'\n", "line 1: `on`: the connections"),
        ("[[fault]]\nkind = 'clock_skew'\nat_s = [1]\nfor_ms = 9\n", "line 1: `by_ms` is missing"),
        ("[[fault]]\nkind = 'price_band'\nat_s = [1]\nfor_ms = 9\n", "line 1: `band_bps` is missing"),
        ("[[fault]]\nkind = 'gap'\nat_s = [1]\nby_ms = 9\n", "line 1: `by_ms`: a gap moves no clock"),
        ("[[fault]]\nkind = 'gap'\nat_s = [1]\nclass = 'margin'\n", "line 1: `class`: a gap is no refusal"),
        ("[[fault]]\nkind = 'reject'\nat_s = [1]\nclass = 'marg'\n", "unknown variant `marg`"),
        ("[[fault]]\nkind = 'metadata'\nat_s = [1]\n", "line 1: `for_ms` is missing"),
        (
            "[[fault]]\nkind = 'gap'\nat_s = [1]\nchange = 'lot'\n",
            "line 1: `change`: a gap changes no contract",
        ),
        (
            "[[fault]]\nkind = 'gap'\nat_s = [1]\nsymbol = 'A'\n",
            "line 1: `symbol`: a gap changes no contract",
        ),
    ];
    for (text, wanted) in cases {
        assert!(said(text).contains(wanted), "{text}: {}", said(text));
    }
    let config = SimConfig::demo(7, &["okx"], 1).unwrap();
    let missing = FaultPlan::load(Path::new("/nowhere/faults.toml"), &config).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/faults.toml"), "{missing}");
    let plan = FaultPlan::parse("f.toml", "\n[[fault]]\nkind = 'gap'\nat_s = [1]\nvenue = 'kraken'\n");
    let unknown = plan.unwrap().check_venues(&config).unwrap_err().to_string();
    assert!(unknown.contains("f.toml, line 2: `venue`") && unknown.contains("okx"), "{unknown}");
    let text = "[[fault]]\nkind = 'reject'\nat_s = [1]\nvenue = 'okx'\nclass = 'post_only'\n";
    let plan = FaultPlan::parse("f.toml", text).unwrap();
    let unknown = plan.check_venues(&config).unwrap_err().to_string();
    assert!(
        unknown.contains("f.toml, line 1: `class`: okx does not") && unknown.contains("margin"),
        "{unknown}"
    );
}

#[test]
fn a_change_of_a_contract_needs_a_venue_that_can_make_it_and_a_contract_that_it_lists() {
    let config = SimConfig::demo(7, &["hyperliquid"], 1).unwrap();
    let said = |rest: &str| {
        let text =
            format!("[[fault]]\nkind = 'metadata'\nat_s = [1]\nfor_ms = 9\nvenue = 'hyperliquid'\n{rest}\n");
        FaultPlan::parse("f.toml", &text).unwrap().check_venues(&config).map_err(|error| error.to_string())
    };
    assert_eq!(said("change = 'lot'\nsymbol = 'BTC'"), Ok(()));
    let error = said("change = 'tick'").unwrap_err();
    assert!(
        error.contains("line 1: `change`: hyperliquid knows no \"tick\"") && error.contains("lot, delisted")
    );
    let error = said("symbol = 'DOGE'").unwrap_err();
    assert!(error.contains("line 1: `symbol`: hyperliquid lists no \"DOGE\", but BTC"), "{error}");
}

#[test]
fn contracts_change_each_in_turn_for_their_time_and_back() {
    for (dialect, changes) in [("okx", 4), ("hyperliquid", 2)] {
        let mut config = SimConfig::demo(7, &[dialect], 1).unwrap();
        config.start_wall_ns = START;
        let text = fault("kind = 'metadata'\nat_s = [1, 2, 3, 4]\nfor_ms = 500");
        let mut venue = server_with(&config, 0, &FaultPlan::parse("", &text).unwrap()).unwrap();
        let plain = venue.exchange().unwrap().listings()[0].terms(START);
        let mut seen = Vec::new();
        for half in 2..10 {
            let now = START + half * SECOND / 2;
            venue.advance(now, &mut Vec::new());
            let terms = venue.exchange().unwrap().listings()[0].terms(now);
            assert_eq!(terms != plain, half % 2 == 0, "{dialect} {half}");
            if terms != plain && !seen.contains(&terms) {
                seen.push(terms);
            }
        }
        assert_eq!((seen.len(), venue.faults().of(FaultKind::Metadata)), (changes, 4), "{dialect}");
    }
}

#[test]
fn every_kind_that_struck_is_told_by_its_name() {
    let mut counts = FaultCounts::default();
    assert_eq!(counts.to_string(), "none");
    for (times, kind) in FaultKind::ALL.into_iter().enumerate() {
        counts.count_more(kind, times as u64 + 1);
    }
    let (text, json) = (counts.to_string(), serde_json::to_value(counts).unwrap());
    for (times, kind) in FaultKind::ALL.into_iter().enumerate() {
        assert!(text.split(", ").any(|part| part == format!("{} {}", kind.name(), times + 1)), "{text}");
        assert_eq!(json[kind.name()], times as u64 + 1, "{json}");
    }
    assert_eq!(json.as_object().unwrap().len(), FaultKind::ALL.len());
}

#[test]
fn replies_to_orders_over_http_meet_what_befalls_private_messages_and_others_do_not() {
    for (kind, more) in [
        ("ack_lost", ""),
        ("truncated", "on = 'private'\n"),
        ("malformed", "on = 'private'\n"),
        ("delay", "on = 'private'\nfor_ms = 70\n"),
    ] {
        // Before anything is said on a connection.
        let text = format!("[[fault]]\nkind = '{kind}'\nat_s = [0]\n{more}");
        let plan = FaultPlan::parse("faults.toml", &text).expect("a good plan");
        let mut venue = Faulty::new(Ticker::default(), &plan, "sim", START);
        let mut ask = |path: &str| {
            let request = HttpRequest { path: path.to_owned(), ..HttpRequest::default() };
            let reply = venue.on_http(&request, START + MILLI, &mut Vec::new());
            (reply.status, reply.body, venue.reply_travel() / MILLI)
        };
        let good = (200, b"{}".to_vec(), 2);
        assert_eq!(ask("/time"), good, "{kind}: it concerns no order");
        let struck = ask("/order");
        match kind {
            "ack_lost" => assert_eq!(struck.0, 0),
            "delay" => assert_eq!(struck, (200, b"{}".to_vec(), 72)),
            _ => assert!(struck.0 == 200 && struck.1 != b"{}", "{struck:?}"),
        }
        assert_eq!(ask("/order"), good, "{kind}: once");
        assert_eq!(venue.faults().total(), 1);
        assert_eq!(
            venue.order_travel(&HttpRequest { path: "/order".into(), ..HttpRequest::default() }),
            Some(MILLI)
        );
    }
}
