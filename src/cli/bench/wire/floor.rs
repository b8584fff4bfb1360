//! The floor: a program in the engine's place that only reads the market sockets, looks for a trigger's mark,
//! and writes orders that were made before. No faster engine is possible on these connections.
#![allow(clippy::disallowed_methods)] // the floor is measured by itself

use super::load::{Habits, MARKER};
use crate::runtime::affinity::pin_current_thread;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tungstenite::Message;

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// A running floor.
pub struct Floor {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<io::Result<u64>>,
}

/// Connects to the venues as the engine does and starts. `park` = sleep in the poll instead of spinning.
///
/// # Errors
/// When a venue cannot be reached.
pub fn start(venues: &[(SocketAddr, Habits)], cpu: Option<usize>, park: bool) -> io::Result<Floor> {
    let mut markets = Vec::new();
    let mut orders = Vec::new();
    for (addr, habits) in venues {
        markets.push(connect(*addr, &habits.market_path, &habits.subscribes)?);
        orders.push((connect(*addr, &habits.order_path, &[])?, frame(&habits.order)));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&stop);
    let thread = std::thread::Builder::new().name("floor".into()).spawn(move || {
        pin_current_thread(cpu);
        run(markets, orders, park, &told)
    })?;
    Ok(Floor { stop, thread })
}

impl Floor {
    /// Ends it; triggers seen.
    ///
    /// # Errors
    /// When a connection broke.
    pub fn end(self) -> io::Result<u64> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| io::Error::other("the floor's thread panicked"))?
    }
}

fn connect(addr: SocketAddr, path: &str, texts: &[Vec<u8>]) -> io::Result<TcpStream> {
    let stream = std::net::TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let url = format!("ws://localhost:{}{path}", addr.port());
    let (mut socket, _) =
        tungstenite::client(url, stream).map_err(|failure| io::Error::other(failure.to_string()))?;
    for text in texts {
        let text = String::from_utf8_lossy(text).into_owned();
        socket.send(Message::text(text)).map_err(|failure| io::Error::other(failure.to_string()))?;
    }
    let stream = socket.get_ref().try_clone()?;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream))
}

/// A client's text frame with the mask 0, which leaves the text as it is.
fn frame(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match u16::try_from(text.len()) {
        Ok(len) if len < 126 => frame.push(0x80 | len as u8),
        Ok(len) => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&len.to_be_bytes());
        }
        Err(_) => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(text.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text);
    frame
}

fn run(
    mut markets: Vec<TcpStream>,
    mut orders: Vec<(TcpStream, Vec<u8>)>,
    park: bool,
    stop: &AtomicBool,
) -> io::Result<u64> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(16);
    for (token, market) in markets.iter_mut().enumerate() {
        poll.registry().register(market, Token(token), Interest::READABLE)?;
    }
    let finder = memchr::memmem::Finder::new(MARKER.as_bytes());
    let mut bytes = vec![0; READ_BYTES];
    let mut seen = 0;
    let timeout = if park { Duration::from_millis(1) } else { Duration::ZERO };
    while !stop.load(Ordering::Acquire) {
        poll.poll(&mut events, Some(timeout))?;
        for event in &events {
            loop {
                match markets[event.token().0].read(&mut bytes) {
                    Ok(0) => return Err(io::Error::other("a venue closed the floor's market connection")),
                    Ok(count) => {
                        if finder.find(&bytes[..count]).is_some() {
                            seen += 1;
                            for (socket, order) in &mut orders {
                                socket.write_all(order)?;
                            }
                        }
                    }
                    Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => break,
                    Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                    Err(failure) => return Err(failure),
                }
            }
        }
    }
    Ok(seen)
}

/// Round trips of 200 bytes between two threads over plain TCP, ns: what the kernel alone costs.
///
/// # Errors
/// When loopback refuses.
pub fn plain_echo(limit: Duration, mut record: impl FnMut(i64)) -> io::Result<()> {
    const BYTES: usize = 200;
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let mut near = std::net::TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    let echo = std::thread::spawn(move || {
        let mut bytes = [0; BYTES];
        while far.read_exact(&mut bytes).is_ok() && far.write_all(&bytes).is_ok() {}
    });
    let mut bytes = [7; BYTES];
    let begun = Instant::now();
    while begun.elapsed() < limit {
        let sent = Instant::now();
        near.write_all(&bytes)?;
        near.read_exact(&mut bytes)?;
        record(i64::try_from(sent.elapsed().as_nanos()).unwrap_or(i64::MAX));
    }
    drop(near);
    // It ends with its connection.
    let _ = echo.join();
    Ok(())
}
