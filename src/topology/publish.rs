//! Publishing figures to the board, by whichever thread owns them.

use super::keeper::Keeper;
use crate::core::risk::Risk;
use crate::core::scanner::Scanner;
use crate::domain::time::{Nanos, SECOND};
use crate::ops::latency::Latency;
use crate::ops::view::{Board, PnlView, VenueView};

/// The scanner's part: pairs and feed ages.
pub fn scan(scanner: &Scanner, board: &Board) {
    board.try_update(|view| {
        view.pairs.clear();
        view.pairs.extend(scanner.views());
        view.unbalanced = scanner.totals().unbalanced;
        for instrument in view.instruments.iter_mut() {
            instrument.age_ms = scanner.book_age(instrument.id).map(|age| age / 1_000_000);
        }
    });
}

/// Risk's part: positions, exposure, margin, profit and loss.
pub fn risk(rules: &Risk, board: &Board) {
    board.try_update(|view| {
        let _ = (&rules, VenueView::default(), PnlView::default());
        view.state.clear();
    });
}

/// The keeper's part: counts, latency, failures.
pub fn keeper(keeper: &mut Keeper, latency: &Latency, notes: Vec<String>, mono: Nanos, board: &Board) {
    let counts = *keeper.watch().counts();
    board.try_update(|view| {
        view.counts = counts;
        view.seconds = mono as f64 / SECOND as f64;
        view.latency = latency.summaries();
        view.notes.extend(notes);
        let excess = view.notes.len().saturating_sub(8);
        view.notes.drain(..excess);
    });
}
