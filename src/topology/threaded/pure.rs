//! Scan, risk and route on their threads. None of them ever waits: a stage whose next ring has too little
//! room leaves its input where it is until the next round.

use super::hops::{Current, Hop, Note, Sent};
use crate::domain::effect::OutMsg;
use crate::domain::event::{EventBody, Flow, FlowBody};
use crate::domain::intent::Denial;
use crate::domain::output::Stage;
use crate::domain::time::Nanos;
use crate::ops::latency::Path;
use crate::ops::view::Board;
use crate::ring::fan::FanConsumer;
use crate::ring::spsc::{Receiver, Sender};
use crate::runtime::agent::{Agent, StopFlag};
use crate::runtime::clock::Clock;
use crate::stage::Made;
use crate::stage::risk::Risk;
use crate::stage::river::Ordinals;
use crate::stage::route::Route;
use crate::stage::scan::Scan;
use crate::topology::live::PUBLISH_INTERVAL_NS;
use crate::topology::probe::Probe;
use crate::topology::publish;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Items per round.
const BATCH: usize = 64;

/// Room that one item may need downstream: a halt cancels every open order, a reduction closes every trade.
pub const ROOM: usize = 640;

/// The scan agent.
pub struct ScanAgent {
    /// The stage.
    pub scan: Scan,
    /// From decode.
    pub events: FanConsumer<Hop>,
    /// To risk.
    pub flows: Sender<Current>,
    /// To record.
    pub notes: Sender<Note>,
    /// For what must not happen.
    pub stop: StopFlag,
    /// Numbers the outputs.
    pub keys: Ordinals,
    /// This thread's clock.
    pub clock: Clock,
    /// Own histograms.
    pub probe: Probe,
    /// Figures.
    pub board: Board,
    /// Time spent on the present input.
    pub spent: Nanos,
    /// When figures were published last.
    pub published: Nanos,
}

impl Agent for ScanAgent {
    fn do_work(&mut self) -> usize {
        let Self { scan, events, flows, notes, stop, keys, clock, probe, board, spent, published, .. } = self;
        let mut work = 0;
        // One event at a time while intents flow; their rings are rarely more than empty.
        while work < BATCH && flows.has_room(ROOM) && notes.has_room(ROOM) {
            let found = events.poll(1, |hop, _| match hop {
                Hop::Empty => {}
                Hop::Event(event) => {
                    let started = clock.mono_ns();
                    scan.on_event(event, &mut |made| match made {
                        Made::State(hash) => note(notes, Note::State(keys.next(event.seq), hash), stop),
                        Made::Denied(_) => {}
                        Made::Item(Flow { body: FlowBody::NearMiss(near), .. }) => {
                            note(notes, Note::NearMiss(keys.next(event.seq), *near), stop);
                        }
                        Made::Item(flow) => {
                            if let FlowBody::Intent(intent) = &flow.body {
                                note(notes, Note::Intent(keys.next(event.seq), *intent), stop);
                            }
                            pass(flows, *flow, stop);
                        }
                    });
                    let now = clock.mono_ns();
                    *spent += now - started;
                    if matches!(event.body, EventBody::Tick) && now - *published > PUBLISH_INTERVAL_NS {
                        *published = now;
                        publish::scan(scan.scanner(), scan.listings(), board);
                    }
                }
                Hop::Input(numbered) => {
                    if numbered.readable > 0 {
                        let now = clock.mono_ns();
                        probe.record(Path::MarketData, now - numbered.readable);
                        probe.hand_over(now);
                        probe.record(Path::Stage(Stage::Scan), *spent);
                    }
                    *spent = 0;
                }
                Hop::Shutdown => {
                    note(notes, Note::Shutdown, stop);
                    let _ = flows.try_push(Current::Shutdown);
                }
            });
            // A producer that is gone said `Shutdown` before.
            if !matches!(found, Ok(1..)) {
                break;
            }
            work += 1;
        }
        work
    }

    fn on_close(&mut self) {
        publish::scan(self.scan.scanner(), self.scan.listings(), &self.board);
        self.probe.close();
    }
}

/// The risk agent.
pub struct RiskAgent {
    /// The stage.
    pub risk: Risk,
    /// From scan.
    pub input: Receiver<Current>,
    /// To route.
    pub flows: Sender<Current>,
    /// To record.
    pub notes: Sender<Note>,
    /// To decode; `None` in a replay, where denials come from the journal.
    pub denials: Option<Sender<Denial>>,
    /// For what must not happen.
    pub stop: StopFlag,
    /// Numbers the outputs.
    pub keys: Ordinals,
    /// This thread's clock.
    pub clock: Clock,
    /// Own histograms.
    pub probe: Probe,
    /// Figures.
    pub board: Board,
    /// When figures were published last.
    pub published: Nanos,
}

impl Agent for RiskAgent {
    fn do_work(&mut self) -> usize {
        let mut work = 0;
        while work < BATCH
            && self.flows.has_room(ROOM)
            && self.notes.has_room(ROOM)
            && has_room(&self.denials)
        {
            let Some(current) = self.input.pop() else { break };
            work += 1;
            let flow = match current {
                Current::Flow(flow) => flow,
                Current::Shutdown => {
                    note(&mut self.notes, Note::Shutdown, &self.stop);
                    let _ = self.flows.try_push(Current::Shutdown);
                    continue;
                }
            };
            let Self { risk, flows, notes, denials, stop, keys, .. } = self;
            let started = self.clock.mono_ns();
            risk.on_flow(&flow, &mut |made| match made {
                Made::State(hash) => note(notes, Note::State(keys.next(flow.seq), hash), stop),
                Made::Denied(denial) => {
                    note(notes, Note::Denied(keys.next(flow.seq), *denial), stop);
                    loop_back(denials, denial, stop);
                }
                Made::Item(flow) => {
                    if let FlowBody::Intent(intent) = &flow.body {
                        note(notes, Note::Approved(keys.next(flow.seq), *intent), stop);
                    }
                    pass(flows, *flow, stop);
                }
            });
            let now = self.clock.mono_ns();
            if matches!(flow.body, FlowBody::Intent(_)) {
                self.probe.record(Path::Stage(Stage::Risk), now - started);
            }
            if now - self.published > PUBLISH_INTERVAL_NS {
                self.published = now;
                self.probe.hand_over(now);
                publish::risk(self.risk.rules(), &self.board);
            }
        }
        work
    }

    fn on_close(&mut self) {
        publish::risk(self.risk.rules(), &self.board);
        self.probe.close();
    }
}

/// The route agent.
pub struct RouteAgent {
    /// The stage.
    pub route: Route,
    /// From risk.
    pub input: Receiver<Current>,
    /// To the gateway: urgent, normal; `None` in a replay, where nothing leaves.
    pub messages: Option<[Sender<OutMsg>; 2]>,
    /// The gateway takes nothing any more: messages are recorded and go nowhere.
    pub gateway_closed: Arc<AtomicBool>,
    /// To record.
    pub sent: Sender<Sent>,
    /// To decode; `None` in a replay.
    pub denials: Option<Sender<Denial>>,
    /// For what must not happen.
    pub stop: StopFlag,
    /// Numbers the outputs.
    pub keys: Ordinals,
    /// This thread's clock.
    pub clock: Clock,
    /// Own histograms.
    pub probe: Probe,
}

/// Messages that one flow item can make.
const MESSAGES: usize = 8;

impl RouteAgent {
    fn has_room(&self) -> bool {
        let out = self.gateway_closed.load(Ordering::Acquire)
            || self.messages.as_ref().is_none_or(|rings| rings.iter().all(|ring| ring.has_room(MESSAGES)));
        out && self.sent.has_room(MESSAGES) && has_room(&self.denials)
    }
}

impl Agent for RouteAgent {
    fn do_work(&mut self) -> usize {
        let mut work = 0;
        while work < BATCH && self.has_room() {
            let Some(current) = self.input.pop() else { break };
            work += 1;
            let flow = match current {
                Current::Flow(flow) => flow,
                Current::Shutdown => {
                    record(&mut self.sent, Sent::Shutdown, &self.stop);
                    continue;
                }
            };
            let Self { route, messages, gateway_closed, sent, denials, stop, keys, .. } = self;
            let started = self.clock.mono_ns();
            route.on_flow(&flow, &mut |made| match made {
                // Route's state is its credit and its budgets, which its messages show.
                Made::State(_) => {}
                Made::Denied(denial) => {
                    record(sent, Sent::Denied(keys.next(flow.seq), *denial), stop);
                    loop_back(denials, denial, stop);
                }
                Made::Item(message) => {
                    // First to the wire, then to record: the recorder is not on the critical path.
                    if let Some([urgent, normal]) = messages {
                        let ring = if message.meta.urgent { urgent } else { normal };
                        if ring.try_push(*message).is_err() && !gateway_closed.load(Ordering::Acquire) {
                            stop.fail("a ring to the gateway is full although room was checked".into());
                        }
                    }
                    record(sent, Sent::Message(keys.next(flow.seq), *message), stop);
                }
            });
            if matches!(flow.body, FlowBody::Intent(_)) {
                self.probe.record(Path::Stage(Stage::Route), self.clock.mono_ns() - started);
            }
            self.probe.hand_over(flow.at.mono);
        }
        work
    }

    fn on_close(&mut self) {
        self.probe.close();
    }
}

// Room was checked before the item was taken. Should a stage ever make more of one item than that, the run
// ends with a word instead of losing something in silence.

fn has_room(denials: &Option<Sender<Denial>>) -> bool {
    denials.as_ref().is_none_or(|ring| ring.has_room(MESSAGES))
}

fn note(notes: &mut Sender<Note>, item: Note, stop: &StopFlag) {
    if notes.try_push(item).is_err() {
        stop.fail("a stage made more records of one input than its ring to the recorder has room for".into());
    }
}

fn pass(flows: &mut Sender<Current>, flow: Flow, stop: &StopFlag) {
    if flows.try_push(Current::Flow(flow)).is_err() {
        stop.fail("a stage made more of one input than the ring to the next stage has room for".into());
    }
}

fn record(sent: &mut Sender<Sent>, item: Sent, stop: &StopFlag) {
    if sent.try_push(item).is_err() {
        stop.fail("the ring of messages to the recorder is full although room was checked".into());
    }
}

fn loop_back(denials: &mut Option<Sender<Denial>>, denial: &Denial, stop: &StopFlag) {
    if let Some(denials) = denials
        && denials.try_push(*denial).is_err()
    {
        stop.fail("the loopback of denials is full although the baskets in flight are bounded".into());
    }
}
