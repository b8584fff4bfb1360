//! The words of the engine: numbers, instruments, orders, intents, events, effects and inputs.
//!
//! Plain serialisable data that every other module speaks. Imports nothing of the crate, reads no
//! clock, does no I/O. Start at [`input`] (what enters the river), then [`event`] (what flows through
//! the stages) and [`effect`] (what leaves it).

pub mod calendar;
pub mod carry;
pub mod codec;
pub mod digits;
pub mod effect;
pub mod event;
pub mod input;
pub mod instrument;
pub mod intent;
pub mod money;
pub mod number;
pub mod order;
pub mod output;
pub mod params;
pub mod standing;
pub mod state;
pub mod text;
pub mod time;
