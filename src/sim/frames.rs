//! Proof of what was sent: SHA-256 over the text frames of each connection, taken where pushes leave a
//! server, so that every transport is covered alike.

use super::exchange::{FramePrefix, FrameRow, VenueLedger};
use super::{FaultCounts, HttpReply, HttpRequest, LedgerServer, Push, Server, SimConn};
use crate::domain::text::Hex;
use crate::domain::time::Nanos;
use ring::digest::{Context, SHA256};
use std::collections::{BTreeMap, VecDeque};

/// Hashes kept from before the last frame: more than what is on its way when a connection is cut.
const TAIL_FRAMES: usize = 256;

/// A server whose frames are hashed.
pub struct FrameHasher<S> {
    inner: S,
    /// One row per accepted connection, oldest first.
    sent: Vec<(SimConn, Sent)>,
    /// Row of each living connection.
    living: BTreeMap<SimConn, usize>,
}

struct Sent {
    path: String,
    hash: Context,
    frames: u64,
    bytes: u64,
    /// What the row was before each of its last frames: what a reader has that was cut off.
    tail: VecDeque<(u64, u64, Context)>,
}

impl<S: LedgerServer> FrameHasher<S> {
    /// Hashes the frames of `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner, sent: Vec::new(), living: BTreeMap::new() }
    }

    /// The server behind.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn hash(&mut self, pushes: &[Push]) {
        for push in pushes {
            if let Push::Text(conn, text) = push
                && let Some(row) = self.living.get(conn)
            {
                let sent = &mut self.sent[*row].1;
                if sent.tail.len() == TAIL_FRAMES {
                    sent.tail.pop_front();
                }
                sent.tail.push_back((sent.frames, sent.bytes, sent.hash.clone()));
                sent.hash.update(text);
                sent.hash.update(b"\n");
                sent.frames += 1;
                sent.bytes += text.len() as u64;
            }
        }
    }

    fn rows(&self) -> Vec<FrameRow> {
        let row = |(conn, sent): &(SimConn, Sent)| {
            let prefix = |(frames, bytes, hash): &(u64, u64, Context)| FramePrefix {
                frames: *frames,
                bytes: *bytes,
                sha256: hex(hash),
            };
            FrameRow {
                conn: conn.0,
                path: sent.path.clone(),
                frames: sent.frames,
                bytes: sent.bytes,
                sha256: hex(&sent.hash),
                tail: sent.tail.iter().map(prefix).collect(),
            }
        };
        self.sent.iter().map(row).collect()
    }
}

fn hex(hash: &Context) -> String {
    Hex(hash.clone().finish().as_ref()).to_string()
}

impl<S: LedgerServer> Server for FrameHasher<S> {
    fn on_connect(&mut self, conn: SimConn, path: &str, now: Nanos, out: &mut Vec<Push>) -> bool {
        let at = out.len();
        // Listen keys stand in the path after `/ws/`, or in the query: keep neither.
        let cut = path.find(['?']).unwrap_or(path.len());
        let shown =
            path[..cut].find("/private/ws/").map_or(&path[..cut], |at| &path[..at + "/private/ws".len()]);
        let sent = Sent {
            path: shown.into(),
            hash: Context::new(&SHA256),
            frames: 0,
            bytes: 0,
            tail: VecDeque::new(),
        };
        let accepted = self.inner.on_connect(conn, path, now, out);
        if accepted {
            self.living.insert(conn, self.sent.len());
            self.sent.push((conn, sent));
        }
        self.hash(&out[at..]);
        accepted
    }

    fn on_text(&mut self, conn: SimConn, text: &[u8], now: Nanos, out: &mut Vec<Push>) {
        let at = out.len();
        self.inner.on_text(conn, text, now, out);
        self.hash(&out[at..]);
    }

    fn on_closed(&mut self, conn: SimConn, now: Nanos, out: &mut Vec<Push>) {
        let at = out.len();
        self.inner.on_closed(conn, now, out);
        self.hash(&out[at..]);
        self.living.remove(&conn);
    }

    fn on_http(&mut self, request: &HttpRequest, now: Nanos, out: &mut Vec<Push>) -> HttpReply {
        let at = out.len();
        let reply = self.inner.on_http(request, now, out);
        self.hash(&out[at..]);
        reply
    }

    fn order_travel(&self, request: &HttpRequest) -> Option<Nanos> {
        self.inner.order_travel(request)
    }

    fn reply_travel(&mut self) -> Nanos {
        self.inner.reply_travel()
    }

    fn advance(&mut self, now: Nanos, out: &mut Vec<Push>) {
        let at = out.len();
        self.inner.advance(now, out);
        self.hash(&out[at..]);
    }

    fn next_due(&self) -> Nanos {
        self.inner.next_due()
    }

    fn is_private(&self, conn: SimConn) -> bool {
        self.inner.is_private(conn)
    }
}

impl<S: LedgerServer> LedgerServer for FrameHasher<S> {
    fn ledger(&self) -> &VenueLedger {
        self.inner.ledger()
    }

    fn ledger_mut(&mut self) -> &mut VenueLedger {
        let rows = self.rows();
        let ledger = self.inner.ledger_mut();
        ledger.set_frames(rows);
        ledger
    }

    fn exchange(&self) -> Option<&super::Exchange> {
        self.inner.exchange()
    }

    fn faults(&self) -> FaultCounts {
        self.inner.faults()
    }
}
