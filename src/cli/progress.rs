//! Progress on a terminal, in one look for every command that works long; nothing anywhere else.

use crate::journal::{Manifest, Stream, read_mark};
use crate::replay::part;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

/// Characters of the bar.
const WIDTH: u64 = 30;

/// Progress on standard error, cleared when it is dropped.
pub struct ProgressBar {
    shown: bool,
    /// The input before the first one of a journal, and the last one that is known to be there; 0 = not known.
    inputs: (u64, u64),
}

impl ProgressBar {
    /// Shown only where standard error is a terminal.
    pub fn new() -> Self {
        Self { shown: io::stderr().is_terminal(), inputs: (0, 0) }
    }

    /// Over the inputs of the journal in `dir`, as many as are known to be there; more may follow.
    pub fn over(dir: &Path) -> Self {
        let last = Manifest::read(dir).ok().and_then(|run| read_mark(dir, Stream::Inputs, run.run_id.0));
        let last = last.map_or(0, |mark| mark.seq);
        Self { inputs: (part::begins_after(dir).0, last), ..Self::new() }
    }

    /// Shows that everything up to input `seq` is done, and what is done to it.
    pub fn input(&self, seq: u64, verb: &str) {
        let (before, last) = self.inputs;
        let (done, whole) = (seq.saturating_sub(before), last.saturating_sub(before));
        self.show(done, whole, &format!("{verb} up to input {seq}"));
    }

    /// Shows that `done` of `whole` (0 = not known) is done, and `words`.
    pub fn show(&self, done: u64, whole: u64, words: &str) {
        if self.shown {
            draw(&mut io::stderr().lock(), done, whole, words);
        }
    }
}

impl Default for ProgressBar {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        if self.shown {
            let mut out = io::stderr().lock();
            let _ = write!(out, "\r\x1b[K").and_then(|()| out.flush());
        }
    }
}

/// Draws a bar over the line; nothing is lost when it cannot be drawn.
pub fn draw(out: &mut dyn Write, done: u64, whole: u64, words: &str) {
    let parts = |of: u64| (u128::from(done.min(whole)) * u128::from(of)).checked_div(u128::from(whole));
    let bar = match (parts(WIDTH), parts(100)) {
        (Some(full), Some(percent)) => {
            let full = full as usize;
            format!("[{}{}] {percent:3} %  ", "#".repeat(full), ".".repeat(WIDTH as usize - full))
        }
        _ => String::new(),
    };
    let _ = write!(out, "\r{bar}{words}").and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(done: u64, whole: u64) -> String {
        let mut out = Vec::new();
        draw(&mut out, done, whole, "7 inputs");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_bar_is_never_longer_than_whole_and_is_absent_where_that_is_not_known() {
        assert_eq!(drawn(1, 2), format!("\r[{}{}]  50 %  7 inputs", "#".repeat(15), ".".repeat(15)));
        assert_eq!(drawn(9, 3), format!("\r[{}] 100 %  7 inputs", "#".repeat(30)));
        assert_eq!(drawn(u64::MAX, u64::MAX), drawn(1, 1));
        assert_eq!(drawn(5, 0), "\r7 inputs");
    }
}
