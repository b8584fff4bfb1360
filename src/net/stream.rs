//! The established connection under a WebSocket: plain TCP or TLS, non-blocking, behind one small trait.
//!
//! Moves bytes and nothing else. TLS is the one exception to the rule of no allocation per message: the TLS
//! library allocates for each received record.

use mio::net::TcpStream;
use mio::{Interest, Registry, Token, event::Source};
use rustls::ClientConnection;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes read; 0 = the peer has closed its direction.
    pub len: usize,
    /// The socket had no more at that moment (a short read); known without a second system call.
    pub drained: bool,
}

/// A non-blocking byte stream. `WouldBlock` is an ordinary answer of every method.
pub trait Transport {
    /// Reads what is there, at most `to.len()` bytes.
    ///
    /// # Errors
    /// `WouldBlock` when nothing is there; every other error ends the connection.
    fn receive(&mut self, to: &mut [u8]) -> io::Result<Received>;

    /// Takes over some of `bytes` for sending and says how many.
    ///
    /// # Errors
    /// `WouldBlock` when it takes none now; every other error ends the connection.
    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Pushes what was taken over to the kernel; `Ok(true)` = nothing is left behind.
    ///
    /// # Errors
    /// Every error but `WouldBlock` (which is `Ok(false)`) ends the connection.
    fn push(&mut self) -> io::Result<bool>;

    /// Whether what was taken over may stay here until a push; else `push` need not be called.
    fn holds_back(&self) -> bool;
}

/// The real thing.
pub enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
}

/// A TLS session over TCP, after its handshake.
pub struct TlsStream {
    tcp: TcpStream,
    session: ClientConnection,
    /// The last read of the socket was short.
    tcp_drained: bool,
}

impl Stream {
    /// Plain TCP. The stream must be non-blocking.
    pub fn plain(tcp: TcpStream) -> Self {
        Self::Plain(tcp)
    }

    /// TLS after its handshake; plaintext that it already holds is read first.
    pub fn tls(tcp: TcpStream, session: ClientConnection) -> Self {
        Self::Tls(Box::new(TlsStream { tcp, session, tcp_drained: false }))
    }

    /// The socket below.
    pub fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &tls.tcp,
        }
    }

    fn tcp_mut(&mut self) -> &mut TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => &mut tls.tcp,
        }
    }

    /// Whether bytes are encrypted on the wire.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The other end.
    ///
    /// # Errors
    /// When the socket is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.tcp().peer_addr()
    }
}

impl Transport for Stream {
    #[inline]
    fn receive(&mut self, to: &mut [u8]) -> io::Result<Received> {
        match self {
            Self::Plain(tcp) => tcp.receive(to),
            Self::Tls(tls) => tls.receive(to),
        }
    }

    #[inline]
    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.transmit(bytes),
            Self::Tls(tls) => tls.transmit(bytes),
        }
    }

    #[inline]
    fn push(&mut self) -> io::Result<bool> {
        match self {
            Self::Plain(tcp) => tcp.push(),
            Self::Tls(tls) => tls.push(),
        }
    }

    #[inline]
    fn holds_back(&self) -> bool {
        self.is_tls()
    }
}

impl Transport for TcpStream {
    #[inline]
    fn receive(&mut self, to: &mut [u8]) -> io::Result<Received> {
        let len = retry(|| self.read(to))?;
        // epoll(7): a read of fewer bytes than asked means that a stream socket is drained.
        Ok(Received { len, drained: len < to.len() })
    }

    #[inline]
    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match retry(|| self.write(bytes))? {
            0 if !bytes.is_empty() => Err(ErrorKind::WriteZero.into()),
            len => Ok(len),
        }
    }

    #[inline]
    fn push(&mut self) -> io::Result<bool> {
        Ok(true) // the kernel holds everything
    }

    #[inline]
    fn holds_back(&self) -> bool {
        false
    }
}

impl Transport for TlsStream {
    fn receive(&mut self, to: &mut [u8]) -> io::Result<Received> {
        loop {
            match self.session.reader().read(to) {
                Ok(len) => return Ok(Received { len, drained: self.tcp_drained && len < to.len() }),
                // No close_notify: for us the same as an end; whether a frame was cut is seen above.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    return Ok(Received { len: 0, drained: true });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            let mut socket = ShortReads { tcp: &mut self.tcp, short: true };
            // At the end of the stream this returns 0, and the reader above says so next time round.
            retry(|| self.session.read_tls(&mut socket))?;
            self.tcp_drained = socket.short;
            if let Err(error) = self.session.process_new_packets() {
                let _ = self.session.write_tls(&mut self.tcp); // the alert, if it can still be told
                return Err(io::Error::new(ErrorKind::InvalidData, error));
            }
            if self.session.wants_write() {
                self.push()?; // answers of the protocol itself, such as key updates
            }
        }
    }

    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The session's own buffer is bounded (64 KiB of plaintext); a full one takes nothing.
        match self.session.writer().write(bytes)? {
            0 if !bytes.is_empty() => Err(ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }

    fn push(&mut self) -> io::Result<bool> {
        while self.session.wants_write() {
            match retry(|| self.session.write_tls(&mut self.tcp)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn holds_back(&self) -> bool {
        true
    }
}

/// Notes whether the last read filled less than it was given.
struct ShortReads<'a> {
    tcp: &'a mut TcpStream,
    short: bool,
}

impl Read for ShortReads<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let len = self.tcp.read(to)?;
        self.short = len < to.len();
        Ok(len)
    }
}

/// Repeats a call that a signal interrupted.
#[inline]
fn retry<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

impl Source for Stream {
    fn register(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.tcp_mut().register(registry, token, interests)
    }

    fn reregister(&mut self, registry: &Registry, token: Token, interests: Interest) -> io::Result<()> {
        self.tcp_mut().reregister(registry, token, interests)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.tcp_mut().deregister(registry)
    }
}

/// For code that wants plain [`Read`], such as tests.
impl Read for Stream {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.receive(to).map(|received| received.len)
    }
}

/// For code that wants plain [`Write`], such as tests.
impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.transmit(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.push()? { Ok(()) } else { Err(ErrorKind::WouldBlock.into()) }
    }
}
