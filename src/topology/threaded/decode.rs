//! Decode on its own thread: merges everything into one sequence, and publishes events to scan and record.

use super::hops::{Arrival, Body, Hop, Numbered};
use crate::domain::event::SessionRole;
use crate::domain::input::{Input, RawInput};
use crate::domain::intent::Denial;
use crate::domain::output::Stage;
use crate::domain::time::Nanos;
use crate::ops::latency::Path;
use crate::ops::view::Board;
use crate::replay::source::Inputs;
use crate::ring::fan::{FanProducer, PublishError};
use crate::ring::slab::{Parcel, SlabReader};
use crate::ring::spsc::{Receiver, Sender};
use crate::runtime::agent::{Agent, StopFlag};
use crate::runtime::clock::Clock;
use crate::stage::decode::{ConnInfo, Decode};
use crate::topology::live::{Metronome, PUBLISH_INTERVAL_NS};
use crate::topology::opening::Opening;
use crate::topology::probe::Probe;
use crate::topology::publish as publishing;
use std::collections::VecDeque;

/// Inputs of one kind per round.
const BATCH: usize = 16;

/// Rounds of yielding after which a full ring is given up at the end of a run.
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
    /// The first inputs, and the first anchor.
    pub opening: (Opening, Nanos),
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
    /// What found no room in the ring, in order.
    pub backlog: VecDeque<Hop>,
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

/// Publishes, or keeps in order what finds no room: the thread may be the gateway's too, on which the readers
/// wait. No input is taken while anything is kept. The ring counts the attempts that found no room.
fn publish(publisher: &mut FanProducer<Hop>, backlog: &mut VecDeque<Hop>, hop: &Hop, stop: &StopFlag) {
    if !backlog.is_empty() {
        return backlog.push_back(*hop);
    }
    match publisher.try_publish(hop) {
        Ok(()) => {}
        Err(PublishError::Full) => backlog.push_back(*hop),
        Err(PublishError::ConsumerGone) => stop.fail(PublishError::ConsumerGone.to_string()),
    }
}

impl DecodeAgent {
    fn pass(&mut self, mono: Nanos, readable: Nanos, input: Input, body: Body) {
        let Self { decode, publisher, backlog, bodies, source, stop, .. } = self;
        let bytes: &[u8] = match (&body, &*source) {
            (Body::Slot(lease), Source::Live(live)) => live.slab.bytes(lease),
            (Body::Heap(bytes), _) => bytes,
            _ => &[],
        };
        let raw = RawInput { mono, input, bytes };
        let started = self.clock.mono_ns();
        let (seq, at) = decode.sequence(&raw);
        let class = decode.class(&input);
        decode.on_input(&raw, seq, at, &mut |event| {
            publish(publisher, backlog, &Hop::Event(*event), stop);
        });
        let mut numbered =
            Numbered { seq, at, class, input, parcel: Parcel::default(), heap: false, readable };
        match body {
            Body::None => {}
            Body::Slot(lease) => {
                if let Source::Live(live) = source {
                    numbered.parcel = live.slab.pack(lease);
                }
            }
            Body::Heap(bytes) => {
                numbered.heap = true;
                if bodies.try_push(bytes).is_err() {
                    stop.fail("the ring of large bodies is full although room was checked".into());
                }
            }
        }
        publish(publisher, backlog, &Hop::Input(numbered), stop);
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

    /// Whether the next input may be taken: everything before it has been published, and a body has a place.
    /// Otherwise its ring keeps it, and the thread goes on with its other agents.
    fn has_room(&mut self) -> bool {
        let Self { publisher, backlog, bodies, stop, .. } = self;
        while let Some(hop) = backlog.front() {
            match publisher.try_publish(hop) {
                Ok(()) => drop(backlog.pop_front()),
                Err(PublishError::Full) => return false,
                Err(PublishError::ConsumerGone) => {
                    stop.fail(PublishError::ConsumerGone.to_string());
                    return false;
                }
            }
        }
        bodies.has_room(1)
    }

    fn live(&mut self) -> usize {
        let mut work = 0;
        if !self.has_room() {
            return 0;
        }
        let now = self.clock.mono_ns();
        if let Source::Live(live) = &mut self.source
            && let Some(input) = live.metronome.urgent(now, &mut self.clock)
        {
            self.pass(now, 0, input, Body::None);
            work += 1;
        }
        for _ in 0..BATCH {
            if !self.has_room() {
                return work;
            }
            let Source::Live(live) = &mut self.source else { return 0 };
            let Some(arrival) = live.private.pop() else { break };
            self.arrival(arrival);
            work += 1;
        }
        for from in 0..2 {
            for _ in 0..BATCH {
                if !self.has_room() {
                    return work;
                }
                let Source::Live(live) = &mut self.source else { return 0 };
                let Some(denial) = live.denials[from].pop() else { break };
                let now = self.clock.mono_ns();
                self.pass(now, 0, Input::Denied(denial), Body::None);
                work += 1;
            }
        }
        for _ in 0..BATCH {
            if !self.has_room() {
                return work;
            }
            let Source::Live(live) = &mut self.source else { return 0 };
            let Some(arrival) = live.market.pop() else { break };
            self.arrival(arrival);
            work += 1;
        }
        if !self.has_room() {
            return work;
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
        while work < BATCH && !self.ended && self.has_room() {
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
            publish(&mut self.publisher, &mut self.backlog, &Hop::Shutdown, &self.stop);
        }
    }

    /// Nothing follows: waits for room for what is kept. The gateway of this thread is closed by now, and the
    /// stages do not wait for a closed one. Readers that have stopped for good (a panic) are given up.
    fn drain(&mut self) {
        for _ in 0..WAIT_ROUNDS_MAX {
            if self.backlog.is_empty() || (!self.has_room() && self.backlog.is_empty()) {
                return;
            }
            std::thread::yield_now();
        }
    }
}

impl Agent for DecodeAgent {
    fn on_start(&mut self) {
        if let Source::Live(live) = &mut self.source {
            let (opening, anchor) = std::mem::take(&mut live.opening);
            let now = self.clock.mono_ns();
            for (input, bytes) in opening.inputs(anchor) {
                let body = if bytes.is_empty() { Body::None } else { Body::Heap(bytes) };
                self.pass(now, 0, input, body);
            }
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
        self.drain();
        self.probe.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::input::{ConnId, FrameMeta};
    use crate::domain::params::EngineParams;
    use crate::ring::fan::fan;
    use crate::ring::slab::{SlabCounts, slab};
    use crate::ring::spsc::channel;
    use crate::runtime::clock::ClockOrigin;
    use crate::topology::probe::Pool;

    /// On a thread with the gateway: the reader waits for route, route for the gateway, the gateway for its turn.
    #[test]
    fn a_full_ring_keeps_inputs_where_they_are_instead_of_holding_the_thread() {
        let (publisher, mut scan, mut record) = fan("tiny", 4, Hop::Empty);
        let (bodies, mut record_bodies) = channel("bodies", 2);
        let (mut private_sender, private) = channel("private", 128);
        let (_market_sender, market) = channel("market", 2);
        let denials = [channel("risk", 2).1, channel("route", 2).1];
        let mut clock = ClockOrigin::begin().clock();
        let (_commands, received) = std::sync::mpsc::channel();
        let now = clock.mono_ns();
        let live = Live {
            private,
            market,
            denials,
            metronome: Metronome::new(received, 0, now),
            slab: slab(SlabCounts { small: 4, medium: 2, large: 2 }, false).1,
            opening: (b"{}".to_vec().into(), 0),
        };
        let mut agent = DecodeAgent {
            decode: Decode::new(&EngineParams::default(), Vec::new(), Vec::new()),
            conns: Vec::new(),
            source: Source::Live(live),
            publisher,
            backlog: VecDeque::new(),
            bodies,
            clock,
            stop: StopFlag::new(),
            probe: Pool::new().probe(&[Path::Stage(Stage::Decode)]),
            board: Board::default(),
            published: now,
            ended: false,
        };
        const FRAMES: u32 = 100;
        for epoch in 0..FRAMES {
            // Of no connection: each makes an input and, as the last of its burst, an event.
            let meta = FrameMeta { conn: ConnId(9), epoch, last: true, ..FrameMeta::default() };
            let arrival = Arrival {
                mono: now,
                readable: now,
                input: Input::Frame(meta),
                body: Body::Heap(vec![0; 64]),
            };
            assert!(private_sender.try_push(arrival).is_ok());
        }
        agent.on_start();
        for _ in 0..50 {
            agent.do_work();
        }
        assert!(private_sender.depth() >= FRAMES as usize - 8, "inputs wait in their ring");
        // The readers go on: everything comes, once and in order.
        let (mut epochs, mut numbers) = (Vec::new(), Vec::new());
        while epochs.len() < FRAMES as usize {
            let _ = scan.poll(1, |_, _| ());
            let _ = record.poll(1, |hop, _| {
                if let Hop::Input(numbered) = hop {
                    numbers.push(numbered.seq.0);
                    if numbered.heap {
                        assert!(record_bodies.pop().is_some(), "the body comes before its input");
                    }
                    if let Input::Frame(meta) = numbered.input {
                        epochs.push(meta.epoch);
                    }
                }
            });
            agent.do_work();
        }
        assert_eq!(epochs, (0..FRAMES).collect::<Vec<_>>());
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "numbered without holes");
        assert_eq!(agent.stop.failure(), None);
    }
}
