//! The river: the four pure stages composed into one function, without rings.
//!
//! The fused profile, the in-process simulation and every replay run exactly this; the threaded
//! profiles run the same stages with rings between them. A [`Tap`] sees everything that passes.

use super::Made;
use super::decode::{ConnInfo, Decode, UnknownDialect, plan};
use super::risk::Risk;
use super::route::Route;
use super::scan::Scan;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Flow, FlowBody, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::intent::{Basket, Denial, Intent, NearMiss};
use crate::domain::output::{OutputKey, Stage};
use crate::domain::params::EngineParams;
use crate::domain::state::{Fields, State, StateError, Writer};
use crate::domain::time::Stamp;
use crate::venue::{Adapter, Encoder, dialect};
use serde::{Deserialize, Serialize};

/// Sees what passes: recorders, gateways, comparers.
pub trait Tap {
    /// An input got its number; its raw bytes are still as received.
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>);
    /// Decode derived an event from the present input.
    fn event(&mut self, event: &Event);
    /// Scan wants this.
    fn intent(&mut self, key: OutputKey, intent: &Intent);
    /// Risk approved this, or wants it itself.
    fn approved(&mut self, key: OutputKey, intent: &Intent);
    /// Risk or route denied this; the driver feeds it back as an input.
    fn denied(&mut self, key: OutputKey, denial: &Denial);
    /// Route made this message.
    fn message(&mut self, key: OutputKey, message: &OutMsg);
    /// Scan nearly wanted this.
    fn near_miss(&mut self, key: OutputKey, near: &NearMiss);
    /// A stage's state hash.
    fn state(&mut self, key: OutputKey, hash: u64);
    /// The present input is done.
    fn end(&mut self, seq: Seq);
    /// The stage that works from now on: for latency accounting.
    fn enter(&mut self, stage: Stage) {
        let _ = stage;
    }
}

/// Looks at nothing.
impl Tap for () {
    fn input(&mut self, _seq: Seq, _at: Stamp, _class: InputClass, _raw: &RawInput<'_>) {}
    fn event(&mut self, _event: &Event) {}
    fn intent(&mut self, _key: OutputKey, _intent: &Intent) {}
    fn approved(&mut self, _key: OutputKey, _intent: &Intent) {}
    fn denied(&mut self, _key: OutputKey, _denial: &Denial) {}
    fn message(&mut self, _key: OutputKey, _message: &OutMsg) {}
    fn near_miss(&mut self, _key: OutputKey, _near: &NearMiss) {}
    fn state(&mut self, _key: OutputKey, _hash: u64) {}
    fn end(&mut self, _seq: Seq) {}
}

/// Where a rehearsal stands. A step is at most a few µs of work, so that an input never waits longer.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    step: Step,
    /// Goes round pairs and directions.
    turn: usize,
    /// The imagined entry, from scan to route.
    basket: Basket,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Scan,
    Risk,
    Route,
}

impl Rehearsal {
    /// Between two rounds: the next step begins with another pair.
    pub fn is_at_start(&self) -> bool {
        self.step == Step::Scan
    }

    /// The imagined entry that is on its way.
    pub fn basket(&self) -> &Basket {
        &self.basket
    }
}

/// Numbers a stage's outputs of one cause.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ordinals {
    stage: Stage,
    cause: Seq,
    next: u16,
}

impl Ordinals {
    /// For `stage`.
    pub fn new(stage: Stage) -> Self {
        Self { stage, cause: Seq(0), next: 0 }
    }

    /// The key of the stage's next output.
    #[inline]
    pub fn next(&mut self, cause: Seq) -> OutputKey {
        if cause != self.cause {
            self.cause = cause;
            self.next = 0;
        }
        let key = OutputKey { cause, stage: self.stage, ordinal: self.next };
        self.next += 1;
        key
    }
}

/// The parts of an engine, before they are composed (here) or put on threads (`topology`).
pub struct Parts {
    /// Connections by [`crate::domain::input::ConnId`].
    pub conns: Vec<ConnInfo>,
    /// Stage.
    pub decode: Decode,
    /// Stage.
    pub scan: Scan,
    /// Stage.
    pub risk: Risk,
    /// Stage.
    pub route: Route,
}

impl Parts {
    /// Builds all stages for `params`.
    pub fn new(params: &EngineParams, trading: bool) -> Result<Self, UnknownDialect> {
        Self::with_adapters(params, trading, |adapter| adapter)
    }

    /// Like [`Parts::new`], with every adapter passed through `wrap` (tests plant faults this way).
    pub fn with_adapters(
        params: &EngineParams,
        trading: bool,
        mut wrap: impl FnMut(Box<dyn Adapter>) -> Box<dyn Adapter>,
    ) -> Result<Self, UnknownDialect> {
        let (conns, contexts) = plan(params, trading)?;
        let mut adapters: Vec<Box<dyn Adapter>> = Vec::new();
        let mut encoders: Vec<Box<dyn Encoder>> = Vec::new();
        for context in &contexts {
            if let Some(dialect) = dialect(&context.params.dialect) {
                adapters.push(wrap(dialect.adapter(context)));
                encoders.push(dialect.encoder(context));
            }
        }
        Ok(Self {
            decode: Decode::new(params, conns.clone(), adapters),
            scan: Scan::new(params),
            risk: Risk::new(params),
            route: Route::new(params, conns.clone(), encoders),
            conns,
        })
    }
}

/// All stages on one thread.
pub struct River {
    parts: Parts,
    scan_keys: Ordinals,
    risk_keys: Ordinals,
    route_keys: Ordinals,
}

/// All stages after the same input. An error of loading leaves stages of which some have their new state already: build
/// them anew.
impl State for River {
    fn save(&self) -> Result<String, StateError> {
        let Self { parts: Parts { conns: _, decode, scan, risk, route }, scan_keys, risk_keys, route_keys } =
            self;
        let mut to = Writer::new("River");
        to.part("decode", decode)?;
        to.part("scan", scan)?;
        to.part("risk", risk)?;
        to.part("route", route)?;
        to.field("keys", &[scan_keys, risk_keys, route_keys])?;
        Ok(to.end())
    }

    fn load(&mut self, saved: &str) -> Result<(), StateError> {
        let from = Fields::read("River", saved)?;
        let keys = from.field("keys")?;
        from.part("decode", &mut self.parts.decode)?;
        from.part("scan", &mut self.parts.scan)?;
        from.part("risk", &mut self.parts.risk)?;
        from.part("route", &mut self.parts.route)?;
        [self.scan_keys, self.risk_keys, self.route_keys] = keys;
        Ok(())
    }
}

/// The stages behind decode, for one input.
struct Behind<'a> {
    scan: &'a mut Scan,
    risk: &'a mut Risk,
    route: &'a mut Route,
    /// Of scan, risk and route.
    keys: [&'a mut Ordinals; 3],
}

impl Behind<'_> {
    /// Passes an event of decode through them. One function for all places at which decode emits: so the call is all that
    /// stands there, and the event is made in its place and not moved as a whole.
    #[inline(never)]
    fn event(&mut self, event: &Event, tap: &mut impl Tap) {
        let Self { scan, risk, route, keys: [scan_keys, risk_keys, route_keys] } = self;
        let seq = event.seq;
        tap.event(event);
        tap.enter(Stage::Scan);
        scan.on_event(event, &mut |made| match made {
            Made::State(hash) => tap.state(scan_keys.next(seq), hash),
            Made::Denied(_) => {}
            Made::Item(Flow { body: FlowBody::NearMiss(near), .. }) => {
                tap.near_miss(scan_keys.next(seq), near);
            }
            Made::Item(flow) => {
                if let FlowBody::Intent(intent) = &flow.body {
                    tap.intent(scan_keys.next(seq), intent);
                }
                tap.enter(Stage::Risk);
                risk.on_flow(flow, &mut |made| match made {
                    Made::State(hash) => tap.state(risk_keys.next(seq), hash),
                    Made::Denied(denial) => tap.denied(risk_keys.next(seq), denial),
                    Made::Item(flow) => {
                        if let FlowBody::Intent(intent) = &flow.body {
                            tap.approved(risk_keys.next(seq), intent);
                        }
                        tap.enter(Stage::Route);
                        route.on_flow(flow, &mut |made| match made {
                            Made::State(hash) => tap.state(route_keys.next(seq), hash),
                            Made::Denied(denial) => tap.denied(route_keys.next(seq), denial),
                            Made::Item(message) => tap.message(route_keys.next(seq), message),
                        });
                        tap.enter(Stage::Risk);
                    }
                });
                tap.enter(Stage::Scan);
            }
        });
        tap.enter(Stage::Decode);
    }
}

impl River {
    /// Composes the stages.
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            scan_keys: Ordinals::new(Stage::Scan),
            risk_keys: Ordinals::new(Stage::Risk),
            route_keys: Ordinals::new(Stage::Route),
        }
    }

    /// The number and the instant of the last input.
    pub fn now(&self) -> (Seq, Stamp) {
        self.parts.decode.now()
    }

    /// Passes one input through all stages.
    pub fn input(&mut self, raw: &RawInput<'_>, tap: &mut impl Tap) {
        let Self { parts, scan_keys, risk_keys, route_keys } = self;
        let Parts { decode, scan, risk, route, .. } = parts;
        let (seq, at) = decode.sequence(raw);
        tap.input(seq, at, decode.class(&raw.input), raw);
        tap.enter(Stage::Decode);
        let mut behind = Behind { scan, risk, route, keys: [scan_keys, risk_keys, route_keys] };
        decode.on_input(raw, seq, at, &mut |event| behind.event(event, tap));
        tap.end(seq);
    }

    /// Passes one input of which other stages have told the events: for a run on paper that follows the market of a recorded
    /// one, see [`Decode::on_told`].
    pub fn told(&mut self, raw: &RawInput<'_>, bodies: &[EventBody], tap: &mut impl Tap) {
        let Self { parts, scan_keys, risk_keys, route_keys } = self;
        let Parts { decode, scan, risk, route, .. } = parts;
        let (seq, at) = decode.sequence(raw);
        tap.input(seq, at, decode.class(&raw.input), raw);
        let mut behind = Behind { scan, risk, route, keys: [scan_keys, risk_keys, route_keys] };
        decode.on_told(bodies, &mut |event| behind.event(event, tap));
        tap.end(seq);
    }

    /// One step of a rehearsal: walks the code and the data of an order's way without effect, so that they
    /// are warm when an input makes an order. `gate` gets every message that would leave. Nothing that a
    /// journal, a state hash or a counter shows is touched.
    pub fn rehearse(&mut self, rehearsal: &mut Rehearsal, gate: &mut impl FnMut(&OutMsg)) {
        let Parts { decode, scan, risk, route, .. } = &mut self.parts;
        let now = scan.scanner().now();
        match rehearsal.step {
            Step::Scan => {
                if let Some(basket) = scan.scanner().imagined_entry(rehearsal.turn) {
                    (rehearsal.basket, rehearsal.step) = (basket, Step::Risk);
                }
                rehearsal.turn = rehearsal.turn.wrapping_add(1);
            }
            Step::Risk => {
                rehearsal.step = Step::Route;
                // Denied or not: the rest is as cold either way.
                std::hint::black_box(risk.rules().rehearse(&rehearsal.basket, now).is_ok());
            }
            Step::Route => {
                rehearsal.step = Step::Scan;
                route.rehearse(&rehearsal.basket, decode.next_seq(), now, gate);
            }
        }
    }

    /// Takes it apart.
    pub fn into_parts(self) -> Parts {
        self.parts
    }

    /// The stages, for views and reports.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }
}
