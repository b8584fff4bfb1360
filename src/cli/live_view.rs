//! The live view of the demo on a terminal: takes the terminal over, reads the keys, gives it back. What it
//! shows is made by `screen`, which knows no terminal.

use super::screen;
use crate::ops::view::View;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::Duration;

/// A full-screen view, or nothing where there is no terminal.
pub struct LiveView {
    terminal: Option<DefaultTerminal>,
    colour: bool,
}

impl LiveView {
    /// Takes over the terminal when `wanted`; a panic gives it back. Without a usable terminal it is off.
    pub fn start(wanted: bool) -> Self {
        let usable = wanted && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let terminal = if usable { ratatui::try_init().ok() } else { None };
        if usable && terminal.is_none() {
            // Half taken over: give back what can be.
            let _ = ratatui::try_restore();
        }
        // https://no-color.org: set and not empty.
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { terminal, colour }
    }

    /// Whether it shows anything.
    pub fn is_on(&self) -> bool {
        self.terminal.is_some()
    }

    /// Draws the figures. A terminal that cannot be drawn on is given back.
    pub fn draw(&mut self, view: &View) {
        let Some(terminal) = &mut self.terminal else { return };
        let colour = self.colour;
        let drawn = terminal.draw(|frame| {
            let area = frame.area();
            frame.render_widget(screen::screen(view, area.width, area.height, colour), area);
        });
        if drawn.is_err() {
            self.stop();
        }
    }

    /// The user asked to quit: `q`, Escape or Ctrl-C, which raw mode delivers as a key.
    pub fn wants_to_quit(&mut self) -> bool {
        while self.is_on() && event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Event::Key(key)) if quits(&key) => return true,
                Ok(_) => {}
                Err(_) => return false,
            }
        }
        false
    }

    /// Gives the terminal back.
    pub fn stop(&mut self) {
        if self.terminal.take().is_some() {
            // Nothing can be done about a terminal that is gone.
            let _ = ratatui::try_restore();
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.stop();
    }
}

fn quits(key: &KeyEvent) -> bool {
    let interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind != KeyEventKind::Release
        && (interrupt || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_ctrl_c_quit_and_nothing_else() {
        let key = |code, modifiers| quits(&KeyEvent::new(code, modifiers));
        assert!(key(KeyCode::Char('q'), KeyModifiers::NONE) && key(KeyCode::Esc, KeyModifiers::NONE));
        assert!(key(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!key(KeyCode::Char('c'), KeyModifiers::NONE) && !key(KeyCode::Enter, KeyModifiers::NONE));
    }

    #[test]
    fn without_a_terminal_it_shows_nothing() {
        let mut live = LiveView::start(false);
        live.draw(&View::default());
        assert!(!live.is_on() && !live.wants_to_quit());
        live.stop();
    }
}
