//! Where messages went. Their fates do not say; the recorded outputs do, which are read along with the inputs.

use super::rows::Rows;
use crate::domain::codec::decode_output;
use crate::domain::effect::MessageId;
use crate::domain::event::Seq;
use crate::domain::instrument::VenueId;
use crate::domain::output::Output;
use crate::journal::{JournalError, Reader, Stream};
use crate::replay::source::APART_MAX;
use std::collections::BTreeMap;
use std::path::Path;

/// Messages that are remembered; a fate that comes later is looked up anew.
const KNOWN_MAX: usize = 1 << 16;
/// Inputs by which the search for a message that was not met begins earlier, at first.
const BACK: u64 = 1 << 14;

/// The targets of messages. Numbers of messages rise, in the order of the stream, too.
pub struct Targets {
    reader: Reader,
    known: BTreeMap<MessageId, Option<VenueId>>,
    /// Nothing lies before the first that is known.
    is_from_start: bool,
    /// The stream ends before its end.
    damage: Option<String>,
}

impl Targets {
    /// Of the journal in `dir`, near input `from` at first.
    pub fn open(dir: &Path, from: Seq) -> Result<Self, JournalError> {
        let reader = Reader::open(dir, Stream::Outputs)?;
        let mut targets = Self { reader, known: BTreeMap::new(), is_from_start: false, damage: None };
        targets.go(from.0)?;
        Ok(targets)
    }

    /// Why some may be unknown.
    pub fn damage(self) -> Option<String> {
        self.damage
    }

    /// Where the message went whose fate input `seq` tells; `None` = nowhere, or not recorded.
    pub fn of(
        &mut self,
        message: MessageId,
        seq: Seq,
        rows: &Rows<'_>,
    ) -> Result<Option<VenueId>, JournalError> {
        let mut back = BACK;
        loop {
            self.read_to(message, seq, rows)?;
            if let Some(venue) = self.known.get(&message) {
                return Ok(*venue);
            }
            if self.is_from_start || self.known.first_key_value().is_some_and(|(first, _)| *first <= message)
            {
                return Ok(None);
            }
            self.go(seq.0.saturating_sub(back))?;
            back = back.saturating_mul(8);
        }
    }

    fn go(&mut self, seq: u64) -> Result<(), JournalError> {
        self.known.clear();
        self.is_from_start = seq <= 1;
        match self.reader.seek(seq) {
            Err(JournalError::Damaged(damage)) => {
                self.damage.get_or_insert_with(|| damage.to_string());
                Ok(())
            }
            done => done,
        }
    }

    /// Reads on until the message was met, or one behind it, or none of input `seq` can follow.
    fn read_to(&mut self, message: MessageId, seq: Seq, rows: &Rows<'_>) -> Result<(), JournalError> {
        while self.known.last_key_value().is_none_or(|(last, _)| *last < message) {
            let record = match self.reader.next() {
                Ok(Some(record)) => record,
                Ok(None) => return Ok(()),
                Err(JournalError::Damaged(damage)) => {
                    self.damage.get_or_insert_with(|| damage.to_string());
                    return Ok(());
                }
                Err(other) => return Err(other),
            };
            let at = record.seq;
            if let Ok((_, Output::Message(shape) | Output::Amendment(shape), _)) =
                decode_output(Seq(at), record.body)
            {
                self.known.insert(shape.meta.message, rows.about_message(&shape).venue);
                if self.known.len() > KNOWN_MAX {
                    self.known.pop_first();
                    self.is_from_start = false;
                }
            }
            if at > seq.0.saturating_add(APART_MAX) {
                return Ok(());
            }
        }
        Ok(())
    }
}
