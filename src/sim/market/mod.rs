//! The seeded market of a simulated venue: a latent price per instrument that all venues share, makers that
//! quote around it (late by the venue's lag), and noise takers.
//!
//! Trades only through the exchange's own books, so clients meet it by price-time priority. Two venues
//! built from one configuration see the same latent path without sharing any state.

pub mod latent;
mod maker;
pub mod random;
mod venue;

pub use venue::SimVenue;

#[cfg(test)]
mod tests;
