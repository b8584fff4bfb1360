//! A small HTTP server on loopback for monitors: `/metrics`, `/livez`, `/readyz`. One thread, one request per
//! connection, everything bounded; it only calls the closures it was given and knows nothing behind them.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Largest request head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most header lines in a request.
const HEADERS_MAX: usize = 64;
/// Time that one client may take to send its request, and to take the answer.
const CLIENT_MAX: Duration = Duration::from_secs(2);
/// What is read and thrown away after the answer, so that a client with unread bytes is not reset.
const DRAIN_BYTES_MAX: usize = 64 * 1024;

/// Whether all is well, else why not.
pub type Verdict = Result<(), String>;

/// What the server tells. Called on its thread; must not block on the engine.
pub struct Endpoints {
    /// The metrics, as Prometheus text.
    pub metrics: Box<dyn FnMut() -> String + Send>,
    /// The process works (otherwise a supervisor should restart it).
    pub live: Box<dyn FnMut() -> Verdict + Send>,
    /// The engine is fit to trade.
    pub ready: Box<dyn FnMut() -> Verdict + Send>,
}

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nothing here is protected, so nothing leaves the machine.
    #[error("the monitoring address {0} is not on loopback; use 127.0.0.1 and a proxy that authenticates")]
    NotLoopback(SocketAddr),
    /// The system refused.
    #[error("cannot serve monitors on {address}: {source}; choose another port")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl HttpServer {
    /// Starts serving on a loopback address; port 0 chooses a free one.
    pub fn start(address: SocketAddr, endpoints: Endpoints) -> Result<Self, HttpError> {
        if !address.ip().is_loopback() {
            return Err(HttpError::NotLoopback(address));
        }
        let fail = |source| HttpError::Bind { address, source };
        let listener = TcpListener::bind(address).map_err(fail)?;
        let bound = listener.local_addr().map_err(fail)?;
        let stop = Arc::new(AtomicBool::new(false));
        let seen = stop.clone();
        let thread = std::thread::Builder::new()
            .name("ops-http".to_owned())
            .spawn(move || serve(&listener, endpoints, &seen))
            .map_err(fail)?;
        Ok(Self { address: bound, stop, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits for its thread: at most as long as one client may take.
    pub fn stop(mut self) {
        self.shut();
    }

    fn shut(&mut self) {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return };
        // The thread waits in accept: a connection wakes it. If none can be made, it is left to the exit.
        if TcpStream::connect_timeout(&self.address, CLIENT_MAX).is_ok() || thread.is_finished() {
            let _ = thread.join(); // a panic of a closure has been printed
        }
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shut();
    }
}

/// The time for patience with clients; nothing of the engine sees it.
#[allow(clippy::disallowed_methods)]
fn now() -> Instant {
    Instant::now()
}

fn serve(listener: &TcpListener, mut endpoints: Endpoints, stop: &AtomicBool) {
    while !stop.load(Ordering::Acquire) {
        match listener.accept() {
            // A client that fails to be served is its own affair.
            Ok((client, _)) if !stop.load(Ordering::Acquire) => drop(answer(client, &mut endpoints)),
            Ok(_) => {}
            // Out of descriptors or the like: do not spin on it.
            Err(_) => std::thread::park_timeout(Duration::from_millis(50)),
        }
    }
}

/// An answer to be.
struct Answer {
    status: &'static str,
    content: &'static str,
    body: String,
    without_body: bool,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, content: "text/plain; charset=utf-8", body: body.into(), without_body: false }
    }
}

fn answer(mut client: TcpStream, endpoints: &mut Endpoints) -> io::Result<()> {
    let deadline = now() + CLIENT_MAX;
    client.set_write_timeout(Some(CLIENT_MAX))?;
    client.set_nodelay(true)?;
    let answer = read_request(&mut client, deadline, endpoints)?;
    let length = answer.body.len();
    let allow = if answer.status.starts_with("405") { "Allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {length}\r\n{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n",
        answer.status, answer.content
    );
    client.write_all(head.as_bytes())?;
    if !answer.without_body {
        client.write_all(answer.body.as_bytes())?;
    }
    client.shutdown(Shutdown::Write)?;
    drain(&mut client, deadline)
}

/// Reads one request's head and decides the answer; an error only when the connection is of no use.
fn read_request(client: &mut TcpStream, deadline: Instant, endpoints: &mut Endpoints) -> io::Result<Answer> {
    let mut head = [0; HEAD_BYTES_MAX];
    let mut len = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(&head[..len]) {
            Ok(httparse::Status::Complete(_)) => {
                return Ok(route(
                    request.method.unwrap_or_default(),
                    request.path.unwrap_or_default(),
                    endpoints,
                ));
            }
            Ok(httparse::Status::Partial) => {}
            Err(httparse::Error::TooManyHeaders) => {
                return Ok(Answer::text("431 Request Header Fields Too Large", "too many headers\n"));
            }
            Err(e) => return Ok(Answer::text("400 Bad Request", format!("not an HTTP request: {e}\n"))),
        }
        if len == head.len() {
            return Ok(Answer::text("431 Request Header Fields Too Large", "request head above 8 KiB\n"));
        }
        let left = deadline.saturating_duration_since(now());
        if left.is_zero() {
            return Ok(Answer::text("408 Request Timeout", "request not complete in time\n"));
        }
        client.set_read_timeout(Some(left))?;
        match client.read(&mut head[len..]) {
            Ok(0) if len == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(0) => return Ok(Answer::text("400 Bad Request", "request ends early\n")),
            Ok(n) => len += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(e) => return Err(e),
        }
    }
}

fn route(method: &str, target: &str, endpoints: &mut Endpoints) -> Answer {
    let path = target.split(['?', '#']).next().unwrap_or_default();
    if !matches!(path, "/metrics" | "/livez" | "/readyz") {
        return Answer::text("404 Not Found", "there is /metrics, /livez and /readyz\n");
    }
    if !matches!(method, "GET" | "HEAD") {
        return Answer::text("405 Method Not Allowed", "use GET\n");
    }
    let verdict = |verdict: Verdict| match verdict {
        Ok(()) => Answer::text("200 OK", "ok\n"),
        Err(why) => Answer::text("503 Service Unavailable", format!("{why}\n")),
    };
    let mut answer = match path {
        "/livez" => verdict((endpoints.live)()),
        "/readyz" => verdict((endpoints.ready)()),
        _ => Answer {
            content: "text/plain; version=0.0.4; charset=utf-8",
            ..Answer::text("200 OK", (endpoints.metrics)())
        },
    };
    answer.without_body = method == "HEAD";
    answer
}

fn drain(client: &mut TcpStream, deadline: Instant) -> io::Result<()> {
    let mut waste = [0; 1024];
    let mut left = DRAIN_BYTES_MAX;
    loop {
        let wait = deadline.saturating_duration_since(now());
        if wait.is_zero() || left == 0 {
            return Ok(());
        }
        client.set_read_timeout(Some(wait))?;
        match client.read(&mut waste)? {
            0 => return Ok(()),
            n => left = left.saturating_sub(n),
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test that waits for threads has a deadline
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    fn server() -> (HttpServer, Arc<AtomicBool>) {
        let ready = Arc::new(AtomicBool::new(false));
        let (seen, calls) = (ready.clone(), AtomicU32::new(0));
        let endpoints = Endpoints {
            metrics: Box::new(move || {
                format!("perpring_scrapes_total {}\n", calls.fetch_add(1, Ordering::Relaxed) + 1)
            }),
            live: Box::new(|| Ok(())),
            ready: Box::new(move || {
                if seen.load(Ordering::Relaxed) { Ok(()) } else { Err("okx: no session".into()) }
            }),
        };
        (HttpServer::start("127.0.0.1:0".parse().expect("address"), endpoints).expect("a free port"), ready)
    }

    fn ask(server: &HttpServer, request: &[u8]) -> String {
        let mut client = TcpStream::connect(server.address()).expect("listening");
        let _ = client.write_all(request); // may fail once the server has answered and left
        let _ = client.shutdown(Shutdown::Write);
        let mut reply = Vec::new();
        let _ = client.read_to_end(&mut reply);
        String::from_utf8(reply).expect("text")
    }

    #[test]
    fn monitors_get_metrics_and_verdicts() {
        let (server, ready) = server();
        let reply = ask(&server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("\r\n\r\nperpring_scrapes_total 1\n")
        );
        assert!(reply.contains("Content-Length: 25\r\n") && reply.contains("version=0.0.4"), "{reply}");
        let head = ask(&server, b"HEAD /metrics?x=1 HTTP/1.1\r\n\r\n");
        assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: 25"), "{head}");
        assert!(ask(&server, b"GET /livez HTTP/1.0\r\n\r\n").contains("200 OK"));
        let reply = ask(&server, b"GET /readyz HTTP/1.1\r\n\r\n");
        assert!(reply.starts_with("HTTP/1.1 503") && reply.ends_with("okx: no session\n"), "{reply}");
        ready.store(true, Ordering::Relaxed);
        assert!(ask(&server, b"GET /readyz HTTP/1.1\r\n\r\n").contains("200 OK"));
        server.stop();
    }

    #[test]
    fn bad_requests_get_an_answer_and_the_server_lives_on() {
        let (server, _) = server();
        let many: String = (0..100).map(|i| format!("h{i}: x\r\n")).collect();
        let cases: [(Vec<u8>, &str); 8] = [
            (b"GET /secret HTTP/1.1\r\n\r\n".to_vec(), "404"),
            (b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".to_vec(), "405"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01".to_vec(), "400"),
            (b"GET /metrics\r\n\r\n".to_vec(), "400"),
            (b"GET /metrics HTTP/1.1\r\nHost".to_vec(), "400"),
            ([b"GET /metrics HTTP/1.1\r\nx: ".to_vec(), vec![b'a'; 20_000]].concat(), "431"),
            (format!("GET /metrics HTTP/1.1\r\n{many}\r\n").into_bytes(), "431"),
            (b"GET /../metrics HTTP/1.1\r\n\r\n".to_vec(), "404"),
        ];
        for (request, status) in cases {
            let reply = ask(&server, &request);
            assert!(reply.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {reply:?}");
        }
        assert!(ask(&server, b"PUT /livez HTTP/1.1\r\n\r\n").contains("Allow: GET, HEAD"));
        assert_eq!(ask(&server, b""), "");
        assert!(ask(&server, b"GET /livez HTTP/1.1\r\n\r\n").contains("200 OK"));
    }

    #[test]
    fn a_client_that_says_nothing_is_given_up_and_the_stop_is_prompt() {
        let (server, _) = server();
        let silent = TcpStream::connect(server.address()).expect("listening");
        let begun = Instant::now();
        assert!(
            ask(&server, b"GET /livez HTTP/1.1\r\n\r\n").contains("200 OK"),
            "served after the silent one"
        );
        assert!(begun.elapsed() < 4 * CLIENT_MAX);
        server.stop();
        drop(silent);
    }

    #[test]
    fn only_loopback_is_served() {
        let endpoints = || Endpoints {
            metrics: Box::new(String::new),
            live: Box::new(|| Ok(())),
            ready: Box::new(|| Ok(())),
        };
        let refused = HttpServer::start("0.0.0.0:0".parse().expect("address"), endpoints());
        assert!(matches!(refused, Err(HttpError::NotLoopback(_))));
        let (first, _) = server();
        let taken = HttpServer::start(first.address(), endpoints());
        assert!(matches!(taken, Err(HttpError::Bind { .. })));
    }
}
