//! Peers for the tests of this folder: real loopback sockets with an independent WebSocket implementation
//! behind them, plain and TLS, and certificates made on the spot.

use super::dial::DialRequest;
use super::socket::{Message, MessageKind, NetError, WsSocket};
use super::stream::Transport;
use super::tls::Trust;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// What [`next`] copies out of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    pub kind: MessageKind,
    pub payload: Vec<u8>,
    pub last: bool,
    pub drained: bool,
}

impl From<Message<'_>> for Owned {
    fn from(message: Message<'_>) -> Self {
        Self {
            kind: message.kind,
            payload: message.payload.to_vec(),
            last: message.last,
            drained: message.drained,
        }
    }
}

/// Polls until a message or an error comes.
pub fn next<T: Transport>(socket: &mut WsSocket<T>) -> Result<Owned, NetError> {
    for _ in 0..20_000_000u32 {
        if let Some(message) = socket.read()? {
            return Ok(message.into());
        }
        if socket.wants_write() {
            socket.flush()?;
        }
        std::thread::yield_now();
    }
    panic!("no message came");
}

/// A loopback server for one connection, on a thread of its own.
pub fn serve<R: Send + 'static>(
    behaviour: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> (String, JoinHandle<R>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let thread = std::thread::spawn(move || {
        let (tcp, _) = listener.accept().unwrap();
        tcp.set_nodelay(true).unwrap();
        behaviour(tcp)
    });
    (address, thread)
}

/// A certificate for 127.0.0.1 and localhost: the trust that accepts it and the server's side.
pub fn certificate() -> (Trust, Arc<rustls::ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let der: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server =
        rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![der.clone()], key)
            .unwrap();
    let mut trust = Trust::nobody();
    trust.add(der);
    (trust, Arc::new(server))
}

/// The server's side of TLS over an accepted connection.
pub fn server_tls(
    tcp: TcpStream,
    config: Arc<rustls::ServerConfig>,
) -> rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    rustls::StreamOwned::new(rustls::ServerConnection::new(config).unwrap(), tcp)
}

/// A request with a short timeout that trusts `trust`.
pub fn request(url: String, trust: &Trust) -> DialRequest {
    DialRequest {
        proxy: None,
        url,
        path_and_query: "/ws?listenKey=CANARY".to_owned(),
        tls: trust.client_config().unwrap(),
        timeout: Duration::from_secs(20),
    }
}

/// Reads an HTTP request head (to the empty line) off a raw connection.
pub fn read_head(from: &mut impl Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        assert_eq!(from.read(&mut byte).unwrap(), 1, "the client hung up");
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The accept key that belongs to a request head.
pub fn accept_key(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap();
    tungstenite::handshake::derive_accept_key(key.trim().as_bytes())
}

/// Performs the server's half of the upgrade by hand and sends `behind` in the same write.
pub fn upgrade_with(tcp: &mut (impl Read + Write), behind: &[u8]) {
    let head = read_head(tcp);
    let mut reply = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nconnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept_key(&head)
    )
    .into_bytes();
    reply.extend_from_slice(behind);
    tcp.write_all(&reply).unwrap();
    tcp.flush().unwrap();
}

/// A server's (unmasked) frame.
pub fn server_frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        len @ 0..126 => frame.push(len as u8),
        len @ 126..=0xFFFF => {
            frame.push(126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}
