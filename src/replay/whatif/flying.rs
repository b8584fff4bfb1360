//! Messages that were on their way when a stretch of a run begins: the stages only know how many. What they were, the record
//! says when it tells their fates.

use crate::domain::effect::{MessageId, OutMeta, Target};
use crate::domain::event::Seq;
use crate::domain::input::{ConnId, Input, SendFate, SendOutcome};
use crate::domain::order::ClientId;
use crate::replay::source::{Inputs, ReplayError};
use crate::stage::route::Route;
use std::path::Path;

/// The messages of `route`, as it is before the first input of the journal in `dir`, whose fate had not come back.
pub fn on_their_way(dir: &Path, route: &Route) -> Result<Vec<OutMeta>, ReplayError> {
    let (count, last) = route.on_their_way();
    let (mut inputs, mut found) = (Inputs::open(dir)?, Vec::new());
    // One whose fate was never told is not found: the record is read to its end for it.
    while found.len() < count as usize
        && let Some((_, raw)) = inputs.next()?
    {
        found.extend(meta(&raw.input, last));
    }
    Ok(found)
}

/// The message whose fate `input` tells, unless it was made after `last`.
fn meta(input: &Input, last: MessageId) -> Option<OutMeta> {
    let (outcome, amends, replaces) = match *input {
        Input::Outcome(outcome) => (outcome, false, ClientId::NONE),
        Input::AmendOutcome(outcome) => (outcome, true, ClientId::NONE),
        Input::ReplaceOutcome { outcome, old } => (outcome, false, old),
        _ => return None,
    };
    let SendOutcome { message, fate, order } = outcome;
    // What was withdrawn had its fate before.
    let is_open = message <= last && !matches!(fate, SendFate::Withdrawn(_));
    is_open.then_some(OutMeta {
        message,
        cause: Seq(0),
        cause_mono: 0,
        age_max: 0, // when it was made is not known: it is not refused for its age
        target: Target::Close(ConnId(0)),
        epoch: 0,
        urgent: order.is_some_and(|order| order.reduce_only),
        order,
        amends,
        replaces,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_fates_of_messages_from_before_are_taken_each_with_its_order() {
        let told = |message, fate| SendOutcome { message: MessageId(message), fate, order: None };
        let meta = |input: Input| meta(&input, MessageId(7)).map(|meta| (meta.message.0, meta.amends));
        assert_eq!(meta(Input::Outcome(told(7, SendFate::Sent))), Some((7, false)));
        assert_eq!(meta(Input::AmendOutcome(told(3, SendFate::Unknown))), Some((3, true)));
        assert_eq!(meta(Input::Outcome(told(8, SendFate::Sent))), None, "made after the beginning");
        let withdrawn = SendFate::Withdrawn(crate::domain::input::RefuseReason::Stopped);
        assert_eq!(meta(Input::Outcome(told(6, withdrawn))), None, "it had one before");
        assert_eq!(meta(Input::Tick), None);
    }
}
