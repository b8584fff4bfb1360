//! Record on its own thread: the last reader of everything.

use super::hops::{Hop, Note, Sent};
use crate::domain::input::{Command, RawInput};
use crate::domain::time::Nanos;
use crate::ops::view::Board;
use crate::ring::fan::FanConsumer;
use crate::ring::slab::SlabReturner;
use crate::ring::spsc::Receiver;
use crate::runtime::agent::Agent;
use crate::runtime::clock::Clock;
use crate::stage::river::Tap;
use crate::topology::live::PUBLISH_INTERVAL_NS;
use crate::topology::probe::Probe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};

/// Items of one ring per round.
const BATCH: usize = 256;

/// What the record agent's tap does beside recording.
pub trait Chores {
    /// What a round ends with, off everybody's path: carrying to the disk what an order waits for.
    fn settle(&mut self) {}
    /// Publishes figures; called a few times a second. Samples go to `probe`.
    fn publish(&mut self, probe: &mut Probe, mono: Nanos, board: &Board);
}

/// The record agent.
pub struct RecordAgent<T> {
    /// Recorder and watch, or the comparer of a replay.
    pub tap: Option<T>,
    /// From decode.
    pub events: FanConsumer<Hop>,
    /// Large bodies from decode.
    pub bodies: Receiver<Vec<u8>>,
    /// Frame memory; `None` in a replay.
    pub slab: Option<SlabReturner>,
    /// From scan and risk.
    pub notes: [Receiver<Note>; 2],
    /// From route.
    pub sent: Receiver<Sent>,
    /// Streams that have said `Shutdown` (of four).
    pub ended: usize,
    /// Everything has been recorded.
    pub finished: Arc<AtomicBool>,
    /// Where the tap goes at the end.
    pub done: Arc<Mutex<Option<T>>>,
    /// To decode: the lag of this thread.
    pub commands: Option<Sender<Command>>,
    /// Last lag that was reported, percent: 0, 25 or 75.
    pub lag: u8,
    /// Most that it ever was, percent.
    pub lag_max: u8,
    /// This thread's clock.
    pub clock: Clock,
    /// Figures.
    pub board: Board,
    /// When figures were published last.
    pub published: Nanos,
    /// Own histograms.
    pub probe: Probe,
}

impl<T: Tap + Chores> RecordAgent<T> {
    fn inputs(&mut self) -> usize {
        let Self { tap: Some(tap), events, bodies, slab, ended, .. } = self else { return 0 };
        let polled = events.poll(BATCH, |hop, _| match hop {
            Hop::Empty => {}
            Hop::Event(event) => tap.event(event),
            Hop::Input(numbered) => {
                let lease = slab.as_mut().and_then(|slab| slab.open(numbered.parcel));
                let heap = if numbered.heap { wait(bodies) } else { Vec::new() };
                let bytes = match (&lease, &slab) {
                    (Some(lease), Some(slab)) => slab.bytes(lease),
                    _ => &heap,
                };
                let raw = RawInput { mono: numbered.at.mono, input: numbered.input, bytes };
                tap.input(numbered.seq, numbered.at, numbered.class, &raw);
                tap.end(numbered.seq);
                if let (Some(lease), Some(slab)) = (lease, slab.as_mut()) {
                    slab.release(lease);
                }
            }
            Hop::Shutdown => *ended += 1,
        });
        polled.unwrap_or(0)
    }

    fn outputs(&mut self) -> usize {
        let Self { tap: Some(tap), notes, sent, ended, .. } = self else { return 0 };
        let mut work = 0;
        for ring in notes {
            for _ in 0..BATCH {
                let Some(note) = ring.pop() else { break };
                work += 1;
                match note {
                    Note::Intent(key, intent) => tap.intent(key, &intent),
                    Note::Approved(key, intent) => tap.approved(key, &intent),
                    Note::Denied(key, denial) => tap.denied(key, &denial),
                    Note::State(key, hash) => tap.state(key, hash),
                    Note::NearMiss(key, near) => tap.near_miss(key, &near),
                    Note::Shutdown => *ended += 1,
                }
            }
        }
        for _ in 0..BATCH {
            let Some(item) = sent.pop() else { break };
            work += 1;
            match item {
                Sent::Message(key, message) => tap.message(key, &message),
                Sent::Denied(key, denial) => tap.denied(key, &denial),
                Sent::Shutdown => *ended += 1,
            }
        }
        work
    }

    /// How full the fullest of the rings to this thread is, percent.
    fn fullest(&self) -> u8 {
        let part = |depth: u64, capacity: usize| depth * 100 / (capacity.max(1) as u64);
        let fan = part(self.events.depth(), self.events.stats().capacity());
        let bodies = part(self.bodies.depth() as u64, self.bodies.stats().capacity());
        let sent = part(self.sent.depth() as u64, self.sent.stats().capacity());
        let notes = self.notes.iter().map(|ring| part(ring.depth() as u64, ring.stats().capacity()));
        notes.chain([fan, bodies, sent]).max().unwrap_or_default().min(100) as u8
    }

    /// Tells decode when this thread falls behind: the design's marks of 25 and 75 percent.
    fn report_lag(&mut self) {
        let Some(commands) = &self.commands else { return };
        let percent = self.fullest();
        self.lag_max = self.lag_max.max(percent);
        let mark = if percent > 75 {
            75
        } else if percent > 25 {
            25
        } else {
            0
        };
        if mark != self.lag {
            self.lag = mark;
            // A run that is ending no longer listens.
            let _ = commands.send(Command::RecorderLag { percent });
        }
    }
}

/// The body was pushed before the input that names it.
fn wait(bodies: &mut Receiver<Vec<u8>>) -> Vec<u8> {
    bodies.pop().unwrap_or_default()
}

impl<T: Tap + Chores> Agent for RecordAgent<T> {
    fn do_work(&mut self) -> usize {
        self.report_lag();
        let work = self.inputs() + self.outputs();
        if let Some(tap) = &mut self.tap {
            tap.settle();
        }
        let now = self.clock.mono_ns();
        if now - self.published > PUBLISH_INTERVAL_NS
            && let Some(tap) = &mut self.tap
        {
            self.published = now;
            tap.publish(&mut self.probe, now, &self.board);
            let (lag_max, fan_full) = (self.lag_max, self.events.stats().full());
            self.board.try_update(|view| {
                view.stalls.recorder_lag_max = lag_max;
                view.stalls.decode = fan_full;
            });
        }
        if work == 0 && self.ended == 4 {
            self.finished.store(true, Ordering::Release);
        }
        work
    }

    fn on_close(&mut self) {
        if let Some(tap) = &mut self.tap {
            tap.publish(&mut self.probe, self.clock.mono_ns(), &self.board);
        }
        self.probe.close();
        if let Ok(mut done) = self.done.lock() {
            *done = self.tap.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::output::{OutputKey, Stage};
    use crate::ring::fan::fan;
    use crate::ring::spsc::channel;
    use crate::runtime::clock::ClockOrigin;
    use crate::topology::keeper::Keeper;
    use crate::topology::probe::Pool;

    #[test]
    fn the_fullest_ring_of_all_tells_how_far_the_recorder_is_behind() {
        let (mut publisher, _scan, events) = fan("fan", 64, Hop::Empty);
        let (_bodies_sender, bodies) = channel("bodies", 16);
        let ((mut first, first_end), (mut second, second_end)) = (channel("scan", 64), channel("risk", 64));
        let (mut sent_sender, sent) = channel("route", 16);
        let (commands, heard) = std::sync::mpsc::channel();
        let mut agent = RecordAgent::<Keeper> {
            tap: Some(Keeper::new(None)),
            events,
            bodies,
            slab: None,
            notes: [first_end, second_end],
            sent,
            ended: 0,
            finished: Arc::default(),
            done: Arc::default(),
            commands: Some(commands),
            lag: 0,
            lag_max: 0,
            clock: ClockOrigin::begin().clock(),
            board: Board::default(),
            published: 0,
            probe: Pool::new().probe(&[]),
        };
        let told = |agent: &mut RecordAgent<Keeper>| {
            agent.report_lag();
            heard.try_iter().collect::<Vec<_>>()
        };
        let key = OutputKey { cause: crate::domain::event::Seq(1), stage: Stage::Scan, ordinal: 0 };
        (0..16).for_each(|at| assert!(first.try_push(Note::State(key, at)).is_ok()));
        assert_eq!(told(&mut agent), [], "a quarter is no lag yet");
        (0..18).for_each(|at| assert!(second.try_push(Note::State(key, at)).is_ok()));
        assert_eq!(told(&mut agent), [Command::RecorderLag { percent: 28 }]);
        assert_eq!(told(&mut agent), [], "once");
        (0..13).for_each(|_| assert!(sent_sender.try_push(Sent::Shutdown).is_ok()));
        assert_eq!(told(&mut agent), [Command::RecorderLag { percent: 81 }], "the route's ring counts too");
        agent.outputs();
        assert_eq!(told(&mut agent), [Command::RecorderLag { percent: 0 }]);
        (0..50).for_each(|_| assert!(publisher.try_publish(&Hop::Empty).is_ok()));
        assert_eq!(told(&mut agent), [Command::RecorderLag { percent: 78 }]);
        assert_eq!(agent.lag_max, 81);
    }
}
