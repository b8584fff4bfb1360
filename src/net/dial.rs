//! From an address to an established WebSocket stream: DNS, TCP, TLS and the upgrade, blocking, for the
//! dialler thread. Hands over every byte that arrived behind the upgrade's reply. Errors say what failed and
//! where; path and query, which may hold a listen key, are in none of them.

use super::endpoint::{Endpoint, EndpointError};
use super::proxy::{Proxy, ProxyFault};
use super::stream::Stream;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;
use tungstenite::handshake::client::generate_key;
use tungstenite::handshake::derive_accept_key;

/// The longest upgrade reply that is read, bytes.
const REPLY_MAX: usize = 16 * 1024;
/// The most headers of an upgrade reply.
const HEADERS_MAX: usize = 64;

/// What to connect to.
#[derive(Clone)]
pub struct DialRequest {
    /// `ws://host[:port]` or `wss://host[:port]`.
    pub url: String,
    /// Path and query of the upgrade request, such as `/ws`; may hold a secret and is never shown.
    pub path_and_query: String,
    /// TLS settings; used by `wss` only.
    pub tls: Arc<rustls::ClientConfig>,
    /// The proxy to go through.
    pub proxy: Option<Arc<Proxy>>,
    /// For everything together but DNS, which the operating system bounds.
    pub timeout: Duration,
}

impl fmt::Debug for DialRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DialRequest")
            .field("url", &self.url)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A connection after its upgrade.
pub struct Established {
    /// Non-blocking, `TCP_NODELAY`.
    pub stream: Stream,
    /// What the peer sent right behind its reply: the beginning of the first frames.
    pub leftover: Vec<u8>,
}

/// Why a connection could not be made.
#[derive(Debug, Error)]
pub enum DialError {
    /// The base address is unusable.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// The proxy gave no tunnel.
    #[error(transparent)]
    Proxy(#[from] ProxyFault),
    /// Path and query cannot be sent (not shown: it may be secret).
    #[error(
        "cannot connect to {host}: the path must begin with '/' and hold no spaces or control characters"
    )]
    Path {
        /// Host and port.
        host: String,
    },
    /// The name could not be resolved.
    #[error("cannot find the address of {host}: {source}; check the name and this machine's DNS")]
    Dns {
        /// Host and port.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// No address of the host accepted.
    #[error("cannot connect to {host}: {source}; is it running and reachable from here?")]
    Connect {
        /// Host and port.
        host: String,
        /// The last attempt's error.
        source: io::Error,
    },
    /// The TLS handshake failed.
    #[error("no secure connection to {host}: {what}; check its certificate and our roots")]
    Tls {
        /// Host and port.
        host: String,
        /// What the TLS library says.
        what: String,
    },
    /// The time ran out.
    #[error("connecting to {host} took longer than {} ms, at: {step}", .limit.as_millis())]
    Timeout {
        /// Host and port.
        host: String,
        /// What was being done.
        step: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// The connection broke during a step.
    #[error("the connection to {host} broke at: {step}: {source}")]
    Broken {
        /// Host and port.
        host: String,
        /// What was being done.
        step: &'static str,
        /// The error.
        source: io::Error,
    },
    /// The server answered, but not with an upgrade.
    #[error("{host} refused the WebSocket upgrade with HTTP status {status}{}", refusal_hint(*.status))]
    Refused {
        /// Host and port.
        host: String,
        /// HTTP status.
        status: u16,
    },
    /// The server's upgrade reply is wrong.
    #[error("{host} gave an invalid WebSocket upgrade reply: {what}; is this really a WebSocket address?")]
    Upgrade {
        /// Host and port.
        host: String,
        /// What is wrong.
        what: &'static str,
    },
}

/// What a status suggests to do.
fn refusal_hint(status: u16) -> &'static str {
    match status {
        301 | 302 | 307 | 308 => "; redirects are not followed: configure the final address",
        401 | 403 => "; check credentials, IP allow-list and region",
        404 => "; check the path",
        418 | 429 => "; the venue limits our rate: wait before the next attempt",
        500..=599 => "; the venue has a problem: try again later",
        _ => "",
    }
}

/// Connects, secures and upgrades; blocks up to the timeout.
///
/// # Errors
/// [`DialError`].
pub fn dial(request: &DialRequest) -> Result<Established, DialError> {
    let endpoint = Endpoint::parse(&request.url)?;
    let path = request.path_and_query.as_str();
    if !path.starts_with('/') || path.bytes().any(|byte| byte <= b' ' || byte == 0x7F) {
        return Err(DialError::Path { host: endpoint.to_string() });
    }
    let deadline = Deadline::start(&endpoint, request.timeout);
    let tcp = match &request.proxy {
        None => connect(&endpoint, &deadline)?,
        Some(proxy) => {
            let tcp = connect(proxy.endpoint(), &deadline)?;
            let mut wire = PlainWire { tcp, deadline: &deadline };
            proxy.tunnel(&mut wire, &endpoint.host, endpoint.port)?;
            wire.tcp
        }
    };
    if !endpoint.tls {
        let mut wire = PlainWire { tcp, deadline: &deadline };
        let leftover = upgrade(&mut wire, &endpoint, path, &deadline)?;
        let tcp = non_blocking(wire.tcp, &deadline)?;
        return Ok(Established { stream: Stream::plain(tcp), leftover });
    }
    let session = secure(&tcp, &endpoint, Arc::clone(&request.tls), &deadline)?;
    let mut wire = TlsWire { tcp, session, deadline: &deadline };
    let leftover = upgrade(&mut wire, &endpoint, path, &deadline)?;
    let tcp = non_blocking(wire.tcp, &deadline)?;
    Ok(Established { stream: Stream::tls(tcp, wire.session), leftover })
}

/// Resolves the name and connects to the first address that accepts.
fn connect(endpoint: &Endpoint, deadline: &Deadline) -> Result<TcpStream, DialError> {
    let host = || endpoint.to_string();
    let addresses: Vec<SocketAddr> = (endpoint.host.as_str(), endpoint.port)
        .to_socket_addrs()
        .map_err(|source| DialError::Dns { host: host(), source })?
        .collect();
    let mut last = io::Error::new(ErrorKind::NotFound, "the name has no address");
    for address in &addresses {
        match TcpStream::connect_timeout(address, deadline.left("TCP connect")?) {
            Ok(tcp) => {
                tcp.set_nodelay(true).map_err(|source| DialError::Connect { host: host(), source })?;
                return Ok(tcp);
            }
            Err(error) => last = error,
        }
    }
    if last.kind() == ErrorKind::TimedOut {
        return Err(deadline.timeout("TCP connect"));
    }
    Err(DialError::Connect { host: host(), source: last })
}

/// The TLS handshake.
fn secure(
    mut tcp: &TcpStream,
    endpoint: &Endpoint,
    config: Arc<rustls::ClientConfig>,
    deadline: &Deadline,
) -> Result<ClientConnection, DialError> {
    const STEP: &str = "TLS handshake";
    let fail = |what: String| DialError::Tls { host: endpoint.to_string(), what };
    let name = ServerName::try_from(endpoint.host.clone()).map_err(|error| fail(error.to_string()))?;
    let mut session = ClientConnection::new(config, name).map_err(|error| fail(error.to_string()))?;
    while session.is_handshaking() {
        deadline.arm(tcp, STEP)?;
        if session.wants_write() {
            session.write_tls(&mut tcp).map_err(|error| deadline.broken(STEP, error))?;
            continue;
        }
        if session.read_tls(&mut tcp).map_err(|error| deadline.broken(STEP, error))? == 0 {
            return Err(deadline.broken(STEP, ErrorKind::UnexpectedEof.into()));
        }
        if let Err(error) = session.process_new_packets() {
            let _ = session.write_tls(&mut tcp); // the alert
            return Err(fail(error.to_string()));
        }
    }
    while session.wants_write() {
        deadline.arm(tcp, STEP)?;
        session.write_tls(&mut tcp).map_err(|error| deadline.broken(STEP, error))?;
    }
    Ok(session)
}

/// The upgrade (RFC 6455 §4.1); returns what came behind the reply.
fn upgrade(
    wire: &mut (impl Read + Write),
    endpoint: &Endpoint,
    path: &str,
    deadline: &Deadline,
) -> Result<Vec<u8>, DialError> {
    const STEP: &str = "WebSocket upgrade";
    let key = generate_key();
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nUser-Agent: perpring/{}\r\n\r\n",
        endpoint.authority(),
        env!("CARGO_PKG_VERSION"),
    );
    let broken = |error| deadline.broken(STEP, error);
    wire.write_all(request.as_bytes()).and_then(|()| wire.flush()).map_err(broken)?;
    let mut reply = Vec::with_capacity(4096);
    let mut chunk = [0; 4096];
    loop {
        let len = wire.read(&mut chunk).map_err(broken)?;
        if len == 0 {
            return Err(broken(ErrorKind::UnexpectedEof.into()));
        }
        reply.extend_from_slice(&chunk[..len]);
        if let Some(head_len) = check_reply(&reply, &derive_accept_key(key.as_bytes()), endpoint)? {
            reply.drain(..head_len);
            return Ok(reply);
        }
        if reply.len() > REPLY_MAX {
            return Err(DialError::Upgrade {
                host: endpoint.to_string(),
                what: "its headers are longer than 16 KiB",
            });
        }
    }
}

/// Checks the reply's head and returns its length; `None` = it is not complete.
fn check_reply(reply: &[u8], accept: &str, endpoint: &Endpoint) -> Result<Option<usize>, DialError> {
    let invalid = |what| DialError::Upgrade { host: endpoint.to_string(), what };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let head_len = match parsed.parse(reply) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(len)) => len,
        Err(httparse::Error::TooManyHeaders) => return Err(invalid("it has more than 64 headers")),
        Err(_) => return Err(invalid("it is not HTTP")),
    };
    let status = parsed.code.unwrap_or(0);
    if status != 101 {
        return Err(DialError::Refused { host: endpoint.to_string(), status });
    }
    let value = |name: &str| {
        let header = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok().map(str::trim)
    };
    let names = |list: Option<&str>, token: &str| {
        list.is_some_and(|list| list.split(',').any(|item| item.trim().eq_ignore_ascii_case(token)))
    };
    if !names(value("upgrade"), "websocket") {
        return Err(invalid("the header Upgrade: websocket is missing"));
    }
    if !names(value("connection"), "upgrade") {
        return Err(invalid("the header Connection: Upgrade is missing"));
    }
    if value("sec-websocket-accept") != Some(accept) {
        return Err(invalid("Sec-WebSocket-Accept does not answer our key"));
    }
    if value("sec-websocket-extensions").is_some_and(|list| !list.is_empty()) {
        return Err(invalid("it uses an extension that we did not offer"));
    }
    if value("sec-websocket-protocol").is_some_and(|name| !name.is_empty()) {
        return Err(invalid("it uses a subprotocol that we did not offer"));
    }
    Ok(Some(head_len))
}

fn non_blocking(tcp: TcpStream, deadline: &Deadline) -> Result<mio::net::TcpStream, DialError> {
    tcp.set_read_timeout(None)
        .and_then(|()| tcp.set_write_timeout(None))
        .and_then(|()| tcp.set_nonblocking(true))
        .map_err(|error| deadline.broken("switch to non-blocking", error))?;
    Ok(mio::net::TcpStream::from_std(tcp))
}

/// One limit for all steps, so that a server that drips bytes cannot hold the dialler.
struct Deadline {
    host: String,
    limit: Duration,
    begun: Instant,
}

impl Deadline {
    #[allow(clippy::disallowed_methods)] // a housekeeping thread's timeout; nothing of it reaches the stages
    fn start(endpoint: &Endpoint, limit: Duration) -> Self {
        Self { host: endpoint.to_string(), limit, begun: Instant::now() }
    }

    fn left(&self, step: &'static str) -> Result<Duration, DialError> {
        match self.limit.checked_sub(self.begun.elapsed()) {
            Some(left) if !left.is_zero() => Ok(left),
            _ => Err(self.timeout(step)),
        }
    }

    /// Limits the next read and write of the socket to what is left.
    fn arm(&self, tcp: &TcpStream, step: &'static str) -> Result<(), DialError> {
        let left = Some(self.left(step)?);
        tcp.set_read_timeout(left)
            .and_then(|()| tcp.set_write_timeout(left))
            .map_err(|error| self.broken(step, error))
    }

    /// The same where only an I/O error can be returned.
    fn arm_io(&self, tcp: &TcpStream) -> io::Result<()> {
        let left = self.limit.checked_sub(self.begun.elapsed()).filter(|left| !left.is_zero());
        let left = Some(left.ok_or(ErrorKind::TimedOut)?);
        tcp.set_read_timeout(left)?;
        tcp.set_write_timeout(left)
    }

    fn timeout(&self, step: &'static str) -> DialError {
        DialError::Timeout { host: self.host.clone(), step, limit: self.limit }
    }

    fn broken(&self, step: &'static str, source: io::Error) -> DialError {
        match source.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => self.timeout(step),
            _ => DialError::Broken { host: self.host.clone(), step, source },
        }
    }
}

/// Plain TCP under the deadline.
struct PlainWire<'a> {
    tcp: TcpStream,
    deadline: &'a Deadline,
}

impl Read for PlainWire<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.deadline.arm_io(&self.tcp)?;
        self.tcp.read(to)
    }
}

impl Write for PlainWire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.deadline.arm_io(&self.tcp)?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// TLS under the deadline.
struct TlsWire<'a> {
    tcp: TcpStream,
    session: ClientConnection,
    deadline: &'a Deadline,
}

impl Read for TlsWire<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.deadline.arm_io(&self.tcp)?;
        rustls::Stream::new(&mut self.session, &mut self.tcp).read(to)
    }
}

impl Write for TlsWire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.deadline.arm_io(&self.tcp)?;
        rustls::Stream::new(&mut self.session, &mut self.tcp).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.deadline.arm_io(&self.tcp)?;
        rustls::Stream::new(&mut self.session, &mut self.tcp).flush()
    }
}

#[cfg(test)]
#[path = "dial_tests.rs"]
mod tests;
