//! The gateway over real sockets: peers that misbehave cost their own connection only, and in steady state a
//! message allocates nothing.

use crate::alloc::allocations;
use perpring::domain::effect::{MessageId, OutMeta, OutMsg, Payload, Target};
use perpring::domain::event::{Seq, SessionRole};
use perpring::domain::input::{ConnId, DownReason, FrameKind, Input, SendFate};
use perpring::domain::instrument::VenueId;
use perpring::domain::order::{ClientId, OrderSpec};
use perpring::net::http::HttpClient;
use perpring::net::tls::Trust;
use perpring::stage::decode::ConnInfo;
use perpring::stage::egress::{KillLatch, Vault};
use perpring::stage::errand::Errands;
use perpring::stage::gateway::{Addresses, Gateway, Orders};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

type Socket = tungstenite::WebSocket<TcpStream>;

/// A peer for one connection, on a thread of its own.
fn serve(behaviour: impl FnOnce(Socket) + Send + 'static) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let url = format!("ws://{}", listener.local_addr().expect("bound"));
    let thread = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a client");
        stream.set_nodelay(true).expect("a socket");
        behaviour(tungstenite::accept(stream).expect("an upgrade"));
    });
    (url, thread)
}

/// Answers every message with itself until the client is gone.
fn echo(mut socket: Socket) {
    while let Ok(message) = socket.read() {
        if message.is_text() && socket.send(message).is_err() {
            return;
        }
    }
}

/// A gateway whose connections, one a venue, are up.
struct Rig {
    gateway: Gateway,
    bytes: Vec<u8>,
    now: i64,
}

impl Rig {
    fn new(urls: &[String]) -> Self {
        let trust = Trust::nobody();
        let client = HttpClient::new(&trust, Duration::from_secs(5));
        let errands = Errands::start(trust.client_config().expect("a provider"), vec![client], Vec::new())
            .expect("threads");
        let conns: Vec<ConnInfo> = (0..urls.len())
            .map(|venue| ConnInfo { venue: VenueId(venue as u8), role: SessionRole::Market })
            .collect();
        let addresses =
            Addresses { sockets: urls.to_vec(), http: vec![String::new(); urls.len()], proxies: Vec::new() };
        let vault = Vault::new(urls.iter().map(|_| None).collect());
        let latch = Arc::new(KillLatch::default());
        let gateway =
            Gateway::new(&conns, &addresses, errands, vault, latch, Orders::Live).expect("a poll of sockets");
        let mut rig = Self { gateway, bytes: Vec::with_capacity(1 << 20), now: 0 };
        // One after another, the last first: peer 0 may speak as soon as it is connected.
        for conn in (0..urls.len()).rev().map(|conn| ConnId(conn as u8)) {
            rig.gateway.carry_out(&message(Target::Connect(conn), "/ws", None), 0);
            assert_eq!(rig.next(), Input::ConnUp { conn, epoch: 1 });
        }
        rig
    }

    /// Waits for the next input. Gives up long after everybody would have answered.
    fn next(&mut self) -> Input {
        for _ in 0..20_000 {
            let now = &mut self.now;
            let mut clock = || {
                *now += 1;
                *now
            };
            let wait = Duration::from_millis(1);
            if let Some(inbound) = self.gateway.next(&mut self.bytes, true, wait, &mut clock).expect("a poll")
            {
                return inbound.input;
            }
        }
        panic!("nothing came");
    }

    /// Sends a text on a connection and takes its echo.
    fn round_trip(&mut self, sent: &OutMsg, text: &[u8]) {
        assert_eq!(self.gateway.carry_out(sent, self.now), Some(SendFate::Sent));
        loop {
            match self.next() {
                Input::Frame(meta) if meta.kind == FrameKind::Text => break,
                Input::Frame(_) => {}
                other => panic!("{other:?}"),
            }
        }
        assert!(self.bytes == text, "the echo of what was sent");
    }
}

fn message(target: Target, text: &str, order: Option<OrderSpec>) -> OutMsg {
    let mut payload = Payload::new();
    payload.push(text.as_bytes()).expect("room");
    let meta = OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(1),
        cause: Seq(1),
        cause_mono: 0,
        age_max: 0,
        target,
        epoch: 1,
        urgent: false,
        order,
    };
    OutMsg { meta, token: MessageId(0), payload }
}

/// Peer 0 sends one message and then `spoil`s the stream, peer 1 is well: what came before the fault is
/// delivered, the fault is named, and peer 1 goes on.
fn fault(name: &str, spoil: impl FnOnce(&mut TcpStream) + Send + 'static, reason: DownReason) {
    let (bad, bad_thread) = serve(move |mut socket| {
        socket.send(tungstenite::Message::text("before")).expect("a reader");
        spoil(socket.get_mut());
    });
    let (good, good_thread) = serve(echo);
    let mut rig = Rig::new(&[bad, good]);
    let Input::Frame(meta) = rig.next() else { panic!("{name}: the message before the fault is lost") };
    assert_eq!((meta.conn, rig.bytes.as_slice()), (ConnId(0), &b"before"[..]), "{name}");
    assert_eq!(rig.next(), Input::ConnDown { conn: ConnId(0), epoch: 1, reason }, "{name}");
    let sent = message(Target::Socket(ConnId(1)), "still here", None);
    for _ in 0..10 {
        rig.round_trip(&sent, b"still here");
    }
    let dead = message(Target::Socket(ConnId(0)), "too late", None);
    assert!(matches!(rig.gateway.carry_out(&dead, 1), Some(SendFate::Refused(_))), "{name}");
    rig.gateway.stop();
    bad_thread.join().expect("a peer");
    good_thread.join().expect("a peer");
}

#[test]
fn a_peer_that_breaks_the_stream_costs_its_own_connection_only() {
    let oversized = |tcp: &mut TcpStream| {
        let mut header = vec![0x81, 127];
        header.extend_from_slice(&(600_000u64).to_be_bytes());
        tcp.write_all(&header).expect("a reader");
    };
    fault("an oversized frame", oversized, DownReason::Oversized);
    fault(
        "closed in mid-frame",
        |tcp| tcp.write_all(&[0x81, 100, b'{', b'"', b'e']).expect("a reader"),
        DownReason::Broken,
    );
    fault("closed without a word", |_| {}, DownReason::Closed);
    let garbage = |tcp: &mut TcpStream| tcp.write_all(&[0xFF; 64]).expect("a reader");
    fault("bytes that are no frame", garbage, DownReason::Protocol);
}

#[test]
fn binary_frames_pass_as_what_they_are() {
    let (url, thread) = serve(|mut socket| {
        socket.send(tungstenite::Message::binary(vec![0, 159, 146, 150])).expect("a reader");
        echo(socket);
    });
    let mut rig = Rig::new(&[url]);
    let Input::Frame(meta) = rig.next() else { panic!("a frame") };
    assert_eq!((meta.kind, rig.bytes.as_slice()), (FrameKind::Binary, &[0, 159, 146, 150][..]));
    rig.gateway.stop();
    thread.join().expect("a peer");
}

#[test]
fn the_gateway_reads_and_sends_without_allocating() {
    const WARM: usize = 100;
    const COUNTED: usize = 3_000;
    let (url, thread) = serve(echo);
    let mut rig = Rig::new(&[url]);
    let text = format!("{{\"fill\":\"{}\"}}", "x".repeat(400));
    let plain = message(Target::Socket(ConnId(0)), &text, None);
    let order = message(Target::Socket(ConnId(0)), &text, Some(OrderSpec::default()));
    let mut before = 0;
    for number in 0..WARM + COUNTED {
        if number == WARM {
            before = allocations();
        }
        let sent = if number % 2 == 0 { &plain } else { &order };
        rig.round_trip(sent, text.as_bytes());
    }
    assert_eq!(allocations() - before, 0, "{COUNTED} messages out and in");
    rig.gateway.stop();
    thread.join().expect("a peer");
}
