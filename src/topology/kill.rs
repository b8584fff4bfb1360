//! The kill threads: when the latch closes, each cancels every open order at its venue over HTTP, by itself, with
//! its own connections, budget and small journal. They share nothing with the river but the latch, so they
//! work while the river is stuck; the sequenced command that a kill submits as well does the rest when it can.
#![allow(clippy::disallowed_methods)] // signing needs the wall time, patience needs a clock; nothing here is an input

use crate::domain::params::EngineParams;
use crate::domain::time::Stamp;
use crate::net::http::{HttpClient, Reply};
use crate::net::tls::Trust;
use crate::ops::view::Board;
use crate::stage::decode::plan;
use crate::stage::egress::{Credentials, KillLatch, Vault};
use crate::stage::errand::perform;
use crate::stage::gateway::Addresses;
use crate::venue::{KillReply, KillSwitch, VenueContext, dialect};
use serde::Serialize;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The record of kills, in the journal's directory: a JSON object per request, synchronised one by one.
pub const KILL_FILE: &str = "kill.jsonl";

/// Longest time for one of its requests.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// Longest time for one kill at one venue.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);
/// Pause between the first two rounds.
const PAUSE: Duration = Duration::from_millis(150);
/// Longest pause between two rounds.
const PAUSE_MAX: Duration = Duration::from_millis(1_200);
/// Requests of one kill at one venue: its own budget, far below what venues allow in that time.
const REQUESTS_MAX: u32 = 200;
/// How often a thread that nobody woke looks at the latch.
const LOOK: Duration = Duration::from_millis(20);

/// The kill threads of a run, one per venue that has a way to cancel everything.
pub struct Killers {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// A line of the record.
#[derive(Serialize)]
struct Entry<'a> {
    wall_ns: i64,
    generation: u64,
    venue: &'a str,
    /// Method and path; the query, which is signed, is left out.
    request: &'a str,
    status: u16,
    verdict: &'a str,
}

struct Killer {
    context: VenueContext,
    base: String,
    vault: Vault,
    client: HttpClient,
    latch: Arc<KillLatch>,
    stop: Arc<AtomicBool>,
    board: Board,
    record: Option<PathBuf>,
    sealed: Vec<u8>,
}

impl Killers {
    /// Starts a thread for each venue of `params` with credentials. What cannot be killed this way is noted on
    /// the board now, not when it matters.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        params: &EngineParams,
        addresses: &Addresses,
        credentials: &[Option<Credentials>],
        trust: &Trust,
        latch: &Arc<KillLatch>,
        journal: Option<&Path>,
        board: &Board,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        let contexts = plan(params, true).map(|(_, contexts)| contexts).unwrap_or_default();
        for (venue, context) in contexts.into_iter().enumerate() {
            let Some(dialect) = dialect(&context.params.dialect) else { continue };
            if dialect.kill_switch(&context).is_none() {
                note(
                    board,
                    format!("{}: a kill cannot cancel over HTTP here, only by the river", dialect.name()),
                );
                continue;
            }
            let (Some(base), Some(Some(_))) = (addresses.http.get(venue), credentials.get(venue)) else {
                continue;
            };
            let killer = Killer {
                base: base.clone(),
                vault: Vault::new(credentials.to_vec()),
                client: HttpClient::through(
                    trust,
                    REQUEST_TIMEOUT,
                    addresses.proxies.get(venue).cloned().flatten(),
                ),
                latch: Arc::clone(latch),
                stop: Arc::clone(&stop),
                board: board.clone(),
                record: journal.map(|dir| dir.join(KILL_FILE)),
                sealed: Vec::with_capacity(4096),
                context,
            };
            let name = format!("kill-{}", killer.context.params.dialect);
            threads.push(std::thread::Builder::new().name(name).spawn(move || killer.run())?);
        }
        Ok(Self { stop, threads })
    }

    /// Wakes the threads after the latch was closed.
    pub fn wake(&self) {
        self.threads.iter().for_each(|thread| thread.thread().unpark());
    }

    /// Ends the threads; a kill that is under way is finished first (it is bounded).
    pub fn end(mut self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
        for thread in std::mem::take(&mut self.threads) {
            // A panic of one must not keep the run from its report.
            let _ = thread.join();
        }
    }
}

impl Drop for Killers {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

fn note(board: &Board, text: String) {
    let mut view = board.read();
    view.notes_total += 1;
    view.notes.push(text);
}

fn wall_ns() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

impl Killer {
    fn run(mut self) {
        let mut seen = 0;
        loop {
            let generation = self.latch.generation();
            if generation != seen {
                seen = generation;
                self.kill(generation);
            } else if self.stop.load(Ordering::Acquire) {
                return;
            } else {
                std::thread::park_timeout(LOOK);
            }
        }
    }

    /// Cancels until the venue says that nothing is open.
    fn kill(&mut self, generation: u64) {
        let venue = self.context.params.dialect.clone();
        let Some(mut switch) = dialect(&venue).and_then(|dialect| dialect.kill_switch(&self.context)) else {
            return;
        };
        let mut record = self
            .record
            .as_ref()
            .and_then(|path| OpenOptions::new().append(true).create(true).open(path).ok());
        let begun = Instant::now();
        let mut requests = 0;
        let mut pause = PAUSE;
        while begun.elapsed() < KILL_TIMEOUT && requests < REQUESTS_MAX && self.latch.is_killed() {
            if self.round(&mut *switch, generation, &venue, &mut record, &mut requests) {
                note(
                    &self.board,
                    format!("{venue}: killed, the venue has no open order ({requests} requests)"),
                );
                return;
            }
            // Longer each time: a list of all open orders is dear at some venues, and the limit is shared.
            std::thread::sleep(pause);
            pause = (2 * pause).min(PAUSE_MAX);
        }
        let why = if self.latch.is_killed() { "not confirmed" } else { "released before it was confirmed" };
        note(
            &self.board,
            format!("{venue}: KILL {why} after {requests} requests: look at the venue for open orders"),
        );
    }

    /// One round; true when the venue says that nothing is open.
    fn round(
        &mut self,
        switch: &mut dyn KillSwitch,
        generation: u64,
        venue: &str,
        record: &mut Option<File>,
        requests: &mut u32,
    ) -> bool {
        let now = || Stamp { mono: 0, wall: wall_ns() };
        let mut more = Vec::new();
        if switch.begin(now(), &mut more).is_err() {
            return false;
        }
        let mut queue = VecDeque::from(std::mem::take(&mut more));
        let mut clear = false;
        while let Some(request) = queue.pop_front() {
            if *requests >= REQUESTS_MAX {
                return false;
            }
            *requests += 1;
            let at = self.context.venue.index();
            let answer = match self.vault.seal(at, &request, &mut self.sealed) {
                Ok(()) => perform(&self.client, &self.base, &self.sealed),
                Err(_) => Err("a credential is missing".to_owned()),
            };
            let (status, verdict) = match answer {
                Ok(Reply { status, body, .. }) => {
                    let verdict = switch.on_reply(&request, status, &body, now(), &mut more);
                    queue.extend(more.drain(..));
                    clear = verdict == Ok(KillReply::Clear);
                    let verdict = match verdict {
                        Ok(KillReply::Next) => "done".to_owned(),
                        Ok(KillReply::Clear) => "clear".to_owned(),
                        Ok(KillReply::Refused) => "refused".to_owned(),
                        Err(full) => full.to_string(),
                    };
                    (status, verdict)
                }
                Err(failure) => (0, failure),
            };
            let text = String::from_utf8_lossy(request.text()).into_owned();
            let request = text.split(['?', '\n']).next().unwrap_or_default();
            let entry = Entry { wall_ns: wall_ns(), generation, venue, request, status, verdict: &verdict };
            // A full disk must not keep a kill from going on.
            if let (Some(file), Ok(mut line)) = (record.as_mut(), serde_json::to_vec(&entry)) {
                line.push(b'\n');
                let _ = file.write_all(&line).and_then(|()| file.sync_data());
            }
        }
        clear
    }
}
