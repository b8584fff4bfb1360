//! The whole river allocates nothing per frame in steady state, and neither does the socket under it.

use crate::alloc::allocations;
use crate::simulated::{TempDir, sim_config, simulation};
use perpring::domain::effect::OutMsg;
use perpring::domain::event::{Event, Seq};
use perpring::domain::input::{Input, InputClass, RawInput};
use perpring::domain::intent::{Denial, Intent, NearMiss};
use perpring::domain::output::OutputKey;
use perpring::domain::params::RiskParams;
use perpring::domain::time::{MICRO, SECOND, Stamp};
use perpring::net::dial::{DialRequest, dial};
use perpring::net::socket::{SocketLimits, WsSocket};
use perpring::net::tls::Trust;
use perpring::replay::source::Inputs;
use perpring::stage::egress::{Credentials, Vault};
use perpring::stage::river::{Parts, River, Tap};
use perpring::topology::keeper::Keeper;
use perpring::topology::world;
use std::net::TcpListener;
use std::time::Duration;

/// Seals every message, as the gateway does, and counts them.
struct Sealer {
    keeper: Keeper,
    vault: Vault,
    sealed: Vec<u8>,
    messages: u64,
    orders: u64,
}

impl Tap for Sealer {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        self.keeper.input(seq, at, class, raw);
    }
    fn event(&mut self, event: &Event) {
        self.keeper.event(event);
    }
    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.keeper.intent(key, intent);
    }
    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.keeper.approved(key, intent);
    }
    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.keeper.denied(key, denial);
    }
    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        self.keeper.message(key, message);
        self.messages += 1;
        if let Some(order) = message.meta.order {
            self.orders += 1;
            self.vault.seal(order.venue.index(), &message.payload, &mut self.sealed).expect("credentials");
        }
    }
    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.keeper.near_miss(key, near);
    }
    fn state(&mut self, key: OutputKey, hash: u64) {
        self.keeper.state(key, hash);
    }
    fn end(&mut self, seq: Seq) {
        self.keeper.end(seq);
    }
}

#[test]
fn decode_scan_risk_and_route_allocate_nothing_per_frame_in_steady_state() {
    let dir = TempDir::new();
    let sim = sim_config(7, &["binance-usdm", "okx"], |_| {});
    let (mut simulation, config) =
        simulation(&sim, world::demo_scan(), RiskParams::default(), 100 * MICRO, Some(dir.path()));
    simulation.run_for(40 * SECOND);
    crate::simulated::close(simulation);

    let mut inputs = Inputs::open(dir.path()).expect("a journal");
    let mut recorded: Vec<(i64, Input, Vec<u8>)> = Vec::new();
    while let Some((_, raw)) = inputs.next().expect("undamaged") {
        recorded.push((raw.mono, raw.input, raw.bytes.to_vec()));
    }
    let mut river = River::new(Parts::new(&config.params, true).expect("known dialects"));
    let credentials =
        || Some(Credentials { api_key: "k".repeat(64), secret: "s".repeat(64), passphrase: "p".into() });
    let mut tap = Sealer {
        keeper: Keeper::new(None),
        vault: Vault::new(vec![credentials(), credentials()]),
        sealed: Vec::with_capacity(8192),
        messages: 0,
        orders: 0,
    };
    let warm = recorded.len() / 3;
    let (mut counted, mut orders) = (0u64, 0);
    let mut guilty = Vec::new();
    for (index, (mono, input, bytes)) in recorded.iter().enumerate() {
        if index == warm {
            orders = tap.orders;
        }
        let before = allocations();
        river.input(&RawInput { mono: *mono, input: *input, bytes }, &mut tap);
        let made = allocations() - before;
        // Replies over HTTP are the documented exception.
        if index >= warm && !matches!(input, Input::HttpReply { .. }) {
            counted += 1;
            if made > 0 {
                guilty.push((
                    index,
                    made,
                    String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned(),
                ));
            }
        }
    }
    assert!(guilty.is_empty(), "{} inputs allocated: {:?}", guilty.len(), &guilty[..guilty.len().min(5)]);
    assert!(counted > 10_000 && tap.orders > orders, "{counted} inputs, {} orders", tap.orders - orders);
}

#[test]
fn a_plain_socket_reads_and_sends_without_allocating() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    const MESSAGES: usize = 3_000;
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        let mut socket = tungstenite::accept(stream).expect("an upgrade");
        for number in 0..MESSAGES {
            let text = format!("{{\"number\":{number},\"fill\":\"{}\"}}", "x".repeat(number % 700));
            socket.send(tungstenite::Message::text(text)).expect("a reader");
            // Answered one by one, so that reads and writes alternate as in a run.
            socket.read().expect("an answer");
        }
    });
    let tls = Trust::nobody().client_config().expect("a provider");
    let request =
        DialRequest { proxy: None, url, path_and_query: "/".into(), tls, timeout: Duration::from_secs(5) };
    let established = dial(&request).expect("the server above");
    let mut socket = WsSocket::new(established.stream, &established.leftover, SocketLimits::default())
        .expect("randomness");
    let answer = "a".repeat(600);
    let (mut seen, mut counted_from) = (0, 0);
    while seen < MESSAGES {
        if seen == 100 && counted_from == 0 {
            counted_from = allocations();
        }
        match socket.read().expect("an open connection") {
            Some(message) => assert!(message.payload.starts_with(b"{\"number\":")),
            None => {
                std::hint::spin_loop();
                continue;
            }
        }
        seen += 1;
        socket.send_text(answer.as_bytes()).expect("an open connection");
    }
    assert_eq!(allocations() - counted_from, 0, "{} messages", MESSAGES - 100);
    server.join().expect("the server saw every answer");
}
