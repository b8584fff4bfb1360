//! The keeper: recorder and watch behind one tap. What every live engine does with what passes.

use super::probe::Probe;
use super::publish;
use super::threaded::record::Chores;
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{Command, Input, InputClass, RawInput};
use crate::domain::intent::{Denial, Intent, NearMiss};
use crate::domain::output::{Output, OutputKey};
use crate::domain::time::{Nanos, Stamp};
use crate::journal::Space;
use crate::ops::latency::Path;
use crate::ops::view::Board;
use crate::ops::watch::Watch;
use crate::stage::egress::KillLatch;
use crate::stage::record::Recorder;
use crate::stage::river::Tap;
use std::sync::{Arc, mpsc};

/// Records (when recording) and watches.
pub struct Keeper {
    recorder: Option<Recorder>,
    watch: Watch,
    mono: Nanos,
    alarm: Option<Alarm>,
    /// The room for the journal, as the engine was told last.
    short: bool,
}

/// What a failed journal sets off: no opening order passes the gate any more, and the engine halts.
struct Alarm {
    latch: Arc<KillLatch>,
    commands: mpsc::Sender<Command>,
}

impl Keeper {
    /// Without a recorder nothing is journaled.
    pub fn new(recorder: Option<Recorder>) -> Self {
        Self { recorder, watch: Watch::new(), mono: 0, alarm: None, short: false }
    }

    /// A journal that fails stops trading: the gate at once, the engine by a sequenced command.
    #[must_use]
    pub fn with_alarm(mut self, latch: Arc<KillLatch>, commands: mpsc::Sender<Command>) -> Self {
        self.alarm = Some(Alarm { latch, commands });
        self
    }

    /// Once per input, and before an order that must be recorded first: has the journal failed since the last one?
    pub fn watch_journal(&mut self) {
        if self.recorder.as_ref().is_some_and(|recorder| recorder.failure().is_some())
            && let Some(alarm) = self.alarm.take()
        {
            alarm.latch.fail_journal();
            // Recorder lag of 100 %: risk halts and cancels. A run that is ending no longer listens.
            let _ = alarm.commands.send(Command::RecorderLag { percent: 100 });
        }
    }

    /// Once per input: is the journal's disk short of room, and has the engine been told?
    fn watch_space(&mut self) {
        let short = self.recorder.as_ref().is_some_and(|recorder| recorder.space() == Space::Short);
        if short != self.short
            && let Some(alarm) = &self.alarm
        {
            self.short = short;
            // A run that is ending no longer listens.
            let _ = alarm.commands.send(Command::JournalSpace { short });
        }
    }

    fn output(&mut self, key: OutputKey, output: &Output) {
        if let Some(recorder) = &mut self.recorder {
            recorder.output(key, self.mono, output, &[]);
        }
    }

    /// Counts and trades.
    pub fn watch(&mut self) -> &mut Watch {
        &mut self.watch
    }

    /// The recorder, when recording.
    pub fn recorder(&self) -> Option<&Recorder> {
        self.recorder.as_ref()
    }

    /// Hands out both.
    pub fn into_parts(self) -> (Option<Recorder>, Watch) {
        (self.recorder, self.watch)
    }
}

impl Tap for Keeper {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        self.mono = at.mono;
        if matches!(raw.input, Input::Frame(_)) {
            self.watch.frame();
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.input(seq, at, class, raw);
        }
    }

    fn event(&mut self, event: &Event) {
        self.watch.event(event);
        if let Some(recorder) = &mut self.recorder {
            recorder.event(event);
        }
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.watch.intent(intent);
        self.output(key, &Output::Intent(*intent));
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.watch.approved(intent);
        self.output(key, &Output::Approved(*intent));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.watch.denied();
        self.output(key, &Output::Denied(*denial));
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        if let Some(recorder) = &mut self.recorder {
            recorder.message(key, self.mono, message);
        }
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.output(key, &Output::NearMiss(*near));
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.output(key, &Output::State(hash));
    }

    fn end(&mut self, seq: Seq) {
        if let Some(recorder) = &mut self.recorder {
            recorder.end(seq, self.mono);
        }
        self.watch_journal();
        self.watch_space();
    }
}

impl Chores for Keeper {
    fn settle(&mut self) {
        if let Some(recorder) = &mut self.recorder {
            recorder.sync_pending();
            self.watch_journal();
        }
    }

    fn publish(&mut self, probe: &mut Probe, mono: Nanos, board: &Board) {
        self.watch.drain_trades(|duration| probe.record(Path::EndToEndTrade, duration));
        probe.hand_over(mono);
        publish::keeper(self, mono, board);
    }
}
