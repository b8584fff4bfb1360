//! Errands: blocking work off the pinned threads — dialling connections and HTTP.
//!
//! Two threads own the blocking calls; the gateway hands them requests that are complete (secrets filled
//! in) and polls for results. Nothing here decides when to connect or retry: session machines do.

use super::egress::KillLatch;
use crate::domain::effect::{HttpId, Redact};
use crate::domain::input::{ConnId, DownReason};
use crate::domain::instrument::VenueId;
use crate::domain::order::OrderSpec;
use crate::domain::standing::Pace;
use crate::net::dial::{DialRequest, Established, dial};
use crate::net::http::{HttpCall, HttpClient, Reply};
use crate::net::proxy::Proxy;
use crate::venue::pace::pace_of;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest time for a connection to come up.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// Dialling threads: as many connections as a few venues have.
const DIAL_THREADS: usize = 8;

/// HTTP threads: a slow instrument list must not hold up an order query.
const HTTP_THREADS: usize = 4;

/// HTTP threads of each venue for what concerns orders: these wait for nothing but each other, so that a venue that
/// does not answer holds up no order of another.
const ORDER_THREADS: usize = 4;

/// A request for the dialler.
struct Dial {
    conn: ConnId,
    epoch: u32,
    request: DialRequest,
}

/// A request for an HTTP thread: the text form of the effect with its secrets filled in.
struct Http {
    venue: VenueId,
    id: HttpId,
    redact: Option<Redact>,
    base: Arc<str>,
    text: Vec<u8>,
    /// Of an order: what the gate says when its turn has come.
    leave: Option<Leave>,
}

/// The gate's rule for an order that waits for an HTTP thread: a kill stops it. Nothing else does, as the other leg
/// of its basket may have left; an order that is late is refused by the venue.
#[derive(Clone, Debug)]
pub struct Leave {
    latch: Arc<KillLatch>,
    reduce_only: bool,
}

impl Leave {
    /// For an order that passed the gate.
    pub fn new(order: &OrderSpec, latch: &Arc<KillLatch>) -> Self {
        Self { latch: Arc::clone(latch), reduce_only: order.reduce_only }
    }

    /// Whether it may still leave.
    fn is_open(&self) -> bool {
        self.reduce_only || !self.latch.is_killed()
    }
}

/// What came back.
#[allow(missing_docs)] // the fields are those of the request
pub enum Errand {
    /// A connection was made, or could not be.
    Dialled { conn: ConnId, epoch: u32, result: Result<Established, DownReason> },
    /// A reply; status 0 = none.
    Replied {
        venue: VenueId,
        id: HttpId,
        redact: Option<Redact>,
        status: u16,
        body: Vec<u8>,
        pace: Option<Pace>,
    },
}

/// Owner of the errand threads; dropping it lets them finish and end.
pub struct Errands {
    dials: Option<Sender<Dial>>,
    /// Requests of session machines.
    calls: Option<Sender<Http>>,
    /// Requests about orders, by venue.
    orders: Vec<Sender<Http>>,
    clients: Vec<HttpClient>,
    results: Receiver<Errand>,
    /// For threads that start later.
    sender: Sender<Errand>,
    threads: Vec<JoinHandle<()>>,
    tls: Arc<rustls::ClientConfig>,
    /// By venue; none beyond the end.
    proxies: Vec<Option<Arc<Proxy>>>,
    /// Last few failures, as sentences, for people.
    notes: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Errands {
    /// Starts the threads. `clients` and `proxies` are by venue; a venue beyond the end of `clients` uses the last.
    pub fn start(
        tls: Arc<rustls::ClientConfig>,
        clients: Vec<HttpClient>,
        proxies: Vec<Option<Arc<Proxy>>>,
    ) -> std::io::Result<Self> {
        let (result_sender, results) = channel();
        let (dials, dial_receiver) = channel::<Dial>();
        let notes = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        // A venue that swallows packets holds a dialling thread for the whole time limit: others go on.
        let dial_receiver = Arc::new(std::sync::Mutex::new(dial_receiver));
        for index in 0..DIAL_THREADS {
            let (sender, noted, receiver) =
                (result_sender.clone(), Arc::clone(&notes), Arc::clone(&dial_receiver));
            threads.push(std::thread::Builder::new().name(format!("dial-{index}")).spawn(move || {
                loop {
                    let next = match receiver.lock() {
                        Ok(receiver) => receiver.recv(),
                        Err(_) => break,
                    };
                    let Ok(Dial { conn, epoch, request }) = next else { break };
                    let result = dial(&request).map_err(|failure| {
                        note(&noted, failure.to_string());
                        DownReason::Refused
                    });
                    if sender.send(Errand::Dialled { conn, epoch, result }).is_err() {
                        break;
                    }
                }
            })?);
        }
        let sender = result_sender;
        let (calls, orders) = (None, Vec::new());
        let dials = Some(dials);
        let mut errands =
            Self { dials, calls, orders, clients, results, sender, threads, tls, proxies, notes };
        errands.calls = Some(errands.http_threads("http", HTTP_THREADS)?);
        Ok(errands)
    }

    /// Starts the threads for orders of so many venues. Without them what is about orders waits with the rest.
    pub fn serve_orders(&mut self, venues: usize) -> std::io::Result<()> {
        while self.orders.len() < venues {
            let calls = self.http_threads(&format!("order-{}", self.orders.len()), ORDER_THREADS)?;
            self.orders.push(calls);
        }
        Ok(())
    }

    /// Threads that share a queue of requests.
    fn http_threads(&mut self, name: &str, count: usize) -> std::io::Result<Sender<Http>> {
        let (calls, receiver) = channel::<Http>();
        let receiver = Arc::new(std::sync::Mutex::new(receiver));
        for index in 0..count {
            let (sender, noted) = (self.sender.clone(), Arc::clone(&self.notes));
            let (receiver, clients) = (Arc::clone(&receiver), self.clients.clone());
            let thread = std::thread::Builder::new().name(format!("{name}-{index}"));
            self.threads.push(thread.spawn(move || answer(&receiver, &clients, &sender, &noted))?);
        }
        Ok(calls)
    }

    /// Asks for a connection.
    pub fn dial(&self, venue: VenueId, conn: ConnId, epoch: u32, url: &str, path_and_query: String) {
        let request = DialRequest {
            url: url.to_owned(),
            path_and_query,
            tls: Arc::clone(&self.tls),
            proxy: self.proxies.get(venue.index()).cloned().flatten(),
            timeout: DIAL_TIMEOUT,
        };
        if let Some(dials) = &self.dials {
            // The thread outlives this sender, so sending cannot fail.
            let _ = dials.send(Dial { conn, epoch, request });
        }
    }

    /// Asks for an HTTP request; what is about orders does not wait behind the others. With `leave`, one that may
    /// no longer leave when its turn has come is not made, and counts as not answered.
    pub fn call(
        &self,
        venue: VenueId,
        id: HttpId,
        redact: Option<Redact>,
        base: &Arc<str>,
        text: Vec<u8>,
        leave: Option<Leave>,
    ) {
        let orders = id.order().and_then(|_| self.orders.get(venue.index()));
        if let Some(calls) = orders.or(self.calls.as_ref()) {
            let _ = calls.send(Http { venue, id, redact, base: Arc::clone(base), text, leave });
        }
    }

    /// The next result, if one is there.
    pub fn poll(&self) -> Option<Errand> {
        self.results.try_recv().ok()
    }

    /// Failures since the last call, as sentences.
    pub fn take_notes(&self) -> Vec<String> {
        self.notes.lock().map(|mut notes| std::mem::take(&mut *notes)).unwrap_or_default()
    }

    /// Ends the threads; a call in flight runs into its time limit first, so this does not wait for it.
    pub fn stop(&mut self) {
        self.dials = None;
        self.calls = None;
        self.orders.clear();
        self.threads.clear();
    }
}

/// What an HTTP thread does until nobody asks any more.
fn answer(
    receiver: &std::sync::Mutex<Receiver<Http>>,
    clients: &[HttpClient],
    sender: &Sender<Errand>,
    noted: &std::sync::Mutex<Vec<String>>,
) {
    loop {
        let next = match receiver.lock() {
            Ok(receiver) => receiver.recv(),
            Err(_) => break,
        };
        let Ok(Http { venue, id, redact, base, text, leave }) = next else { break };
        let Some(client) = clients.get(venue.index()).or(clients.last()) else { break };
        let reply = if leave.is_none_or(|leave| leave.is_open()) {
            perform(client, &base, &text)
        } else {
            Err("an order that waited for an HTTP thread was stopped by the kill".to_owned())
        };
        let Reply { status, body, headers, .. } = reply.unwrap_or_else(|failure| {
            note(noted, failure);
            Reply::default()
        });
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let pace = pace_of(venue, status, headers);
        if sender.send(Errand::Replied { venue, id, redact, status, body, pace }).is_err() {
            break;
        }
    }
}

fn note(notes: &std::sync::Mutex<Vec<String>>, text: String) {
    if let Ok(mut notes) = notes.lock()
        && notes.len() < 64
    {
        notes.push(text);
    }
}

/// Sends the text form of an HTTP effect: `METHOD path?query`, header lines, an empty line, the body. Blocks.
///
/// # Errors
/// A sentence without secrets.
pub fn perform(client: &HttpClient, base: &str, text: &[u8]) -> Result<Reply, String> {
    let broken = || "an HTTP request of a dialect is not in the effect's form".to_owned();
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let first = std::str::from_utf8(parts.next().unwrap_or_default()).map_err(|_| broken())?;
    let (method, path_and_query) = first.split_once(' ').ok_or_else(broken)?;
    let mut rest = parts.next().unwrap_or_default();
    let mut headers = Vec::new();
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| broken())?;
        rest = rest.get(end + 1..).unwrap_or_default();
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.trim(), value.trim()));
    }
    client
        .request(&HttpCall { method, base, path_and_query, headers: &headers, body: rest })
        .map_err(|failure| failure.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::OrderCall;
    use crate::domain::order::ClientId;
    use crate::net::tls::Trust;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_failure_tells_the_host_and_no_secret() {
        let client = HttpClient::new(&Trust::nobody(), Duration::from_millis(500));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let closed = listener.local_addr().expect("bound").to_string();
        drop(listener);
        let bases = [format!("http://{closed}"), format!("https://{closed}"), "nonsense".to_owned()];
        let texts = [
            "GET /x?signature=S3CRET\nX-KEY: S3CRET\n\n",
            "GET /x y?signature=S3CRET\nX-KEY: S3\u{1}CRET\n\nS3CRET",
        ];
        for (base, text) in bases.iter().flat_map(|base| texts.map(|text| (base, text))) {
            let (base, text) = (Arc::from(base.as_str()), text.as_bytes().to_vec());
            let (venue, id) = (VenueId(0), HttpId::default());
            let call = Http { venue, id, redact: None, base, text, leave: None };
            let said = perform(&client, &call.base, &call.text).expect_err("nobody answers");
            assert!(!said.is_empty() && !said.contains("S3"), "{said}");
        }
    }

    /// Takes a request and holds its connection.
    fn accept(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().expect("a client");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a request");
            head.push(byte[0]);
        }
        stream
    }

    #[test]
    fn an_order_that_waits_for_a_thread_is_stopped_by_a_kill_and_counts_as_not_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base: Arc<str> = format!("http://{}", listener.local_addr().expect("bound")).into();
        let trust = Trust::nobody();
        let client = HttpClient::new(&trust, Duration::from_secs(30));
        let tls = trust.client_config().expect("a provider");
        let mut errands = Errands::start(tls, vec![client], Vec::new()).expect("threads");
        errands.serve_orders(2).expect("threads");
        let latch = Arc::new(KillLatch::default());
        let id = |number: usize| HttpId::of_order(OrderCall::Place, ClientId::new(1, number as u64));
        for number in 0..=ORDER_THREADS {
            let leave = Some(Leave::new(&OrderSpec::default(), &latch));
            errands.call(VenueId(0), id(number), None, &base, b"POST /order\n\n".to_vec(), leave);
        }
        // Every thread is busy with an order; one more waits. What is no order does not.
        let mut busy: Vec<TcpStream> = (0..ORDER_THREADS).map(|_| accept(&listener)).collect();
        errands.call(VenueId(0), HttpId(7), None, &base, b"GET /list\n\n".to_vec(), None);
        busy.push(accept(&listener));
        // Nor does an order at another venue.
        let leave = Some(Leave::new(&OrderSpec::default(), &latch));
        errands.call(VenueId(1), id(99), None, &base, b"POST /order\n\n".to_vec(), leave);
        busy.push(accept(&listener));
        latch.kill();
        for stream in &mut busy {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            stream.write_all(reply).expect("a reader");
        }
        let mut replies = Vec::new();
        while replies.len() < ORDER_THREADS + 3 {
            match errands.poll() {
                Some(Errand::Replied { id, status, .. }) => replies.push((id, status)),
                Some(Errand::Dialled { .. }) => panic!("nobody dials"),
                None => std::thread::yield_now(),
            }
        }
        let stopped: Vec<_> = replies.iter().filter(|(_, status)| *status == 0).collect();
        assert_eq!(stopped, [&(id(ORDER_THREADS), 0)], "{replies:?}");
        listener.set_nonblocking(true).expect("a socket");
        assert!(listener.accept().is_err(), "its request was never made");
        assert_eq!(errands.take_notes().len(), 1);
        errands.stop();
    }
}
