//! An event of the user stream and the object in it, in one pass over the frame.

use super::decode::Fields;
use crate::venue::json::{Cursor, Kind};
use crate::venue::message::DecodeError;

type Result<T> = std::result::Result<T, DecodeError>;

/// An event of the user stream and the object `o` in it, in one pass.
pub(super) struct Nested<'a> {
    /// The event itself.
    pub event: Fields<'a>,
    order: Fields<'a>,
    has_order: bool,
}

impl<'a> Nested<'a> {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self { event: Fields::new(), order: Fields::new(), has_order: false }
    }

    /// Reads the whole text of an event.
    pub(super) fn scan(&mut self, mut cursor: Cursor<'a>) -> Result<()> {
        let Self { event, order, has_order } = self;
        cursor.object(|key, cursor| {
            if key != b"o" {
                return event.letter(key, cursor);
            }
            *has_order = cursor.kind()? == Kind::Object;
            if !*has_order {
                return cursor.skip();
            }
            cursor.object(|key, cursor| order.letter(key, cursor))
        })?;
        cursor.end()
    }

    /// The fields of `o`, where it is an object.
    pub(super) fn order(&self) -> Option<&Fields<'a>> {
        self.has_order.then_some(&self.order)
    }
}
