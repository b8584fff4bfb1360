//! The last input that was passed, with everything that the stages made of it.

use crate::domain::effect::OutMsg;
use crate::domain::event::{Event, EventBody, Seq};
use crate::domain::input::{Input, InputClass, RawInput};
use crate::domain::instrument::{InstrumentId, VenueId};
use crate::domain::intent::{Amend, Denial, Intent, NearMiss, Replace};
use crate::domain::order::ClientId;
use crate::domain::output::{Output, OutputKey};
use crate::domain::time::Stamp;
use crate::stage::river::Tap;

/// Remembers one input; its room is used again for the next.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// Number and instant; number 0 = nothing has passed.
    pub seq: Seq,
    /// The instant.
    pub at: Stamp,
    /// The input and its class.
    pub input: Option<(Input, InputClass)>,
    /// Its raw bytes.
    pub bytes: Vec<u8>,
    /// What decode derived, in order.
    pub events: Vec<Event>,
    /// What the stages decided, in order, with the bytes of messages.
    pub outputs: Vec<(OutputKey, Output, Vec<u8>)>,
}

impl Last {
    fn made(&mut self, key: OutputKey, output: Output) {
        self.outputs.push((key, output, Vec::new()));
    }

    /// Orders that the input or what was made of it concerns, each once, with venue and listing.
    pub fn orders(&self) -> Vec<(ClientId, VenueId, InstrumentId)> {
        let mut found: Vec<(ClientId, VenueId, InstrumentId)> = Vec::new();
        let mut add = |id: ClientId, venue, instrument| {
            if id != ClientId::NONE && !found.iter().any(|(known, ..)| *known == id) {
                found.push((id, venue, instrument));
            }
        };
        for event in &self.events {
            match &event.body {
                EventBody::Order(update) => add(update.client_id, update.venue, update.instrument),
                EventBody::Amended(update) => add(update.client_id, update.venue, update.instrument),
                EventBody::Outcome(outcome) | EventBody::AmendOutcome(outcome) => {
                    if let Some(order) = &outcome.order {
                        add(order.client_id, order.venue, order.instrument);
                    }
                }
                _ => {}
            }
        }
        for (_, output, _) in &self.outputs {
            match output {
                Output::Intent(intent) | Output::Approved(intent) => match intent {
                    Intent::Basket(basket) => {
                        basket.orders().iter().for_each(|leg| add(leg.client_id, leg.venue, leg.instrument));
                    }
                    Intent::Cancel(order) => add(order.client_id, order.venue, order.instrument),
                    Intent::Amend(amend) => add(amend.to.client_id, amend.to.venue, amend.to.instrument),
                    Intent::Replace(Replace { old, with: Amend { to, .. } }) => {
                        add(*old, to.venue, to.instrument);
                        add(to.client_id, to.venue, to.instrument);
                    }
                },
                Output::Message(shape) | Output::Amendment(shape) => {
                    if let Some(order) = &shape.meta.order {
                        add(order.client_id, order.venue, order.instrument);
                    }
                }
                Output::Events(_) | Output::Denied(_) | Output::State(_) | Output::NearMiss(_) => {}
            }
        }
        found
    }
}

impl Tap for Last {
    fn input(&mut self, seq: Seq, at: Stamp, class: InputClass, raw: &RawInput<'_>) {
        (self.seq, self.at, self.input) = (seq, at, Some((raw.input, class)));
        self.bytes.clear();
        self.bytes.extend_from_slice(raw.bytes);
        self.events.clear();
        self.outputs.clear();
    }

    fn event(&mut self, event: &Event) {
        self.events.push(*event);
    }

    fn intent(&mut self, key: OutputKey, intent: &Intent) {
        self.made(key, Output::Intent(*intent));
    }

    fn approved(&mut self, key: OutputKey, intent: &Intent) {
        self.made(key, Output::Approved(*intent));
    }

    fn denied(&mut self, key: OutputKey, denial: &Denial) {
        self.made(key, Output::Denied(*denial));
    }

    fn message(&mut self, key: OutputKey, message: &OutMsg) {
        let len = usize::from(message.payload.text_len + message.payload.sign_len);
        self.outputs.push((key, Output::of_message(message), message.payload.bytes[..len].to_vec()));
    }

    fn near_miss(&mut self, key: OutputKey, near: &NearMiss) {
        self.made(key, Output::NearMiss(*near));
    }

    fn state(&mut self, key: OutputKey, hash: u64) {
        self.made(key, Output::State(hash));
    }

    fn end(&mut self, _seq: Seq) {}
}
