//! A WebSocket client of the venue: its login, subscriptions, heartbeat and dead man's switch.

use super::DeribitServer;
use crate::domain::time::Nanos;
use crate::sim::SimConn;
use crate::sim::exchange::{AccountId, OrderId, OrderKey};
use std::collections::BTreeSet;

/// A connected client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// Who logged in.
    pub(super) account: Option<AccountId>,
    /// Private channels as subscribed.
    pub(super) channels: BTreeSet<String>,
    /// When the next heartbeat is due; never unless asked for.
    pub(super) beat_at: Nanos,
    /// Time between heartbeats.
    pub(super) beat_every: Nanos,
    /// A test request was not answered yet.
    pub(super) tested: bool,
    /// Orders placed here end with the connection.
    pub(super) cancel_on_disconnect: bool,
    /// Orders placed here.
    pub(super) placed: Vec<OrderId>,
}

impl Default for Client {
    fn default() -> Self {
        Self {
            account: None,
            channels: BTreeSet::new(),
            beat_at: Nanos::MAX,
            beat_every: 0,
            tested: false,
            cancel_on_disconnect: false,
            placed: Vec::new(),
        }
    }
}

impl DeribitServer {
    /// The connection is gone, whoever ended it.
    pub(super) fn forget(&mut self, conn: SimConn, now: Nanos) {
        self.feed.forget(conn);
        let Some(client) = self.clients.remove(&conn) else { return };
        let (Some(account), true) = (client.account, client.cancel_on_disconnect) else { return };
        for id in client.placed {
            // It may be finished already: then nothing is left to cancel.
            let _ = self.venue.exchange_mut().cancel(account, None, &OrderKey::Id(id), now);
        }
        self.collect();
    }
}
