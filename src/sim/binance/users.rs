//! Listen keys and the connections that use them.

use crate::domain::time::{Nanos, SECOND};
use crate::sim::SimConn;
use crate::sim::exchange::AccountId;
use crate::sim::market::random::Random;
use std::collections::BTreeMap;

/// A listen key lives this long without being extended.
const LIFE_NS: Nanos = 3_600 * SECOND;

/// One listen key per account at a time.
#[derive(Clone, Debug)]
pub(super) struct Users {
    random: Random,
    keys: BTreeMap<AccountId, (String, Nanos)>,
    conns: BTreeMap<SimConn, String>,
}

impl Users {
    pub fn new(seed: u64, venue: &str) -> Self {
        Self {
            random: Random::keyed(seed, &[b"listen-key", venue.as_bytes()]),
            keys: BTreeMap::new(),
            conns: BTreeMap::new(),
        }
    }

    /// The account's key: the living one, extended, or a new one.
    pub fn start(&mut self, account: AccountId, now: Nanos) -> String {
        if let Some(key) = self.extend(account, now) {
            return key;
        }
        const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let key: String = (0..64).map(|_| char::from(LETTERS[self.random.below(62) as usize])).collect();
        self.keys.insert(account, (key.clone(), now + LIFE_NS));
        key
    }

    /// Another hour for the account's key.
    pub fn extend(&mut self, account: AccountId, now: Nanos) -> Option<String> {
        let (key, expires) = self.keys.get_mut(&account).filter(|(_, expires)| *expires > now)?;
        *expires = now + LIFE_NS;
        Some(key.clone())
    }

    /// Ends the account's key.
    pub fn stop(&mut self, account: AccountId) {
        self.keys.remove(&account);
    }

    /// A user-data connection; unknown keys are accepted and stay silent, as at the venue.
    pub fn connect(&mut self, conn: SimConn, key: &str) {
        self.conns.insert(conn, key.into());
    }

    /// A connection is gone.
    pub fn forget(&mut self, conn: SimConn) {
        self.conns.remove(&conn);
    }

    /// Connections that hear about an account.
    pub fn listeners(&self, account: AccountId) -> Vec<SimConn> {
        let Some((key, _)) = self.keys.get(&account) else { return Vec::new() };
        self.conns.iter().filter(|(_, theirs)| *theirs == key).map(|(conn, _)| *conn).collect()
    }

    /// Keys that ran out by `now`, with the connections to be told; they are ended.
    pub fn expire(&mut self, now: Nanos) -> Vec<(String, Vec<SimConn>)> {
        let due: Vec<AccountId> =
            self.keys.iter().filter(|(_, key)| key.1 <= now).map(|(account, _)| *account).collect();
        due.into_iter()
            .filter_map(|account| {
                let listeners = self.listeners(account);
                self.keys.remove(&account).map(|(key, _)| (key, listeners))
            })
            .collect()
    }
}
