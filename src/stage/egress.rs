//! The last step before a byte leaves: the egress gate, and the only place that holds secrets.
//!
//! [`admit`] decides whether a message may still go; [`Vault`] fills its holes and signs it, and removes
//! secrets from what comes in. Nothing here is ever journaled or logged.

use super::record::Progress;
use super::signer::{SIGNATURE_MAX, Signer};
use crate::domain::effect::{
    Hole, HoleKind, OutMeta, OutMsg, Payload, Redact, SecretSlot, SignScheme, Target,
};
use crate::domain::input::RefuseReason;
use crate::domain::instrument::{VENUES_MAX, VenueId};
use crate::domain::time::Nanos;
use crate::stage::wallet::{OBJECT_MAX, Wallet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What stops opening orders at the gate, at once and from any thread.
#[derive(Debug, Default)]
pub struct KillLatch {
    killed: AtomicBool,
    /// Rises with every kill: what the kill threads wait for.
    generation: AtomicU64,
    /// Venues that are killed by themselves, a bit each.
    venues: AtomicU64,
    journal_failed: AtomicBool,
    stopped: AtomicBool,
}

const _: () = assert!(VENUES_MAX <= 64, "a bit for each venue");

impl KillLatch {
    /// Stops every order that does not reduce a position.
    pub fn kill(&self) {
        self.killed.store(true, Ordering::Release);
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// Stops orders as a kill does, with nothing to cancel: the run before was halted.
    pub fn hold(&self) {
        self.killed.store(true, Ordering::Release);
    }

    /// Number of kills so far.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Stops the orders at one venue that do not reduce a position.
    pub fn kill_venue(&self, venue: VenueId) {
        self.venues.fetch_or(1 << (venue.0 & 63), Ordering::AcqRel);
    }

    /// Lets orders pass again (the operator's word).
    pub fn release(&self) {
        self.killed.store(false, Ordering::Release);
        self.venues.store(0, Ordering::Release);
    }

    /// Whether everything, or that venue, is killed.
    pub fn is_killed_at(&self, venue: VenueId) -> bool {
        self.is_killed() || self.venues.load(Ordering::Acquire) & (1 << (venue.0 & 63)) != 0
    }

    /// The run ends: nothing new is begun. Final.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }

    /// Whether the run ends.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Whether it is set.
    pub fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Acquire)
    }

    /// The journal can no longer be written: nothing new is begun. Final, as a failed journal is.
    pub fn fail_journal(&self) {
        self.journal_failed.store(true, Ordering::Release);
    }

    /// Whether the journal has failed.
    pub fn is_journal_failed(&self) -> bool {
        self.journal_failed.load(Ordering::Acquire)
    }
}

/// What of an opening order must be recorded before it leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteAhead {
    /// Nothing: orders leave before they are recorded.
    #[default]
    Off,
    /// The order, every leg of its basket and the input that caused it are in the journal: they survive the
    /// end of this process.
    Written,
    /// The same is on the disk: it survives the loss of power. Needs the recorder's own thread.
    Synced,
}

impl WriteAhead {
    /// Its name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Written => "written",
            Self::Synced => "synced",
        }
    }
}

impl std::str::FromStr for WriteAhead {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "written" => Ok(Self::Written),
            "synced" => Ok(Self::Synced),
            _ => Err(format!("unknown write-ahead mode {text:?}: choose off, written or synced")),
        }
    }
}

/// The write-ahead part of the gate: compares an order's token with the recorder's watermark.
#[derive(Clone, Debug)]
pub struct AheadGate {
    mode: WriteAhead,
    progress: Arc<Progress>,
    wait_max: Nanos,
}

impl AheadGate {
    /// Holds opening orders until `progress` says that they are recorded as `mode` demands; those whose cause
    /// is older than `wait_max` (ns) by then are refused.
    pub fn new(mode: WriteAhead, progress: Arc<Progress>, wait_max: Nanos) -> Self {
        Self { mode, progress, wait_max }
    }

    /// Whether the message is recorded far enough to leave.
    #[inline]
    pub fn has_reached(&self, message: &OutMsg) -> bool {
        let Some((inputs, messages)) = (match self.mode {
            WriteAhead::Off => None,
            WriteAhead::Written => Some(self.progress.written()),
            WriteAhead::Synced => Some(self.progress.synced()),
        }) else {
            return true;
        };
        inputs >= message.meta.cause && messages >= message.token
    }

    /// Whether the message may still wait for the recorder at `now`.
    pub fn is_patient(&self, message: &OutMsg, now: Nanos) -> bool {
        now - message.meta.cause_mono <= self.wait_max
    }
}

/// Decides whether a message may leave. Nothing passes a wrong epoch. A kill, of everything or of the order's
/// venue, lets only cancels, queries and reduce-only orders pass; an age limit, a failed journal and the end of
/// the run let hedges pass too: they end a risk.
pub fn admit(
    meta: &OutMeta,
    latch: &KillLatch,
    conn_epoch: Option<u32>,
    now: Nanos,
) -> Result<(), RefuseReason> {
    check_epoch(meta, conn_epoch)?;
    let Some(order) = &meta.order else { return Ok(()) };
    if latch.is_killed_at(order.venue) && !order.reduce_only {
        return Err(RefuseReason::Killed);
    }
    if meta.urgent {
        return Ok(());
    }
    if meta.age_max > 0 && now - meta.cause_mono > meta.age_max {
        return Err(RefuseReason::Stale);
    }
    if latch.is_journal_failed() {
        return Err(RefuseReason::Journal);
    }
    if latch.is_stopped() {
        return Err(RefuseReason::Stopped);
    }
    Ok(())
}

/// The same for an order that passed the gate and then waited for an HTTP thread. Its age does not count any
/// more: the other leg of its basket may have left, and the venue refuses what comes too late.
pub fn admit_again(meta: &OutMeta, latch: &KillLatch) -> Result<(), RefuseReason> {
    admit(meta, latch, None, meta.cause_mono)
}

/// A message made for one connection never goes out on its successor.
pub fn check_epoch(meta: &OutMeta, conn_epoch: Option<u32>) -> Result<(), RefuseReason> {
    let wrong = matches!(meta.target, Target::Socket(_)) && conn_epoch != Some(meta.epoch);
    if wrong { Err(RefuseReason::Epoch) } else { Ok(()) }
}

/// Credentials of one venue.
#[derive(Clone, Default)]
pub struct Credentials {
    /// API key.
    pub api_key: String,
    /// API secret, or an Ed25519 private key (PEM, or `ed25519:` and the seed in hex).
    pub secret: String,
    /// Passphrase, where the venue has one.
    pub passphrase: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}

struct VenueSecrets {
    api_key: Vec<u8>,
    passphrase: Vec<u8>,
    signer: Signer,
    /// Where the secret is a private key of secp256k1: its signing key, likewise computed once.
    wallet: Option<Wallet>,
    /// The address of that key, lower-case; empty without one.
    address: Vec<u8>,
}

/// Both kinds of signature fit the same place.
const _: () = assert!(OBJECT_MAX <= SIGNATURE_MAX);

impl VenueSecrets {
    /// Signs `text`; the length of the signature's text in `out`. `None` when no key of ours makes such ones.
    fn sign(&self, scheme: SignScheme, text: &[u8], out: &mut [u8; SIGNATURE_MAX]) -> Option<usize> {
        let mut agent = |source| Some(self.wallet.as_ref()?.sign_agent(source, text, out));
        match scheme {
            SignScheme::AgentMainnet => agent(b"a"),
            SignScheme::AgentTestnet => agent(b"b"),
            _ => self.signer.sign(scheme, text, out),
        }
    }
}

/// All secrets of a run.
pub struct Vault {
    venues: [Option<VenueSecrets>; VENUES_MAX],
    slots: Vec<Vec<u8>>,
    sign_scratch: Vec<u8>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(hidden)")
    }
}

impl Vault {
    /// From credentials by venue; `None` where the venue is market data only.
    pub fn new(credentials: Vec<Option<Credentials>>) -> Self {
        let mut venues = [const { None }; VENUES_MAX];
        for (to, from) in venues.iter_mut().zip(credentials) {
            *to = from.map(|credentials| {
                let wallet = Wallet::parse(&credentials.secret);
                VenueSecrets {
                    api_key: credentials.api_key.into_bytes(),
                    passphrase: credentials.passphrase.into_bytes(),
                    signer: Signer::of(&credentials.secret),
                    address: wallet.as_ref().map(Wallet::address).unwrap_or_default(),
                    wallet,
                }
            });
        }
        Self { venues, slots: vec![Vec::new(); VENUES_MAX * 4], sign_scratch: Vec::with_capacity(4096) }
    }

    /// Fills the holes of `payload` and signs it; `out` is replaced by the bytes to send.
    pub fn seal(&mut self, venue: usize, payload: &Payload, out: &mut Vec<u8>) -> Result<(), RefuseReason> {
        out.clear();
        let secrets = self.venues.get(venue).and_then(Option::as_ref);
        let mut signature = [0u8; SIGNATURE_MAX];
        let mut signature_len = 0;
        if payload.scheme != SignScheme::None {
            let secrets = secrets.ok_or(RefuseReason::Unsigned)?;
            self.sign_scratch.clear();
            splice(
                payload.sign_text(),
                usize::from(payload.text_len),
                payload.signed_holes(),
                &mut self.sign_scratch,
                |kind| value(kind, Some(secrets), &self.slots, &[]),
            )?;
            signature_len = secrets
                .sign(payload.scheme, &self.sign_scratch, &mut signature)
                .ok_or(RefuseReason::Unsigned)?;
        }
        splice(payload.text(), 0, payload.text_holes(), out, |kind| {
            value(kind, secrets, &self.slots, &signature[..signature_len])
        })
    }

    /// Moves the string value of `redact.key` in an HTTP reply to its slot and blanks it in place, or blanks all
    /// that is known.
    pub fn redact_reply(&mut self, redact: &Redact, body: &mut [u8]) {
        if *redact == Redact::KNOWN {
            return self.redact_frame(body);
        }
        let needle = format!("\"{}\"", redact.key);
        let Some(at) = memchr::memmem::find(body, needle.as_bytes()) else { return };
        let from = at + needle.len();
        // A value that is no string (null) is no secret, and what follows it is not its either.
        let value = body[from..].iter().position(|b| !matches!(b, b':' | b' ' | b'\n' | b'\r' | b'\t'));
        let Some(open) = value.map(|i| from + i).filter(|at| body[*at] == b'"').map(|at| at + 1) else {
            return;
        };
        let Some(close) = body[open..].iter().position(|b| *b == b'"').map(|i| open + i) else { return };
        if let Some(slot) = self.slots.get_mut(usize::from(redact.slot.0)) {
            // Keep the value while it is asked for again (a renewed key is the same or a new one).
            if body[open..close].iter().any(|b| *b != b'x') {
                *slot = body[open..close].to_vec();
            }
        }
        body[open..close].fill(b'x');
    }

    /// True when a frame contains a known secret and must be redacted before it is sequenced.
    pub fn is_tainted(&self, frame: &[u8]) -> bool {
        self.known().any(|secret| memchr::memmem::find(frame, secret).is_some())
    }

    /// Blanks every known secret in a frame of a private connection, and the tokens of a login (Deribit):
    /// they hold for the connection that asked for them and are not needed again.
    pub fn redact_frame(&self, frame: &mut [u8]) {
        for key in [&b"\"access_token\""[..], b"\"refresh_token\""] {
            blank_values(key, frame);
        }
        for secret in self.known() {
            while let Some(at) = memchr::memmem::find(frame, secret) {
                frame[at..at + secret.len()].fill(b'x');
            }
        }
    }

    /// Secrets worth searching for (short ones would hit innocent text; `x…` is filler).
    fn known(&self) -> impl Iterator<Item = &[u8]> {
        let keys = self
            .venues
            .iter()
            .flatten()
            .flat_map(|venue| [&venue.api_key, &venue.passphrase, &venue.address]);
        self.slots
            .iter()
            .chain(keys)
            .map(Vec::as_slice)
            .filter(|secret| secret.len() >= 6 && secret.iter().any(|byte| *byte != b'x'))
    }

    /// Whether a slot holds a value.
    pub fn has_slot(&self, slot: SecretSlot) -> bool {
        self.slots.get(usize::from(slot.0)).is_some_and(|value| !value.is_empty())
    }
}

/// Blanks the string values of a JSON key, wherever it stands.
fn blank_values(key: &[u8], frame: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memmem::find(&frame[from..], key) {
        from += at + key.len();
        let Some(open) = frame[from..].iter().position(|byte| *byte == b'"') else { return };
        // Only spaces and a colon may stand between a key and its text; else the value is no text.
        if frame[from..from + open].iter().any(|byte| !matches!(byte, b':' | b' ' | b'\t' | b'\r' | b'\n')) {
            continue;
        }
        let start = from + open + 1;
        let end = frame[start..].iter().position(|byte| *byte == b'"').map_or(frame.len(), |i| start + i);
        frame[start..end].fill(b'x');
        from = end;
    }
}

fn value<'a>(
    kind: HoleKind,
    secrets: Option<&'a VenueSecrets>,
    slots: &'a [Vec<u8>],
    signature: &'a [u8],
) -> Option<&'a [u8]> {
    match kind {
        HoleKind::ApiKey => secrets.map(|s| s.api_key.as_slice()),
        HoleKind::Passphrase => secrets.map(|s| s.passphrase.as_slice()),
        HoleKind::Signature => Some(signature).filter(|s| !s.is_empty()),
        HoleKind::Slot(slot) => slots.get(usize::from(slot.0)).map(Vec::as_slice).filter(|s| !s.is_empty()),
    }
}

/// Copies `text` (which begins at `base` of the payload's bytes) to `out` with the holes filled.
fn splice<'a>(
    text: &[u8],
    base: usize,
    holes: &[Hole],
    out: &mut Vec<u8>,
    mut value: impl FnMut(HoleKind) -> Option<&'a [u8]>,
) -> Result<(), RefuseReason> {
    let mut from = 0;
    for hole in holes {
        let to = usize::from(hole.at).saturating_sub(base).min(text.len());
        out.extend_from_slice(&text[from..to]);
        out.extend_from_slice(value(hole.kind).ok_or(RefuseReason::Unsigned)?);
        from = to;
    }
    out.extend_from_slice(&text[from..]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::effect::MessageId;
    use crate::domain::event::Seq;
    use crate::domain::input::ConnId;
    use crate::domain::order::{ClientId, OrderSpec};
    use crate::domain::text::Text;

    fn vault(secret: &str) -> Vault {
        Vault::new(vec![Some(Credentials {
            api_key: "canary-key".into(),
            secret: secret.into(),
            passphrase: "canary-pass".into(),
        })])
    }

    #[test]
    fn holes_are_filled_and_signed_like_the_venue_documents() {
        // OKX documentation vector.
        let mut payload = Payload::new();
        payload.push(b"{\"k\":\"").unwrap();
        payload.push_hole(HoleKind::ApiKey).unwrap();
        payload.push(b"\",\"s\":\"").unwrap();
        payload.push_hole(HoleKind::Signature).unwrap();
        payload.push(b"\"}").unwrap();
        payload.push_sign(b"1538054050GET/users/self/verify").unwrap();
        payload.scheme = SignScheme::HmacSha256Base64;
        let mut out = Vec::new();
        vault("22582BD0CFF14C41EDBF1AB98506286D").seal(0, &payload, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"k":"canary-key","s":"+LdIr8lkkvhr5hoA3g9TMC0+uQJ849ftAcocA/ouu4M="}"#
        );

        // Binance documentation vector (API key inside the signed text).
        let mut payload = Payload::new();
        payload.push_hole(HoleKind::Signature).unwrap();
        payload.push_sign(b"symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC&recvWindow=5000&timestamp=1591702613943").unwrap();
        payload.scheme = SignScheme::HmacSha256Hex;
        let mut out = Vec::new();
        vault("2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9")
            .seal(0, &payload, &mut out)
            .unwrap();
        assert_eq!(out, b"3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9");
    }

    #[test]
    fn a_missing_secret_refuses_the_message() {
        let mut payload = Payload::new();
        payload.push_hole(HoleKind::ApiKey).unwrap();
        assert_eq!(vault("s").seal(1, &payload, &mut Vec::new()), Err(RefuseReason::Unsigned));
        let mut payload = Payload::new();
        payload.push_hole(HoleKind::Slot(SecretSlot(2))).unwrap();
        assert_eq!(vault("s").seal(0, &payload, &mut Vec::new()), Err(RefuseReason::Unsigned));
    }

    #[test]
    fn a_listen_key_moves_to_its_slot_and_is_blanked_everywhere() {
        let mut vault = vault("s");
        let redact = Redact { slot: SecretSlot(1), key: Text::new("listenKey").unwrap() };
        let mut body = br#"{"listenKey": "canaryListenKey123"}"#.to_vec();
        vault.redact_reply(&redact, &mut body);
        assert_eq!(body, br#"{"listenKey": "xxxxxxxxxxxxxxxxxx"}"#);
        let mut frame = br#"{"e":"listenKeyExpired","listenKey":"canaryListenKey123"}"#.to_vec();
        assert!(vault.is_tainted(&frame));
        vault.redact_frame(&mut frame);
        assert!(!vault.is_tainted(&frame));
        let mut payload = Payload::new();
        payload.push(b"/ws/").unwrap();
        payload.push_hole(HoleKind::Slot(SecretSlot(1))).unwrap();
        let mut out = Vec::new();
        vault.seal(0, &payload, &mut out).unwrap();
        assert_eq!(out, b"/ws/canaryListenKey123");
    }

    #[test]
    fn a_reply_that_repeats_our_key_or_our_wallets_address_is_blanked_there_and_nowhere_else() {
        let mut vault = vault("0x0123456789012345678901234567890123456789012345678901234567890123");
        let mut body =
            br#"[{"address":"0x14791697260e4c9a71f18484c9f997b308e59325","user":"canary-key"},{"address":"0x286edfa0"}]"#
                .to_vec();
        vault.redact_reply(&Redact::KNOWN, &mut body);
        let blank = "x".repeat(42);
        let expected = format!(r#"[{{"address":"{blank}","user":"xxxxxxxxxx"}},{{"address":"0x286edfa0"}}]"#);
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }

    #[test]
    fn tokens_of_a_login_are_blanked_although_nobody_knew_them() {
        let mut frame =
            br#"{"result":{"token_type":"bearer","refresh_token" : "1.Canary","expires_in":900,"access_token":"2.canary"}}"#
                .to_vec();
        vault("s").redact_frame(&mut frame);
        assert_eq!(
            String::from_utf8(frame).unwrap(),
            r#"{"result":{"token_type":"bearer","refresh_token" : "xxxxxxxx","expires_in":900,"access_token":"xxxxxxxx"}}"#
        );
        let mut odd = br#"{"access_token":null,"label":"kept"}"#.to_vec();
        vault("s").redact_frame(&mut odd);
        assert_eq!(odd, br#"{"access_token":null,"label":"kept"}"#);
    }

    #[test]
    fn client_signatures_are_as_documented() {
        let mut payload = Payload::new();
        payload.push_hole(HoleKind::Signature).unwrap();
        payload.push_sign(b"1576074319000\n1iqt2wls\n").unwrap();
        payload.scheme = SignScheme::HmacSha256Hex;
        let mut out = Vec::new();
        vault("AMANDASECRECT").seal(0, &payload, &mut out).unwrap();
        assert_eq!(out, b"56590594f97921b09b18f166befe0d1319b198bbcdad7ca73382de2f88fe9aa1");
    }

    #[test]
    fn the_gate_stops_opening_orders_and_lets_risk_reduction_pass() {
        let latch = KillLatch::default();
        let mut meta = OutMeta {
            amends: false,
            replaces: ClientId::NONE,
            message: MessageId(1),
            cause: Seq(1),
            cause_mono: 1_000,
            age_max: 500,
            target: Target::Socket(ConnId(0)),
            epoch: 3,
            urgent: false,
            order: Some(OrderSpec::default()),
        };
        let admit = |meta: &OutMeta, epoch, now| super::admit(meta, &latch, epoch, now);
        assert_eq!(admit(&meta, Some(3), 1_400), Ok(()));
        assert_eq!(admit(&meta, Some(4), 1_400), Err(RefuseReason::Epoch));
        assert_eq!(admit(&meta, None, 1_400), Err(RefuseReason::Epoch));
        assert_eq!(admit(&meta, Some(3), 1_501), Err(RefuseReason::Stale));
        latch.fail_journal();
        assert_eq!(admit(&meta, Some(3), 1_400), Err(RefuseReason::Journal));
        meta.urgent = true;
        assert_eq!(admit(&meta, Some(3), 9_999), Ok(()), "a hedge outlives age and journal");
        latch.kill();
        assert_eq!(admit(&meta, Some(3), 1_400), Err(RefuseReason::Killed), "a hedge opens a position");
        meta.order = Some(OrderSpec { reduce_only: true, ..OrderSpec::default() });
        assert_eq!(admit(&meta, Some(3), 9_999), Ok(()));
        assert_eq!(admit(&meta, Some(4), 1_400), Err(RefuseReason::Epoch));
        latch.release();
        // A venue's own kill concerns no other venue.
        let order = OrderSpec { venue: VenueId(3), ..OrderSpec::default() };
        (meta.order, meta.urgent) = (Some(order), true);
        latch.kill_venue(VenueId(2));
        assert_eq!(admit(&meta, Some(3), 1_400), Ok(()));
        latch.kill_venue(VenueId(3));
        assert_eq!(admit(&meta, Some(3), 1_400), Err(RefuseReason::Killed));
        meta.order = Some(OrderSpec { reduce_only: true, ..order });
        assert_eq!(admit(&meta, Some(3), 1_400), Ok(()));
        latch.release();
        meta.order = None;
        assert_eq!(admit(&meta, Some(3), 9_999), Ok(()));
    }
}
