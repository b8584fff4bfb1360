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

    /// What the user asks for by keys: `k` kills; `q`, Escape or Ctrl-C, which raw mode delivers as a key, quit.
    pub fn wish(&mut self) -> Option<Wish> {
        while self.is_on() && event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Event::Key(key)) => match wish_of(&key) {
                    None => {}
                    wish => return wish,
                },
                Ok(_) => {}
                Err(_) => return None,
            }
        }
        None
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

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Stop everything but cancels and reductions.
    Kill,
    /// End in order.
    Quit,
}

fn wish_of(key: &KeyEvent) -> Option<Wish> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        _ if key.kind == KeyEventKind::Release => None,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Char('c') if control => Some(Wish::Quit),
        // Held down it is asked for once.
        KeyCode::Char('k' | 'K') if key.kind == KeyEventKind::Press && !control => Some(Wish::Kill),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_and_ctrl_c_quit_k_kills_and_nothing_else() {
        let key = |code, modifiers| wish_of(&KeyEvent::new(code, modifiers));
        let plain = |code| key(code, KeyModifiers::NONE);
        assert_eq!((plain(KeyCode::Char('q')), plain(KeyCode::Esc)), (Some(Wish::Quit), Some(Wish::Quit)));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Wish::Quit));
        assert_eq!(plain(KeyCode::Char('k')), Some(Wish::Kill));
        assert_eq!(key(KeyCode::Char('k'), KeyModifiers::CONTROL), None);
        assert_eq!((plain(KeyCode::Char('c')), plain(KeyCode::Enter)), (None, None));
    }

    #[test]
    fn without_a_terminal_it_shows_nothing() {
        let mut live = LiveView::start(false);
        live.draw(&View::default());
        assert!(!live.is_on() && live.wish().is_none());
        live.stop();
    }
}
