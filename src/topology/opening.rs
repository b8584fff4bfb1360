//! The first inputs of a run, in their order: the configuration, the wall clock, what the run before left, the start.

use crate::domain::carry::Carry;
use crate::domain::input::{Command, Input};
use crate::domain::time::Nanos;

/// What a run begins with.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    config: Vec<u8>,
    carry: Option<Vec<u8>>,
}

impl Opening {
    /// With these canonical configuration bytes.
    pub fn new(config: Vec<u8>) -> Self {
        Self { config, carry: None }
    }

    /// After another run, or knowingly as the first.
    #[must_use]
    pub fn after(mut self, carry: Option<&Carry>) -> Self {
        self.carry = carry.map(Carry::to_bytes);
        self
    }

    /// The inputs with their raw bytes; `anchor` is `wall − mono`, ns.
    pub fn inputs(self, anchor: Nanos) -> impl Iterator<Item = (Input, Vec<u8>)> {
        let config = [(Input::Config, self.config), (Input::Anchor(anchor), Vec::new())];
        let carry = self.carry.map(|carry| (Input::Carry, carry));
        config.into_iter().chain(carry).chain([(Input::Command(Command::Start), Vec::new())])
    }
}

impl From<&[u8]> for Opening {
    fn from(config: &[u8]) -> Self {
        Self::new(config.to_vec())
    }
}

impl From<&Vec<u8>> for Opening {
    fn from(config: &Vec<u8>) -> Self {
        Self::new(config.clone())
    }
}

impl From<Vec<u8>> for Opening {
    fn from(config: Vec<u8>) -> Self {
        Self::new(config)
    }
}
