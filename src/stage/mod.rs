//! The stages, in flow order: gateway → decode → scan → risk → route → gateway, with record beside them.
//!
//! Thin: rules live in `core`, dialects in `venue`, bytes in `net`. `river` composes the four pure
//! stages into one function; which threads run them is decided in `topology`.

pub mod decode;
pub mod egress;
pub mod errand;
pub mod gateway;
pub mod record;
pub mod risk;
pub mod river;
pub mod route;
pub mod scan;
pub mod signer;
pub mod wallet;

use crate::domain::event::Seq;
use crate::domain::intent::Denial;
use serde::{Deserialize, Serialize};

/// What a stage hands on while it handles one item.
#[derive(Debug)]
pub enum Made<'a, T> {
    /// For the next stage.
    Item(&'a T),
    /// A basket denied whole; goes back to decode as an input.
    Denied(&'a Denial),
    /// Hash of the stage's state before the present input.
    State(u64),
}

/// Version of the rules. Outputs are identical within one; a change of behaviour raises it.
///
/// | version | what it decides otherwise than the one before |
/// |---|---|
/// | 2 | ids of requests about orders over HTTP have other bits; funding accrues at Deribit; lost books are told by second connections |
/// | 3 | limit prices stay in the venues' bands; contracts are locked one by one; positions are compared after an outage; what is not understood of an account closes its venue; funding is received only where both rates are known; other channels |
/// | 4 | exits go out in parts; a leg that stands alone stops entries; executions missed in an outage are read from the venue; orders at OKX expire; rates and price limits of Bybit are repeated while its stream is whole; a drawdown limit; near-misses |
/// | 5 | how often a leg of an entry misses is learnt, and what that costs is part of the edge's allowance; nothing of it in runs whose configuration does not have `miss_prior_orders` |
/// | 6 | a ban holds orders for as long as the venue says, where it does, and not for two minutes at least |
pub const LOGIC_VERSION: u32 = 6;

/// Inputs between two state hashes of a stage.
const STATE_INTERVAL: u64 = 4096;

/// Tells when a stage owes a state hash: at the first item of every block of inputs.
#[derive(Debug, Default, Serialize, Deserialize)]
struct StateClock {
    block: u64,
}

impl StateClock {
    #[inline]
    fn is_due(&mut self, seq: Seq) -> bool {
        let block = seq.0 / STATE_INTERVAL;
        let due = block != self.block;
        self.block = block;
        due
    }
}
