//! Errands: blocking work off the pinned threads — dialling connections and HTTP.
//!
//! Two threads own the blocking calls; the gateway hands them requests that are complete (secrets filled
//! in) and polls for results. Nothing here decides when to connect or retry: session machines do.

use crate::domain::effect::{HttpId, Redact};
use crate::domain::input::{ConnId, DownReason};
use crate::domain::instrument::VenueId;
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
    calls: Option<Sender<Http>>,
    results: Receiver<Errand>,
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
        let (calls, call_receiver) = channel::<Http>();
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
        let call_receiver = Arc::new(std::sync::Mutex::new(call_receiver));
        for index in 0..HTTP_THREADS {
            let (sender, noted, receiver) =
                (result_sender.clone(), Arc::clone(&notes), Arc::clone(&call_receiver));
            let clients = clients.clone();
            threads.push(std::thread::Builder::new().name(format!("http-{index}")).spawn(move || {
                loop {
                    let next = match receiver.lock() {
                        Ok(receiver) => receiver.recv(),
                        Err(_) => break,
                    };
                    let Ok(call) = next else { break };
                    let Some(client) = clients.get(call.venue.index()).or(clients.last()) else { break };
                    let (status, body, headers) = match perform(client, &call.base, &call.text) {
                        Ok(reply) => (reply.status, reply.body, reply.headers),
                        Err(failure) => {
                            note(&noted, failure);
                            (0, Vec::new(), Vec::new())
                        }
                    };
                    let Http { venue, id, redact, .. } = call;
                    let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
                    let pace = pace_of(venue, status, headers);
                    if sender.send(Errand::Replied { venue, id, redact, status, body, pace }).is_err() {
                        break;
                    }
                }
            })?);
        }
        Ok(Self { dials: Some(dials), calls: Some(calls), results, threads, tls, proxies, notes })
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

    /// Asks for an HTTP request.
    pub fn call(&self, venue: VenueId, id: HttpId, redact: Option<Redact>, base: &Arc<str>, text: Vec<u8>) {
        if let Some(calls) = &self.calls {
            let _ = calls.send(Http { venue, id, redact, base: Arc::clone(base), text });
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
        self.threads.clear();
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
    use crate::net::tls::Trust;

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
            let call = Http { venue: VenueId(0), id: HttpId::default(), redact: None, base, text };
            let said = perform(&client, &call.base, &call.text).expect_err("nobody answers");
            assert!(!said.is_empty() && !said.contains("S3"), "{said}");
        }
    }
}
