//! The checker beside stages that run: over what they make now, and not what was recorded.

use super::{Checker, Fact};
use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, Seq};
use crate::domain::input::{InputClass, RawInput};
use crate::domain::intent::{Denial, Intent};
use crate::domain::output::OutputKey;
use crate::domain::time::Stamp;
use crate::stage::river::Tap;

impl Tap for Checker {
    fn input(&mut self, seq: Seq, at: Stamp, _class: InputClass, raw: &RawInput<'_>) {
        self.fact(seq, at.mono, Fact::Input(&raw.input));
    }

    fn event(&mut self, event: &Event) {
        self.fact(self.seq, self.mono, Fact::Event(&event.body));
    }

    fn intent(&mut self, _key: OutputKey, intent: &Intent) {
        self.fact(self.seq, self.mono, Fact::Wish(intent));
    }

    fn approved(&mut self, _key: OutputKey, intent: &Intent) {
        self.fact(self.seq, self.mono, Fact::Approved(intent));
    }

    fn denied(&mut self, _key: OutputKey, denial: &Denial) {
        self.fact(self.seq, self.mono, Fact::Denied(denial));
    }

    fn message(&mut self, _key: OutputKey, message: &OutMsg) {
        let text = &message.payload.bytes[..usize::from(message.payload.text_len)];
        self.fact(self.seq, self.mono, Fact::Message(&message.meta, text));
    }

    fn state(&mut self, _key: OutputKey, _hash: u64) {}

    fn end(&mut self, _seq: Seq) {}
}
