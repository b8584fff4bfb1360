//! The risk part of a rehearsal: every check of a basket that nobody sends.

use super::Risk;
use crate::core::limits::Violation;
use crate::domain::intent::Basket;
use crate::domain::time::Stamp;

impl Risk {
    /// Runs every check of `basket` on the state as it is, and reserves nothing.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn rehearse(&self, basket: &Basket, at: Stamp) -> Result<(), Violation> {
        self.admit(basket, at).map(|_| ())
    }
}
