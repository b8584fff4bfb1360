//! The live view of the demo on a terminal.

use crate::ops::view::View;

/// A full-screen view, or nothing where there is no terminal.
pub struct LiveView {
    on: bool,
}

impl LiveView {
    /// Takes over the terminal when `wanted`.
    pub fn start(_wanted: bool) -> Self {
        Self { on: false }
    }

    /// Whether it shows anything.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Draws the figures.
    pub fn draw(&mut self, _view: &View) {}

    /// The user asked to quit.
    pub fn wants_to_quit(&mut self) -> bool {
        false
    }

    /// Gives the terminal back.
    pub fn stop(&mut self) {}
}
