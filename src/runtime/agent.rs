//! The threads that run agents: named, pinned, in duty cycles, until told to stop.
//!
//! A panicking agent does not freeze its neighbours in silence: the panic is caught, everybody is told to
//! stop, and the agent's exit says what happened. Knows nothing of what an agent does.

use super::affinity::{PinReport, pin_current_thread};
use super::idle::{Idle, IdleMode};
use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Something that works in rounds, on whatever thread it is put.
pub trait Agent {
    /// Called once, on its thread, before the first round.
    fn on_start(&mut self) {}
    /// One round of bounded length; returns how many things it did (0 = idle).
    fn do_work(&mut self) -> usize;
    /// Called once after the last round, also after a panic of one.
    fn on_close(&mut self) {}
}

/// Two agents on one thread, one round each in turn.
impl<A: Agent, B: Agent> Agent for (A, B) {
    fn on_start(&mut self) {
        self.0.on_start();
        self.1.on_start();
    }

    fn do_work(&mut self) -> usize {
        self.0.do_work() + self.1.do_work()
    }

    fn on_close(&mut self) {
        self.0.on_close();
        self.1.on_close();
    }
}

/// Any number of agents on one thread, one round each in turn.
impl<A: Agent + ?Sized> Agent for Vec<Box<A>> {
    fn on_start(&mut self) {
        self.iter_mut().for_each(|agent| agent.on_start());
    }

    fn do_work(&mut self) -> usize {
        self.iter_mut().map(|agent| agent.do_work()).sum()
    }

    fn on_close(&mut self) {
        self.iter_mut().for_each(|agent| agent.on_close());
    }
}

/// The word to stop, shared by the threads of a run, with the first failure that caused it.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    failure: Mutex<Option<String>>,
}

impl StopFlag {
    /// Not stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells every thread to end after its current round.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::Release);
    }

    /// Stops because of a failure; the first one is kept.
    pub fn fail(&self, what: String) {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
        self.stop();
    }

    /// Whether to stop.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.0.stop.load(Ordering::Acquire)
    }

    /// The first failure, if any.
    pub fn failure(&self) -> Option<String> {
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How to run an agent.
#[derive(Clone, Debug)]
pub struct AgentThread {
    /// Thread name, as `top -H` shows it (15 bytes are visible).
    pub name: String,
    /// Core; `None` = any.
    pub cpu: Option<usize>,
    /// How it waits.
    pub idle: IdleMode,
}

/// How an agent ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentExit {
    /// Its thread's name.
    pub name: String,
    /// What it panicked with, when it did.
    pub panic: Option<String>,
    /// Where it ran.
    pub pin: PinReport,
    /// Rounds.
    pub rounds: u64,
    /// Rounds that found something to do.
    pub busy_rounds: u64,
}

/// A running agent.
#[derive(Debug)]
pub struct AgentHandle<A> {
    name: String,
    thread: JoinHandle<(A, AgentExit)>,
}

impl<A: Agent + 'static> AgentHandle<A> {
    /// Starts a thread, builds the agent on it (so that what it allocates is local to its core), and
    /// runs it until `stop`.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn spawn(
        thread: AgentThread,
        stop: StopFlag,
        build: impl FnOnce() -> A + Send + 'static,
    ) -> io::Result<Self>
    where
        A: Send,
    {
        let name = thread.name.clone();
        let handle = std::thread::Builder::new().name(thread.name.clone()).spawn(move || {
            let pin = pin_current_thread(thread.cpu);
            // A panic while building also has to stop the others before it ends this thread.
            let mut agent = match catch_unwind(AssertUnwindSafe(build)) {
                Ok(agent) => agent,
                Err(payload) => {
                    stop.fail(format!("thread {} could not start: {}", thread.name, panic_text(&*payload)));
                    std::panic::resume_unwind(payload);
                }
            };
            let exit = run(&thread, pin, &stop, &mut agent);
            (agent, exit)
        })?;
        Ok(Self { name, thread: handle })
    }

    /// Its thread's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it has ended.
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends a sleep of a parked agent.
    pub fn unpark(&self) {
        self.thread.thread().unpark();
    }

    /// Waits for its end and gives the agent back, with how it ended. `None`: it was never built.
    pub fn join(self) -> (Option<A>, AgentExit) {
        match self.thread.join() {
            Ok((agent, exit)) => (Some(agent), exit),
            Err(payload) => {
                let panic = Some(panic_text(&*payload));
                (
                    None,
                    AgentExit {
                        name: self.name,
                        panic,
                        pin: PinReport::default(),
                        rounds: 0,
                        busy_rounds: 0,
                    },
                )
            }
        }
    }
}

/// Runs an agent on the calling thread until `stop`; a panic of it stops everybody and is reported.
pub fn run(thread: &AgentThread, pin: PinReport, stop: &StopFlag, agent: &mut impl Agent) -> AgentExit {
    let mut exit = AgentExit { name: thread.name.clone(), panic: None, pin, rounds: 0, busy_rounds: 0 };
    let mut idle = Idle::new(thread.idle);
    let worked = catch_unwind(AssertUnwindSafe(|| {
        agent.on_start();
        while !stop.is_stopped() {
            let work = agent.do_work();
            exit.rounds += 1;
            exit.busy_rounds += u64::from(work > 0);
            idle.idle(work);
        }
    }));
    if let Err(payload) = worked {
        exit.panic = Some(panic_text(&*payload));
        stop.fail(format!("thread {} panicked: {}", thread.name, panic_text(&*payload)));
    }
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| agent.on_close())) {
        let text = panic_text(&*payload);
        stop.fail(format!("thread {} panicked while closing: {text}", thread.name));
        exit.panic.get_or_insert(text);
    }
    exit
}

/// What a panic says.
fn panic_text(payload: &(dyn Any + Send)) -> String {
    if let Some(text) = payload.downcast_ref::<&str>() {
        return (*text).to_owned();
    }
    payload.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic without words".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(name: &str, idle: IdleMode) -> AgentThread {
        AgentThread { name: name.to_owned(), cpu: None, idle }
    }

    struct Counter {
        rounds: u64,
        limit: u64,
        stop: StopFlag,
        log: Vec<&'static str>,
    }

    impl Agent for Counter {
        fn on_start(&mut self) {
            self.log.push("start");
        }

        fn do_work(&mut self) -> usize {
            self.rounds += 1;
            if self.rounds == self.limit {
                self.stop.stop();
            }
            usize::from(self.rounds.is_multiple_of(2))
        }

        fn on_close(&mut self) {
            self.log.push("close");
        }
    }

    #[test]
    fn runs_until_stopped_and_gives_the_agent_back() {
        for idle in [IdleMode::Spin, IdleMode::Yield, IdleMode::Park] {
            let stop = StopFlag::new();
            let inside = stop.clone();
            let build = move || Counter { rounds: 0, limit: 100, stop: inside, log: Vec::new() };
            let handle = AgentHandle::spawn(thread("counter", idle), stop.clone(), build).unwrap();
            let (agent, exit) = handle.join();
            assert_eq!(agent.unwrap().log, ["start", "close"]);
            assert_eq!((exit.rounds, exit.busy_rounds, exit.panic), (100, 50, None));
            assert_eq!(stop.failure(), None);
        }
    }

    struct Panicking(bool);

    impl Agent for Panicking {
        fn do_work(&mut self) -> usize {
            panic!("the ring is upside down");
        }

        fn on_close(&mut self) {
            self.0 = true;
        }
    }

    #[test]
    fn a_panic_stops_everybody_and_is_reported() {
        let stop = StopFlag::new();
        let inside = stop.clone();
        let neighbour = AgentHandle::spawn(thread("neighbour", IdleMode::Yield), stop.clone(), move || {
            Counter { rounds: 0, limit: u64::MAX, stop: inside, log: Vec::new() }
        })
        .unwrap();
        let culprit =
            AgentHandle::spawn(thread("culprit", IdleMode::Yield), stop.clone(), || Panicking(false))
                .unwrap();
        let (agent, exit) = culprit.join();
        assert!(agent.unwrap().0, "on_close is called after a panic");
        assert_eq!(exit.panic.as_deref(), Some("the ring is upside down"));
        assert!(neighbour.join().1.panic.is_none());
        assert_eq!(stop.failure().as_deref(), Some("thread culprit panicked: the ring is upside down"));
    }

    #[test]
    fn a_panic_while_building_stops_everybody_too() {
        let stop = StopFlag::new();
        let build = || -> Panicking { panic!("no memory for rings") };
        let (agent, exit) =
            AgentHandle::spawn(thread("builder", IdleMode::Park), stop.clone(), build).unwrap().join();
        assert!(agent.is_none() && exit.panic.is_some() && stop.is_stopped());
        assert!(stop.failure().unwrap().contains("no memory for rings"));
    }

    #[test]
    fn agents_share_a_thread_in_turn() {
        let stop = StopFlag::new();
        let make = |limit| Counter { rounds: 0, limit, stop: stop.clone(), log: Vec::new() };
        let mut pair = (make(10), make(u64::MAX));
        let exit = run(&thread("pair", IdleMode::Spin), PinReport::default(), &stop, &mut pair);
        assert_eq!((exit.rounds, pair.0.rounds, pair.1.rounds), (10, 10, 10));
        let mut many: Vec<Box<dyn Agent>> = vec![Box::new(pair.0), Box::new(pair.1)];
        assert_eq!(many.do_work(), 0, "the eleventh rounds");
        assert_eq!(many.do_work(), 2, "the twelfth rounds");
    }
}
