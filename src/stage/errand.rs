//! Errands: blocking work off the pinned threads — dialling connections and HTTP.
//!
//! Two threads own the blocking calls; the gateway hands them requests that are complete (secrets filled
//! in) and polls for results. Nothing here decides when to connect or retry: session machines do.

use super::egress::{KillLatch, admit_again};
use crate::domain::effect::{HttpId, OutMeta, Redact};
use crate::domain::input::{ConnId, DownReason, RefuseReason};
use crate::domain::instrument::VenueId;
use crate::domain::standing::Pace;
use crate::net::Gate;
use crate::net::dial::{DialRequest, Established, dial};
use crate::net::http::{HttpCall, HttpClient, HttpError, Reply};
use crate::net::proxy::Proxy;
use crate::venue::pace::pace_of;
use std::rc::Rc;
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

/// An order that waits for an HTTP thread: the gate is asked once more when its turn has come.
#[derive(Clone, Debug)]
pub struct Leave {
    latch: Arc<KillLatch>,
    meta: OutMeta,
}

impl Leave {
    /// For an order that passed the gate; `None` for what is no order.
    pub fn new(meta: &OutMeta, latch: &Arc<KillLatch>) -> Option<Self> {
        meta.order.is_some().then(|| Self { latch: Arc::clone(latch), meta: *meta })
    }

    /// Whether it may still leave.
    fn verdict(&self) -> Result<(), RefuseReason> {
        admit_again(&self.meta, &self.latch)
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
    /// An order, or an amendment of one, that waited for a thread was refused by the gate: not a byte of it was
    /// written.
    Withdrawn { meta: OutMeta, reason: RefuseReason },
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
    /// no longer leave when its turn has come is not made, and comes back as withdrawn.
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
        let waiting = leave.clone();
        let gate: Gate = Rc::new(move || waiting.as_ref().is_none_or(|leave| leave.verdict().is_ok()));
        let reply = perform_if(client, &base, &text, &gate);
        if let (Err(Unmade::Withdrawn), Some(leave)) = (&reply, &leave) {
            let reason = leave.verdict().err().unwrap_or(RefuseReason::Killed);
            if sender.send(Errand::Withdrawn { meta: leave.meta, reason }).is_err() {
                break;
            }
            continue;
        }
        let Reply { status, body, headers, .. } = reply.unwrap_or_else(|failure| {
            if let Unmade::Failed(failure) = failure {
                note(noted, failure);
            }
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

/// Why a request has no reply.
enum Unmade {
    /// The gate closed before a byte was written.
    Withdrawn,
    /// It failed; a sentence without secrets.
    Failed(String),
}

/// Sends the text form of an HTTP effect: `METHOD path?query`, header lines, an empty line, the body. Blocks.
///
/// # Errors
/// A sentence without secrets.
pub fn perform(client: &HttpClient, base: &str, text: &[u8]) -> Result<Reply, String> {
    perform_if(client, base, text, &(Rc::new(|| true) as Gate)).map_err(|failure| match failure {
        Unmade::Failed(sentence) => sentence,
        Unmade::Withdrawn => "withdrawn".to_owned(),
    })
}

/// The same while `gate` is open, which is asked last when a connection stands.
fn perform_if(client: &HttpClient, base: &str, text: &[u8], gate: &Gate) -> Result<Reply, Unmade> {
    let broken = || Unmade::Failed("an HTTP request of a dialect is not in the effect's form".to_owned());
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
    let call = HttpCall { method, base, path_and_query, headers: &headers, body: rest };
    client.request_if(&call, gate).map_err(|failure| match failure {
        HttpError::Withdrawn { .. } => Unmade::Withdrawn,
        failure => Unmade::Failed(failure.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::{MessageId, OrderCall, Target};
    use crate::domain::event::Seq;
    use crate::domain::order::{ClientId, OrderSpec};
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

    /// What the next errands bring: ids of replies with their status, and numbers of withdrawn messages.
    #[derive(Default)]
    struct Heard {
        replies: Vec<(HttpId, u16)>,
        withdrawn: Vec<(u64, RefuseReason)>,
    }

    impl Heard {
        fn until(errands: &Errands, count: usize) -> Self {
            let mut heard = Self::default();
            while heard.replies.len() + heard.withdrawn.len() < count {
                match errands.poll() {
                    Some(Errand::Replied { id, status, .. }) => heard.replies.push((id, status)),
                    Some(Errand::Withdrawn { meta, reason }) => {
                        let order = meta.order.expect("an order");
                        assert_eq!(order.client_id.sequence(), meta.message.0, "it names its order");
                        heard.withdrawn.push((meta.message.0, reason));
                    }
                    Some(Errand::Dialled { .. }) => panic!("nobody dials"),
                    None => std::thread::yield_now(),
                }
            }
            heard.withdrawn.sort_by_key(|(number, _)| *number);
            heard
        }
    }

    fn id(number: u64) -> HttpId {
        HttpId::of_order(OrderCall::Place, ClientId::new(1, number))
    }

    /// The order `number` of a venue, as it passed the gate.
    fn leave(
        number: u64,
        venue: u8,
        urgent: bool,
        reduce_only: bool,
        latch: &Arc<KillLatch>,
    ) -> Option<Leave> {
        let order = OrderSpec {
            client_id: ClientId::new(1, number),
            venue: VenueId(venue),
            reduce_only,
            ..OrderSpec::default()
        };
        let target = Target::Http { venue: VenueId(venue), id: id(number), redact: None };
        let meta = OutMeta {
            message: MessageId(number),
            cause: Seq(1),
            cause_mono: 0,
            age_max: 1,
            target,
            epoch: 0,
            urgent,
            order: Some(order),
            amends: false,
            replaces: ClientId::NONE,
        };
        Leave::new(&meta, latch)
    }

    fn errands() -> Errands {
        let trust = Trust::nobody();
        let client = HttpClient::new(&trust, Duration::from_secs(30));
        let tls = trust.client_config().expect("a provider");
        let mut errands = Errands::start(tls, vec![client], Vec::new()).expect("threads");
        errands.serve_orders(2).expect("threads");
        errands
    }

    fn answer_all(busy: &mut [TcpStream]) {
        for stream in busy {
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            stream.write_all(reply).expect("a reader");
        }
    }

    /// What waits for a thread while `close` happens: an entry, a hedge, a reduction, a cancel; which of them are
    /// withdrawn, and why.
    fn withdrawn_after(close: impl FnOnce(&KillLatch)) -> Vec<(u64, RefuseReason)> {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base: Arc<str> = format!("http://{}", listener.local_addr().expect("bound")).into();
        let (errands, latch) = (errands(), Arc::new(KillLatch::default()));
        let call = |number, leave| {
            errands.call(VenueId(0), id(number), None, &base, b"POST /order\n\n".to_vec(), leave);
        };
        let threads = ORDER_THREADS as u64;
        (1..=threads).for_each(|number| call(number, leave(number, 0, false, false, &latch)));
        let mut busy: Vec<TcpStream> = (0..threads).map(|_| accept(&listener)).collect();
        call(11, leave(11, 0, false, false, &latch));
        call(12, leave(12, 0, true, false, &latch));
        call(13, leave(13, 0, true, true, &latch));
        call(14, None);
        close(&latch);
        answer_all(&mut busy);
        let open = std::thread::scope(|scope| {
            let serving = scope.spawn(|| {
                listener.set_nonblocking(false).expect("a socket");
                let mut served = 0;
                while let Ok((mut stream, _)) = listener.accept() {
                    let mut byte = [0];
                    if stream.read(&mut byte).unwrap_or(0) == 0 {
                        break;
                    }
                    served += 1;
                    answer_all(std::slice::from_mut(&mut stream));
                    let _ = stream.set_read_timeout(Some(Duration::from_millis(20)));
                    let _ = std::io::copy(&mut stream, &mut std::io::sink());
                }
                served
            });
            let heard = Heard::until(&errands, ORDER_THREADS + 4);
            // An empty connection ends the server.
            drop(TcpStream::connect(listener.local_addr().expect("bound")));
            (heard, serving.join().expect("a server"))
        });
        let (heard, served) = open;
        assert_eq!(served + heard.withdrawn.len(), 4, "what was withdrawn was never requested");
        assert!(heard.replies.iter().all(|(_, status)| *status == 200), "{:?}", heard.replies);
        assert!(errands.take_notes().is_empty(), "a withdrawn order is no failure");
        heard.withdrawn
    }

    #[test]
    fn what_waits_for_a_thread_meets_every_gate_again_when_its_turn_comes() {
        use RefuseReason::{Journal, Killed, Stopped};
        assert_eq!(withdrawn_after(KillLatch::kill), [(11, Killed), (12, Killed)]);
        assert_eq!(withdrawn_after(|latch| latch.kill_venue(VenueId(0))), [(11, Killed), (12, Killed)]);
        assert_eq!(withdrawn_after(|latch| latch.kill_venue(VenueId(1))), []);
        assert_eq!(withdrawn_after(KillLatch::fail_journal), [(11, Journal)]);
        assert_eq!(withdrawn_after(KillLatch::stop), [(11, Stopped)]);
        assert_eq!(withdrawn_after(|_| ()), [], "its age does not count any more");
    }

    #[test]
    fn orders_of_a_venue_that_does_not_answer_hold_up_nobody_else() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base: Arc<str> = format!("http://{}", listener.local_addr().expect("bound")).into();
        let (errands, latch) = (errands(), Arc::new(KillLatch::default()));
        let threads = ORDER_THREADS as u64;
        for number in 1..=threads {
            let leave = leave(number, 0, false, false, &latch);
            errands.call(VenueId(0), id(number), None, &base, b"POST /order\n\n".to_vec(), leave);
        }
        let mut busy: Vec<TcpStream> = (0..threads).map(|_| accept(&listener)).collect();
        // What is no order does not wait behind them, nor does an order at another venue.
        errands.call(VenueId(0), HttpId(7), None, &base, b"GET /list\n\n".to_vec(), None);
        busy.push(accept(&listener));
        let other = leave(99, 1, false, false, &latch);
        errands.call(VenueId(1), id(99), None, &base, b"POST /order\n\n".to_vec(), other);
        busy.push(accept(&listener));
        answer_all(&mut busy);
        let heard = Heard::until(&errands, ORDER_THREADS + 2);
        assert!(heard.withdrawn.is_empty() && heard.replies.iter().all(|(_, status)| *status == 200));
    }
}
