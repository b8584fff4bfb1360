//! The write-ahead gate with a recorder that stands still: what waits, what never does, what is given up.

use super::*;
use crate::domain::effect::{MessageId, OutMeta, Payload, Target};
use crate::domain::input::{ConnId, InputClass, RawInput, SendOutcome};
use crate::domain::instrument::VenueId;
use crate::domain::order::{ClientId, OrderSpec};
use crate::domain::output::{OutputKey, Stage};
use crate::domain::time::{SECOND, Stamp};
use crate::journal::{JournalOptions, SyncPolicy};
use crate::net::http::HttpClient;
use crate::net::tls::Trust;
use crate::ring::slab::{SlabCounts, slab};
use crate::ring::spsc::channel;
use crate::runtime::clock::ClockOrigin;
use crate::stage::egress::{AheadGate, KillLatch, Vault, WriteAhead};
use crate::stage::errand::Errands;
use crate::stage::gateway::{Addresses, Orders};
use crate::stage::record::Recorder;
use crate::topology::launch::manifest;
use crate::topology::live::STALL_NS;
use crate::topology::probe::Pool;
use std::path::PathBuf;

struct Rig {
    agent: GatewayAgent,
    recorder: Recorder,
    urgent: Sender<OutMsg>,
    normal: Sender<OutMsg>,
    outcomes: Receiver<Arrival>,
    inputs: u64,
    dir: PathBuf,
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Rig {
    /// Orders go to paper: the gate is the same, and no venue is needed.
    fn new(name: &str, mode: WriteAhead, wait_max: Nanos) -> Self {
        let dir = std::env::temp_dir().join(format!("perpring-ahead-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&dir);
        let sync = if mode == WriteAhead::Synced { SyncPolicy::Sync } else { SyncPolicy::None };
        let options =
            JournalOptions { segment_bytes: 1 << 20, helper: false, sync, ..JournalOptions::default() };
        let recorder =
            Recorder::create(&dir, &manifest(b"", 0, Default::default()), &options).expect("a disk");
        let conns = vec![ConnInfo { venue: VenueId(0), role: SessionRole::Orders }];
        let trust = Trust::nobody();
        let errands = Errands::start(
            trust.client_config().expect("no roots are needed"),
            vec![HttpClient::new(&trust, Duration::from_secs(1))],
            Vec::new(),
        )
        .expect("threads");
        let addresses =
            Addresses { sockets: vec!["ws://127.0.0.1:1".into()], http: Vec::new(), proxies: Vec::new() };
        let (vault, latch) = (Vault::new(Vec::new()), Arc::new(KillLatch::default()));
        let gateway = Gateway::new(&conns, &addresses, errands, vault, latch, Orders::Paper)
            .expect("a poll")
            .with_write_ahead(Some(AheadGate::new(mode, recorder.progress(), wait_max)));
        let (urgent_sender, urgent) = channel("urgent", 16);
        let (normal_sender, normal) = channel("normal", 16);
        let (private, outcomes) = channel("private", 2 * CREDIT_MAX as usize);
        let (market, _) = channel("market", 16);
        let mut clock = ClockOrigin::begin().clock();
        let noted = clock.mono_ns();
        let agent = GatewayAgent {
            gateway,
            conns,
            clock,
            idle: IdleMode::Yield,
            stop: StopFlag::new(),
            urgent,
            normal,
            private,
            market,
            slab: slab(SlabCounts { small: 4, medium: 2, large: 2 }, false).0,
            board: Board::default(),
            bytes: Vec::new(),
            probe: Pool::new().probe(&[Path::TickToOrder, Path::WireToWire]),
            last_order: None,
            waiting_private: None,
            waiting_market: VecDeque::new(),
            market_bytes: Vec::new(),
            market_waits: false,
            stalls: 0,
            turns: StallTracker::new(STALL_NS),
            rested: false,
            noted,
            closed: Arc::default(),
        };
        Self { agent, recorder, urgent: urgent_sender, normal: normal_sender, outcomes, inputs: 0, dir }
    }

    fn message(&mut self, id: u64, token: u64, urgent: bool, order: bool) -> OutMsg {
        let order = order.then(|| OrderSpec { reduce_only: urgent, ..OrderSpec::default() });
        OutMsg {
            meta: OutMeta {
                amends: false,
                replaces: ClientId::NONE,
                message: MessageId(id),
                cause: Seq(self.inputs + 1),
                cause_mono: self.agent.clock.mono_ns(),
                age_max: 0,
                target: Target::Socket(ConnId(0)),
                epoch: 1,
                urgent,
                order,
            },
            token: MessageId(token),
            payload: Payload::new(),
        }
    }

    /// An entry of two legs on its way to the gate.
    fn basket(&mut self, first: u64) -> [OutMsg; 2] {
        let legs = [first, first + 1].map(|id| self.message(id, first + 1, false, true));
        for leg in legs {
            self.normal.try_push(leg).map_err(|_| ()).expect("room");
        }
        legs
    }

    /// What the recorder does with an input and a message of it.
    fn record_input(&mut self) {
        self.inputs += 1;
        let raw = RawInput { mono: 0, input: Input::Tick, bytes: &[] };
        self.recorder.input(Seq(self.inputs), Stamp::default(), InputClass::Time, &raw);
    }

    fn record(&mut self, message: &OutMsg) {
        let key = OutputKey { cause: message.meta.cause, stage: Stage::Route, ordinal: 0 };
        self.recorder.message(key, 0, message);
    }

    fn fates(&mut self) -> Vec<(u64, SendFate)> {
        for _ in 0..3 {
            self.agent.do_work();
        }
        std::iter::from_fn(|| self.outcomes.pop())
            .map(|arrival| match arrival.input {
                Input::Outcome(SendOutcome { message, fate, .. }) => (message.0, fate),
                other => panic!("{other:?}"),
            })
            .collect()
    }
}

#[test]
fn an_entry_waits_until_every_leg_and_its_cause_are_recorded_and_a_reduction_never_does() {
    let mut rig = Rig::new("written", WriteAhead::Written, 600 * SECOND);
    let legs = rig.basket(1);
    assert_eq!(rig.fates(), [], "nothing is recorded");
    let reduction = rig.message(3, 3, true, true);
    rig.urgent.try_push(reduction).map_err(|_| ()).expect("room");
    assert_eq!(rig.fates(), [(3, SendFate::Sent)], "a reduction passes the entry that waits");
    rig.record(&legs[0]);
    rig.record_input();
    assert_eq!(rig.fates(), [], "half a basket is not recorded");
    rig.record(&legs[1]);
    assert_eq!(rig.fates(), [(1, SendFate::Sent), (2, SendFate::Sent)]);
    // The other way round: messages before their cause.
    let legs = rig.basket(4);
    legs.iter().for_each(|leg| rig.record(leg));
    assert_eq!(rig.fates(), [], "the cause is not recorded");
    rig.record_input();
    assert_eq!(rig.fates(), [(4, SendFate::Sent), (5, SendFate::Sent)]);
}

#[test]
fn synced_waits_for_the_disk() {
    let mut rig = Rig::new("synced", WriteAhead::Synced, 600 * SECOND);
    let legs = rig.basket(1);
    rig.record_input();
    legs.iter().for_each(|leg| rig.record(leg));
    assert_eq!(rig.fates(), [], "written is not synced");
    rig.recorder.sync_pending();
    assert_eq!(rig.fates(), [(1, SendFate::Sent), (2, SendFate::Sent)]);
}

#[test]
fn an_entry_held_too_long_is_refused_whole_and_never_sent_late() {
    let mut rig = Rig::new("late", WriteAhead::Written, 1_000_000);
    let legs = rig.basket(1);
    let mut fates = Vec::new();
    while fates.len() < 2 {
        fates.extend(rig.fates());
    }
    let refused = SendFate::Refused(RefuseReason::Journal);
    assert_eq!(fates, [(1, refused), (2, refused)]);
    rig.record_input();
    legs.iter().for_each(|leg| rig.record(leg));
    assert_eq!(rig.fates(), [], "the record came too late");
}

#[test]
fn a_cancel_is_not_held_up_and_the_entry_before_it_never_leaves_behind_it() {
    let mut rig = Rig::new("cancel", WriteAhead::Written, 600 * SECOND);
    let legs = rig.basket(1);
    assert_eq!(rig.fates(), []);
    let cancel = rig.message(3, 3, true, false);
    rig.urgent.try_push(cancel).map_err(|_| ()).expect("room");
    let refused = SendFate::Refused(RefuseReason::Journal);
    // The connection is down, which only the cancel's own fate shows: it was next in line.
    let fates = rig.fates();
    assert_eq!(fates, [(1, refused), (2, refused), (3, SendFate::Refused(RefuseReason::Epoch))]);
    rig.record_input();
    legs.iter().for_each(|leg| rig.record(leg));
    assert_eq!(rig.fates(), []);
}
