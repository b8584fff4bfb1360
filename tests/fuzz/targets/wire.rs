//! What arrives from the network: WebSocket frames, HTTP replies, upgrade replies, requests of monitors.

use perpring::net::dial::{DialRequest, dial};
use perpring::net::frame::parse_header;
use perpring::net::http::{HttpCall, HttpClient};
use perpring::net::socket::{MessageKind, NetError, SocketLimits, WsSocket};
use perpring::net::stream::{Received, Transport};
use perpring::net::tls::Trust;
use perpring::ops::http::{Endpoints, HttpServer};
use std::io::{self, Cursor, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A message as both implementations tell it.
type Told = (MessageKind, Vec<u8>);

/// A peer that sent `bytes` in pieces and hung up.
struct Pieces<'a> {
    bytes: &'a [u8],
    /// Size of each read; 0 = all that fits.
    piece: usize,
}

impl Transport for Pieces<'_> {
    fn receive(&mut self, to: &mut [u8]) -> io::Result<Received> {
        let most = if self.piece == 0 { to.len() } else { self.piece.min(to.len()) };
        let len = most.min(self.bytes.len());
        let (now, later) = self.bytes.split_at(len);
        to[..len].copy_from_slice(now);
        self.bytes = later;
        Ok(Received { len, drained: len < to.len() })
    }

    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn push(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn holds_back(&self) -> bool {
        false
    }
}

/// All messages of our socket and how it ended.
fn ours(bytes: &[u8], piece: usize) -> (Vec<Told>, NetError) {
    let limits = SocketLimits { message_max: 2_048, read_max: 512, queue_max: 4_096 };
    let mut socket = WsSocket::new(Pieces { bytes, piece }, &[], limits).expect("randomness");
    let mut told = Vec::new();
    // Every call reads something until the end of the bytes, which is an error.
    for _ in 0..=2 * bytes.len() + 2 {
        match socket.read() {
            Ok(Some(message)) => {
                assert!(message.payload.len() <= limits.message_max);
                told.push((message.kind, message.payload.to_vec()));
            }
            Ok(None) => {}
            Err(error) => {
                assert_eq!(socket.read().expect_err("dead"), error, "a dead socket stays dead");
                return (told, error);
            }
        }
    }
    panic!("the socket neither reads on nor ends");
}

/// The same bytes as an independent implementation reads them, up to its end or the close frame.
fn theirs(bytes: &[u8]) -> Vec<Told> {
    let mut socket = tungstenite::WebSocket::from_raw_socket(
        Cursor::new(bytes.to_vec()),
        tungstenite::protocol::Role::Client,
        None,
    );
    let mut told = Vec::new();
    loop {
        // Its answers overwrite the cursor's bytes only behind what was read: it reads all at once first.
        match socket.read() {
            Ok(tungstenite::Message::Text(text)) => told.push((MessageKind::Text, text.as_bytes().to_vec())),
            Ok(tungstenite::Message::Binary(bytes)) => told.push((MessageKind::Binary, bytes.to_vec())),
            Ok(tungstenite::Message::Ping(bytes)) => told.push((MessageKind::Ping, bytes.to_vec())),
            Ok(tungstenite::Message::Pong(bytes)) => told.push((MessageKind::Pong, bytes.to_vec())),
            Ok(_) | Err(_) => return told,
        }
    }
}

/// WebSocket framing: the same however the bytes are cut, and the same as an independent implementation.
pub fn frames(data: &[u8]) {
    let data = &data[..data.len().min(4_096)];
    if let Ok(Some(header)) = parse_header(data) {
        assert!((2..=10).contains(&header.header_len) && header.header_len <= data.len());
        for len in 0..header.header_len {
            assert_eq!(parse_header(&data[..len]), Ok(None), "a header was told from {len} bytes of it");
        }
    }
    let whole = ours(data, 0);
    for piece in [1, 3, 64] {
        let cut = ours(data, piece);
        assert!(cut == whole, "pieces of {piece}: {:?}, whole: {:?}", cut, whole);
    }
    let independent = theirs(data);
    let common = whole.0.len().min(independent.len());
    assert!(whole.0[..common] == independent[..common], "{:?} and {independent:?}", whole.0);
    // It knows no small limit; everything else that it reads we read.
    let limited = matches!(whole.1, NetError::Oversized { .. });
    assert!(limited || whole.0.len() >= independent.len(), "{whole:?}, but {independent:?}");
}

/// Serves connections until told to stop.
fn serve(listener: &TcpListener, reply: &[u8], stop: &AtomicBool) {
    while let Ok((tcp, _)) = listener.accept() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        answer(tcp, reply);
    }
}

/// Reads a request head, answers `reply` and hangs up. `{ACCEPT}` becomes the key that belongs to an upgrade
/// request: it cannot stand in a corpus.
fn answer(mut tcp: TcpStream, reply: &[u8]) {
    const MARK: &[u8] = b"{ACCEPT}";
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && tcp.read(&mut byte).is_ok_and(|len| len == 1) {
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    let key = headers.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let accept = key.map(|(_, key)| tungstenite::handshake::derive_accept_key(key.trim().as_bytes()));
    let filled = match (accept, reply.windows(MARK.len()).position(|window| window == MARK)) {
        (Some(accept), Some(at)) => [&reply[..at], accept.as_bytes(), &reply[at + MARK.len()..]].concat(),
        _ => reply.to_vec(),
    };
    // The client may have gone already.
    let _ = tcp.write_all(&filled);
}

/// Ends the server above, also when a promise was broken.
struct Stopper {
    stop: Arc<AtomicBool>,
    address: SocketAddr,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes it from waiting for a connection.
        let _ = TcpStream::connect(self.address);
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
const CANARY: &str = "CANARY";

/// HTTP from venues and monitors: an answer or an error in words that hold nothing of the request.
pub fn http(data: &[u8]) {
    let data = &data[..data.len().min(32 * 1024)];
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
    let address = listener.local_addr().expect("bound");
    std::thread::scope(|scope| {
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let listener = &listener;
        scope.spawn(move || serve(listener, data, &seen));
        let _stopper = Stopper { stop, address };
        let client = HttpClient::new(&Trust::nobody(), PATIENCE);
        let base = format!("http://{address}");
        let path = format!("/x?signature={CANARY}");
        let call = HttpCall {
            method: "GET",
            base: &base,
            path_and_query: &path,
            headers: &[("X-KEY", CANARY)],
            body: &[],
        };
        if let Err(error) = client.request(&call) {
            let said = format!("{error} {error:?}");
            assert!(!said.contains(CANARY) && !error.not_sent(), "{said}");
        }
        let request = DialRequest {
            url: format!("ws://{address}"),
            path_and_query: format!("/ws?listenKey={CANARY}"),
            tls: Trust::nobody().client_config().expect("a provider"),
            timeout: PATIENCE,
            proxy: None,
        };
        if let Err(error) = dial(&request) {
            let said = format!("{error} {error:?}");
            assert!(!said.contains(CANARY), "{said}");
        }
    });
    monitor(data);
}

/// The monitors' server answers anything with a status or hangs up, and goes on serving.
fn monitor(data: &[u8]) {
    let endpoints = Endpoints {
        metrics: Box::new(|| "up 1\n".to_owned()),
        live: Box::new(|| Ok(())),
        ready: Box::new(|| Err("not yet".to_owned())),
    };
    let server = HttpServer::start("127.0.0.1:0".parse().expect("an address"), endpoints).expect("loopback");
    let ask = |request: &[u8]| {
        let mut answer = Vec::new();
        let mut tcp = TcpStream::connect(server.address()).expect("it listens");
        let _ = tcp.write_all(request).and_then(|()| tcp.shutdown(std::net::Shutdown::Write));
        let _ = tcp.read_to_end(&mut answer);
        answer
    };
    let answer = ask(data);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
    let after = ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(after.starts_with(b"HTTP/1.1 200") && after.ends_with(b"up 1\n"), "it still serves");
}
