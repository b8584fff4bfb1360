//! The causal chain of a difference: the input, the events that decode made of it, what the stages decided.

use crate::domain::event::Seq;
use crate::domain::instrument::InstrumentId;
use crate::ops::view::Names;
use crate::replay::cursor::Cursor;
use crate::replay::plain::{Plain, excerpt};
use crate::replay::source::ReplayError;
use crate::replay::step::last::Last;
use crate::replay::step::{input_venue, words};
use crate::stage::river::Parts;
use serde::Serialize;
use std::path::Path;

/// Events of one input that a chain shows; a snapshot has hundreds.
const EVENTS_MAX: usize = 24;
/// Bytes of a frame or message that it shows.
const EXCERPT: usize = 400;

/// A part of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// `input`, `event`, or the stage that decided.
    pub of: String,
    /// Its kind.
    pub kind: String,
    /// It, in people's terms.
    pub what: String,
}

/// The chain of the last input, and the names that it needs.
pub(super) type Chain = Vec<Link>;

/// The chain of what has just passed.
pub(super) fn of(last: &Last, parts: &Parts) -> impl Fn(&Names) -> Chain {
    let scanner = parts.scan.scanner();
    move |names| {
        let instrument = |id: InstrumentId| {
            scanner.listing(id).map(|listing| listing.instrument).filter(|known| known.generation > 0)
        };
        let plain = Plain { names, instrument: &instrument };
        let mut chain = Vec::new();
        if let Some((input, _)) = &last.input {
            let venue = input_venue(&parts.conns, input).map_or("", |venue| names.venue(venue));
            let what = format!("{venue} {} {}", plain.of(input), excerpt(&last.bytes, EXCERPT));
            chain.push(Link {
                of: "input".into(),
                kind: words::input(input).into(),
                what: what.trim().into(),
            });
        }
        for event in last.events.iter().take(EVENTS_MAX) {
            let kind = words::event(&event.body).to_owned();
            chain.push(Link { of: "event".into(), kind, what: plain.of(&event.body).to_string() });
        }
        if let Some(more) = last.events.len().checked_sub(EVENTS_MAX + 1) {
            chain.push(Link { of: "event".into(), kind: "more".into(), what: format!("{} more", more + 1) });
        }
        for (key, output, raw) in &last.outputs {
            let mut what = plain.of(output).to_string();
            if !raw.is_empty() {
                what = format!("{what} {}", excerpt(raw, EXCERPT));
            }
            let of = format!("{:?}", key.stage).to_lowercase();
            chain.push(Link { of, kind: words::output(output).into(), what });
        }
        chain
    }
}

/// The chain of input `seq` of a journal, as these rules derive it from the recorded inputs.
pub(super) fn derived(dir: &Path, seq: Seq) -> Result<impl Fn(&Names) -> Chain, ReplayError> {
    let mut cursor = Cursor::open(dir)?;
    cursor.seek(Seq(seq.0 - 1), &mut (), &mut |_| {})?;
    let mut last = Last::default();
    cursor.step(&mut last)?;
    Ok(move |names: &Names| if last.seq == seq { of(&last, cursor.parts())(names) } else { Vec::new() })
}
