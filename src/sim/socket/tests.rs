#![allow(clippy::disallowed_methods)] // time limits of tests over real sockets
use super::*;
use crate::domain::time::{MILLI, SECOND};
use crate::sim::{HttpRequest, SimConn};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Error, Message, WebSocket};

/// A venue with no rules: echoes, and keeps what it saw.
#[derive(Default)]
struct Echo {
    connected: Vec<(SimConn, String)>,
    closed: Vec<SimConn>,
    /// Period of publications, ns; 0 = none.
    period: Nanos,
    due: Nanos,
    /// How late each wake-up was.
    late: Vec<Nanos>,
    /// Requests, and when they were handled.
    handled: Vec<(String, Nanos)>,
    last_now: Nanos,
    /// Of order requests: there and back.
    travel: [Nanos; 2],
}

impl Echo {
    fn tick(&mut self, now: Nanos) {
        assert!(now >= self.last_now, "time stepped back");
        self.last_now = now;
    }
}

impl Server for Echo {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        self.tick(now);
        if !path.starts_with("/ws") {
            return false;
        }
        self.connected.push((conn, path.to_owned()));
        out.push(Push::Text(conn, b"welcome".to_vec()));
        true
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        self.tick(now);
        match text {
            b"close" => out.push(Push::Close(conn)),
            b"ping me" => out.push(Push::Ping(conn, b"p".to_vec())),
            b"flood" => out.extend((0..64).map(|_| Push::Text(conn, vec![b'x'; 256 * 1024]))),
            _ => out.push(Push::Text(conn, text.to_vec())),
        }
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, _out: &mut Vec<Push>) {
        self.tick(now);
        self.closed.push(conn);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, _out: &mut Vec<Push>) -> HttpReply {
        self.tick(now);
        self.handled.push((request.path.clone(), now));
        if request.path == "/order/mute" {
            return HttpReply { status: 0, headers: Vec::new(), body: Vec::new() };
        }
        if request.path == "/none" {
            return not_found();
        }
        let body = format!("{} {} {} {}", request.method, request.path, request.query, request.body.len());
        HttpReply { status: 200, headers: Vec::new(), body: body.into_bytes() }
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        request.path.starts_with("/order").then_some(self.travel[0])
    }

    fn reply_travel(&mut self) -> Nanos {
        self.travel[1]
    }

    fn advance(&mut self, now: Nanos, _out: &mut Vec<Push>) {
        self.tick(now);
        if self.period > 0 && now >= self.due {
            if self.due > 0 {
                self.late.push(now - self.due);
            }
            self.due = now + self.period;
        }
    }

    fn next_due(&self) -> Nanos {
        if self.period == 0 { Nanos::MAX } else { self.due }
    }
}

fn start(server: Echo, options: HostOptions) -> SimHost<Echo> {
    SimHost::start(server, "127.0.0.1:0".parse().unwrap(), options).expect("a host on loopback")
}

fn dial(host: &SimHost<Echo>) -> TcpStream {
    let stream = TcpStream::connect(host.addr()).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream
}

fn websocket<T: Read + Write>(stream: T, path: &str) -> WebSocket<T> {
    let (mut socket, _) = tungstenite::client(format!("ws://localhost{path}"), stream).expect("an upgrade");
    assert_eq!(socket.read().unwrap(), Message::text("welcome"));
    socket
}

fn echo<T: Read + Write>(socket: &mut WebSocket<T>, text: &str) {
    socket.send(Message::text(text)).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text(text));
}

/// Reads one reply: status and body.
fn reply(stream: &mut TcpStream) -> (u16, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let status = head[9..12].parse().unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).expect("a whole body");
    (status, String::from_utf8(body).unwrap())
}

#[test]
fn one_connection_serves_many_requests_even_pipelined_and_split() {
    let host = start(Echo::default(), HostOptions::new("echo"));
    let mut stream = dial(&host);
    stream
        .write_all(b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\n\r\nPOST /c HTTP/1.1\r\nContent-Length: 4\r\n\r\nab")
        .unwrap();
    assert_eq!(reply(&mut stream), (200, "GET /a b=1 0".to_owned()));
    stream.write_all(b"cd").unwrap();
    assert_eq!(reply(&mut stream), (200, "POST /c  4".to_owned()));
    stream.write_all(b"GET /none HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(reply(&mut stream).0, 404);
    let mut large =
        b"POST /large HTTP/1.1\r\nContent-Length: 1048576\r\nExpect: 100-continue\r\n\r\n".to_vec();
    stream.write_all(&large).unwrap();
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    large = vec![b'x'; 1024 * 1024];
    stream.write_all(&large).unwrap();
    assert_eq!(reply(&mut stream), (200, "POST /large  1048576".to_owned()));
    stream.write_all(b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(reply(&mut stream).0, 200);
    assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed as asked");
}

#[test]
fn bad_requests_get_their_status_and_the_others_are_served_on() {
    let host = start(Echo::default(), HostOptions::new("echo"));
    let mut good = websocket(dial(&host), "/ws");
    for (bytes, status) in [
        (&b"\x00\x01\x02garbage\r\n\r\n"[..], 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", 426),
    ] {
        let mut stream = dial(&host);
        stream.write_all(bytes).unwrap();
        assert_eq!(reply(&mut stream).0, status);
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "closed");
        echo(&mut good, "still here");
    }
    let Err(Error::Http(refused)) =
        tungstenite::client("ws://localhost/else", dial(&host)).map_err(|error| match error {
            tungstenite::HandshakeError::Failure(error) => error,
            tungstenite::HandshakeError::Interrupted(_) => panic!("a blocking stream was interrupted"),
        })
    else {
        panic!("upgraded on an unknown path")
    };
    assert_eq!(refused.status(), 404);
}

#[test]
fn websockets_echo_ping_and_close_from_either_side_and_the_venue_hears_each_end_once() {
    let host = start(Echo::default(), HostOptions::new("echo"));
    let mut first = websocket(dial(&host), "/ws/a?x=1");
    let mut second = websocket(dial(&host), "/ws/b");
    let third = websocket(dial(&host), "/ws/c");
    echo(&mut first, "hello");
    first.send(Message::Ping("abc".into())).unwrap();
    assert_eq!(first.read().unwrap(), Message::Pong("abc".into()));
    first.send(Message::text("ping me")).unwrap();
    assert_eq!(first.read().unwrap(), Message::Ping("p".into()));
    first.close(None).unwrap();
    assert!(matches!(first.read(), Ok(Message::Close(_))));
    assert!(matches!(first.read(), Err(Error::ConnectionClosed)));
    second.send(Message::text("close")).unwrap();
    assert!(matches!(second.read(), Ok(Message::Close(_))));
    assert!(matches!(second.read(), Err(Error::ConnectionClosed)));
    drop(third); // without a word
    let clock = WallClock::start();
    let until = clock.now() + 10 * SECOND;
    while host.with(|server, _, _| server.closed.len()).unwrap() < 3 && clock.now() < until {
        std::thread::yield_now();
    }
    let server = host.stop().unwrap();
    let mut closed = server.closed.clone();
    closed.sort();
    assert_eq!(closed, [SimConn(0), SimConn(1), SimConn(2)]);
    assert_eq!(server.connected[0].1, "/ws/a?x=1");
}

#[test]
fn protocol_violations_end_only_their_own_connection_with_the_right_code() {
    let host = start(Echo::default(), HostOptions::new("echo"));
    let mut good = websocket(dial(&host), "/ws");
    let large = "x".repeat(300 * 1024);
    for (message, code) in
        [(Message::binary(vec![1, 2, 3]), CloseCode::Unsupported), (Message::text(large), CloseCode::Size)]
    {
        let mut bad = websocket(dial(&host), "/ws");
        bad.send(message).unwrap();
        match bad.read() {
            Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, code),
            other => panic!("{other:?}"),
        }
        echo(&mut good, "unharmed");
    }
    // An unmasked frame, then a reserved opcode: raw bytes after a proper upgrade.
    for bytes in [&b"\x81\x02hi"[..], b"\x8f\x80\0\0\0\0"] {
        let mut bad = websocket(dial(&host), "/ws");
        bad.get_mut().write_all(bytes).unwrap();
        match bad.read() {
            Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Protocol),
            other => panic!("{other:?}"),
        }
        echo(&mut good, "unharmed");
    }
}

#[test]
fn a_client_that_does_not_read_is_disconnected_and_delays_nobody() {
    let mut options = HostOptions::new("echo");
    options.out_bytes_max = 1 << 20;
    let host = start(Echo::default(), options);
    let mut good = websocket(dial(&host), "/ws");
    let mut slow = websocket(dial(&host), "/ws");
    slow.send(Message::text("flood")).unwrap(); // 16 MiB, of which kernel and host hold less
    let clock = WallClock::start();
    let until = clock.now() + 10 * SECOND;
    while host.with(|server, _, _| server.closed.clone()).unwrap() != [SimConn(1)] {
        assert!(clock.now() < until, "the slow client was kept");
        echo(&mut good, "served");
    }
    echo(&mut good, "served still");
}

#[test]
fn a_large_burst_reaches_a_client_that_reads_whole() {
    let mut options = HostOptions::new("echo");
    options.out_bytes_max = 32 << 20;
    let identity = TlsIdentity::generate().unwrap();
    for tls in [None, Some(identity)] {
        options.tls = tls.clone();
        let host = start(Echo::default(), options.clone());
        let check = |socket: &mut dyn FnMut() -> Message| {
            for _ in 0..64 {
                assert_eq!(socket().len(), 256 * 1024);
            }
        };
        if let Some(identity) = &tls {
            let mut socket = websocket(tls_stream(identity, dial(&host)), "/ws");
            socket.send(Message::text("flood")).unwrap();
            check(&mut || socket.read().unwrap());
        } else {
            let mut socket = websocket(dial(&host), "/ws");
            socket.send(Message::text("flood")).unwrap();
            check(&mut || socket.read().unwrap());
        }
    }
}

fn tls_stream(
    identity: &TlsIdentity,
    tcp: TcpStream,
) -> rustls::StreamOwned<rustls::ClientConnection, TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(identity.ca_der().to_vec().into()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let connection = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
    rustls::StreamOwned::new(connection, tcp)
}

#[test]
fn tls_clients_that_trust_the_authority_are_served_and_plain_ones_refused() {
    let identity = TlsIdentity::generate().unwrap();
    assert!(identity.ca_pem().starts_with("-----BEGIN CERTIFICATE-----"));
    let host =
        start(Echo::default(), HostOptions { tls: Some(identity.clone()), ..HostOptions::new("echo") });
    let mut socket = websocket(tls_stream(&identity, dial(&host)), "/ws");
    echo(&mut socket, "secret");
    let mut plain = dial(&host);
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer); // a TLS alert or a reset
    assert!(!answer.starts_with(b"HTTP"), "served in plain text behind TLS");
    let stranger = TlsIdentity::generate().unwrap();
    let mut untrusting = tls_stream(&stranger, dial(&host));
    assert!(untrusting.write_all(b"GET / HTTP/1.1\r\n\r\n").and_then(|()| untrusting.flush()).is_err());
    echo(&mut socket, "still secret");
}

#[test]
fn the_venue_is_woken_with_better_than_millisecond_accuracy() {
    // 5.05 ms: a poll timeout would be rounded up to 6 ms, 950 µs late each time.
    let host = start(Echo { period: 5_050_000, ..Echo::default() }, HostOptions::new("echo"));
    let clock = WallClock::start();
    let until = clock.now() + 20 * SECOND;
    let mut late = Vec::new();
    while late.len() < 50 {
        assert!(clock.now() < until, "only {} wake-ups", late.len());
        std::thread::park_timeout(Duration::from_millis(50));
        late = host.with(|server, _, _| server.late.clone()).unwrap();
    }
    late.sort_unstable();
    assert!(late[late.len() / 4] < 500_000, "late by {late:?} ns");
}

#[test]
fn a_stopped_venue_says_goodbye_and_comes_back() {
    let host = start(Echo::default(), HostOptions::new("echo"));
    let mut socket = websocket(dial(&host), "/ws/orders");
    echo(&mut socket, "one");
    let server = host.stop().unwrap();
    assert_eq!(server.connected, [(SimConn(0), "/ws/orders".to_owned())]);
    match socket.read() {
        Ok(Message::Close(Some(frame))) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("no goodbye: {other:?}"),
    }
}

#[test]
fn an_occupied_port_is_an_error_that_names_it() {
    let host = start(Echo::default(), HostOptions::new("echo"));
    let error =
        SimHost::start(Echo::default(), host.addr(), HostOptions::new("other")).err().expect("refused");
    assert!(error.to_string().contains(&host.addr().to_string()), "{error}");
}

#[test]
fn an_order_request_travels_to_matching_and_back_while_others_are_answered_at_once() {
    let options = HostOptions::new("echo");
    let clock = options.clock;
    let travel = [40 * MILLI, 30 * MILLI];
    let host = start(Echo { travel, ..Echo::default() }, options);
    let (mut orders, mut others) = (dial(&host), dial(&host));
    let sent = clock.now();
    // The second one waits behind the first, on its connection only.
    orders.write_all(b"POST /order HTTP/1.1\r\n\r\nGET /behind HTTP/1.1\r\n\r\n").unwrap();
    others.write_all(b"GET /aside HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(reply(&mut others).0, 200);
    assert_eq!(reply(&mut orders), (200, "POST /order  0".to_owned()));
    assert!(clock.now() >= sent + travel[0] + travel[1]);
    assert_eq!(reply(&mut orders), (200, "GET /behind  0".to_owned()));
    let venue = host.with(|venue, _, _| venue.handled.clone()).unwrap();
    let at = |path: &str| venue.iter().find(|(name, _)| name == path).expect("handled").1;
    assert!(at("/order") >= sent + travel[0], "not before it has travelled");
    assert!(at("/behind") >= at("/order") + travel[1], "one after the other");
    // No reply is the end of the connection, and of no other.
    orders.write_all(b"POST /order/mute HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(orders.read(&mut [0; 16]).unwrap(), 0);
    others.write_all(b"GET /aside HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(reply(&mut others).0, 200);
}

#[test]
fn a_client_that_leaves_before_its_reply_is_forgotten() {
    let host = start(Echo { travel: [20 * MILLI, 0], ..Echo::default() }, HostOptions::new("echo"));
    let mut gone = dial(&host);
    gone.write_all(b"POST /order HTTP/1.1\r\n\r\n").unwrap();
    drop(gone);
    let mut next = dial(&host);
    next.write_all(b"POST /order/next HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(reply(&mut next), (200, "POST /order/next  0".to_owned()));
    assert_eq!(host.with(|venue, _, _| venue.handled.len()).unwrap(), 2, "what was sent is executed");
}
