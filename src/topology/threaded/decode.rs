//! Decode on its own thread: merges everything into one sequence, and publishes events to scan and record.

use super::hops::{Arrival, Body, Hop, Numbered};
use crate::domain::event::SessionRole;
use crate::domain::input::{Command, Input, RawInput};
use crate::domain::intent::Denial;
use crate::domain::output::Stage;
use crate::domain::time::Nanos;
use crate::ops::latency::Path;
use crate::ops::view::Board;
use crate::replay::source::Inputs;
use crate::ring::fan::{FanProducer, PublishError};
use crate::ring::slab::{Parcel, SlabReader};
use crate::ring::spsc::{Full, Receiver, Sender};
use crate::runtime::agent::{Agent, StopFlag};
use crate::runtime::clock::Clock;
use crate::stage::decode::{ConnInfo, Decode};
use crate::topology::live::{Metronome, PUBLISH_INTERVAL_NS};
use crate::topology::probe::Probe;
use crate::topology::publish as publishing;

/// Inputs of one kind per round.
const BATCH: usize = 16;

/// Rounds of yielding after which a full ring is given up, when the run has been told to end.
const WAIT_ROUNDS_MAX: u32 = 1_000_000;

/// Where inputs come from.
#[allow(clippy::large_enum_variant)] // there is one
pub enum Source {
    /// The gateway, loopbacks and time.
    Live(Live),
    /// A journal: loopbacks and time come from it too.
    Journal(Inputs),
}

/// Live inputs.
pub struct Live {
    /// Private connections, replies, outcomes.
    pub private: Receiver<Arrival>,
    /// Market data.
    pub market: Receiver<Arrival>,
    /// Denials of risk and of route.
    pub denials: [Receiver<Denial>; 2],
    /// Ticks, anchors, commands.
    pub metronome: Metronome,
    /// Frame memory.
    pub slab: SlabReader,
    /// Configuration bytes and first anchor.
    pub config: (Vec<u8>, Nanos),
}

/// The decode agent.
pub struct DecodeAgent {
    /// The stage.
    pub decode: Decode,
    /// Connections.
    pub conns: Vec<ConnInfo>,
    /// Inputs.
    pub source: Source,
    /// To scan and record.
    pub publisher: FanProducer<Hop>,
    /// Large bodies to record.
    pub bodies: Sender<Vec<u8>>,
    /// This thread's clock.
    pub clock: Clock,
    /// For unreadable journals.
    pub stop: StopFlag,
    /// Own histograms.
    pub probe: Probe,
    /// Figures.
    pub board: Board,
    /// When figures were published last.
    pub published: Nanos,
    /// `Shutdown` was published.
    pub ended: bool,
}

/// Publishes, waiting for room: the design's policy for this hop. The ring counts the rounds of waiting.
///
/// Readers that have stopped for good (a panic) are not waited for once the run is told to end.
fn publish(publisher: &mut FanProducer<Hop>, hop: &Hop, stop: &StopFlag) {
    let mut waited = 0u32;
    loop {
        match publisher.try_publish(hop) {
            Ok(()) => return,
            Err(PublishError::Full) if stop.is_stopped() && waited > WAIT_ROUNDS_MAX => return,
            Err(PublishError::Full) => {
                waited = waited.saturating_add(1);
                std::thread::yield_now();
            }
            Err(PublishError::ConsumerGone) => return stop.fail(PublishError::ConsumerGone.to_string()),
        }
    }
}

impl DecodeAgent {
    fn pass(&mut self, mono: Nanos, readable: Nanos, input: Input, body: Body) {
        let Self { decode, publisher, bodies, source, stop, .. } = self;
        let bytes: &[u8] = match (&body, &*source) {
            (Body::Slot(lease), Source::Live(live)) => live.slab.bytes(lease),
            (Body::Heap(bytes), _) => bytes,
            _ => &[],
        };
        let raw = RawInput { mono, input, bytes };
        let started = self.clock.mono_ns();
        let (seq, at) = decode.sequence(&raw);
        let class = decode.class(&input);
        decode.on_input(&raw, seq, at, &mut |event| publish(publisher, &Hop::Event(*event), stop));
        let mut numbered =
            Numbered { seq, at, class, input, parcel: Parcel::default(), heap: false, readable };
        match body {
            Body::None => {}
            Body::Slot(lease) => {
                if let Source::Live(live) = source {
                    numbered.parcel = live.slab.pack(lease);
                }
            }
            Body::Heap(mut bytes) => {
                numbered.heap = true;
                let mut waited = 0u32;
                while let Err(Full(back)) = bodies.try_push(bytes) {
                    bytes = back;
                    waited = waited.saturating_add(1);
                    if bodies.is_abandoned() || (stop.is_stopped() && waited > WAIT_ROUNDS_MAX) {
                        break;
                    }
                    std::thread::yield_now();
                }
            }
        }
        publish(publisher, &Hop::Input(numbered), stop);
        if !matches!(input, Input::Tick) {
            self.probe.record(Path::Stage(Stage::Decode), self.clock.mono_ns() - started);
        }
        self.probe.hand_over(started);
        if started - self.published > PUBLISH_INTERVAL_NS {
            self.published = started;
            publishing::decode(&self.decode, &self.board);
        }
    }

    fn arrival(&mut self, arrival: Arrival) {
        let market = matches!(arrival.input, Input::Frame(meta)
            if self.conns.get(meta.conn.index()).is_some_and(|info| info.role == SessionRole::Market));
        self.pass(arrival.mono, if market { arrival.readable } else { 0 }, arrival.input, arrival.body);
    }

    fn live(&mut self) -> usize {
        let mut work = 0;
        let now = self.clock.mono_ns();
        if let Source::Live(live) = &mut self.source
            && let Some(input) = live.metronome.urgent(now, &mut self.clock)
        {
            self.pass(now, 0, input, Body::None);
            work += 1;
        }
        for _ in 0..BATCH {
            let Source::Live(live) = &mut self.source else { return 0 };
            let Some(arrival) = live.private.pop() else { break };
            self.arrival(arrival);
            work += 1;
        }
        for from in 0..2 {
            for _ in 0..BATCH {
                let Source::Live(live) = &mut self.source else { return 0 };
                let Some(denial) = live.denials[from].pop() else { break };
                let now = self.clock.mono_ns();
                self.pass(now, 0, Input::Denied(denial), Body::None);
                work += 1;
            }
        }
        for _ in 0..BATCH {
            let Source::Live(live) = &mut self.source else { return 0 };
            let Some(arrival) = live.market.pop() else { break };
            self.arrival(arrival);
            work += 1;
        }
        let now = self.clock.mono_ns();
        let Source::Live(live) = &mut self.source else { return 0 };
        if work > 0 {
            live.metronome.heard(now);
        } else if let Some(input) = live.metronome.tick(now) {
            self.pass(now, 0, input, Body::None);
            work += 1;
        }
        work
    }

    fn journal(&mut self) -> usize {
        let mut work = 0;
        while work < BATCH && !self.ended {
            let Source::Journal(inputs) = &mut self.source else { return 0 };
            let next = match inputs.next() {
                Ok(next) => next.map(|(_, raw)| (raw.mono, raw.input, raw.bytes.to_vec())),
                Err(failure) => {
                    self.stop.fail(failure.to_string());
                    None
                }
            };
            match next {
                Some((mono, input, bytes)) => {
                    let body = if bytes.is_empty() { Body::None } else { Body::Heap(bytes) };
                    self.pass(mono, 0, input, body);
                }
                None => self.end(),
            }
            work += 1;
        }
        work
    }

    fn end(&mut self) {
        if !self.ended {
            self.ended = true;
            publish(&mut self.publisher, &Hop::Shutdown, &self.stop);
        }
    }
}

impl Agent for DecodeAgent {
    fn on_start(&mut self) {
        if let Source::Live(live) = &mut self.source {
            let (config, anchor) = std::mem::take(&mut live.config);
            let now = self.clock.mono_ns();
            self.pass(now, 0, Input::Config, Body::Heap(config));
            self.pass(now, 0, Input::Anchor(anchor), Body::None);
            self.pass(now, 0, Input::Command(Command::Start), Body::None);
        }
    }

    fn do_work(&mut self) -> usize {
        match self.source {
            Source::Live(_) => self.live(),
            Source::Journal(_) => self.journal(),
        }
    }

    fn on_close(&mut self) {
        publishing::decode(&self.decode, &self.board);
        self.end();
        self.probe.close();
    }
}
