//! What the stages run on: clocks, cores, idling, pinning profiles and the threads of agents.
//!
//! Knows what stages are called but not what they do, and decides nothing about trading. The only place
//! that reads clocks; everything above gets time as data. Start at [`agent`].

pub mod affinity;
pub mod agent;
pub mod clock;
pub mod idle;
pub mod litter;
pub mod profile;

pub use affinity::{AllowedCpus, PinReport};
pub use agent::{Agent, AgentExit, AgentHandle, AgentThread, StopFlag};
pub use clock::{Clock, ClockOrigin};
pub use idle::{Idle, IdleMode};
pub use profile::{Profile, StageName};
