//! Publishing figures to the board, by whichever thread owns them.

use super::keeper::Keeper;
use crate::core::risk::Risk;
use crate::core::scanner::Scanner;
use crate::core::start_gate::StartGate;
use crate::domain::instrument::InstrumentId;
use crate::domain::time::{Nanos, SECOND};
use crate::ops::view::{AccountView, Board, FindingView, View};
use crate::stage::decode::Decode;
use crate::stage::gateway::Gateway;
use crate::stage::record::Recorder;
use crate::telemetry::stall::StallTracker;

/// The scanner's part: pairs, feed ages, trades.
pub fn scan(scanner: &Scanner, listings: usize, board: &Board) {
    board.try_update(|view| {
        view.pairs.clear();
        view.pairs.extend(scanner.views());
        view.book_ages.clear();
        view.book_ages.extend((0..listings).map(|index| scanner.book_age(InstrumentId(index as u16))));
        view.quality.clear();
        view.quality.extend((0..listings).filter_map(|index| scanner.quality(InstrumentId(index as u16))));
        let totals = scanner.totals();
        view.mode = totals.mode;
        view.alarms = totals.alarms;
        view.trades_open = totals.trades_open;
        view.unbalanced = totals.unbalanced;
        view.alone_s = totals.alone_ns as f64 / SECOND as f64;
        view.unbalanced_max = view.unbalanced_max.max(totals.unbalanced);
    });
}

/// Decode's part: what was odd on the wire, what drifts, and what second connections were good for.
pub fn decode(decode: &Decode, board: &Board) {
    let (odd, sentinel) = (decode.odd(), decode.sentinel());
    board.try_update(|view| {
        view.odd = odd;
        view.copies.clear();
        view.copies.extend(decode.copies().map(|(venue, counts)| (venue, *counts)));
        if view.drift_kinds != sentinel.kinds() {
            view.drift_kinds = sentinel.kinds();
            view.drift_untold = sentinel.untold();
            view.drift.clear();
            view.drift.extend_from_slice(sentinel.findings());
        }
    });
}

/// Risk's part: positions, margin, profit and loss.
pub fn risk(rules: &Risk, board: &Board) {
    let unhedged = rules.positions().unhedged();
    board.try_update(|view| {
        view.positions.clear();
        view.positions.extend(rules.positions().positions());
        view.accounts.clear();
        view.accounts.extend(rules.capital().accounts().iter().map(|account| AccountView {
            venue: account.venue,
            currency: account.currency,
            wallet: account.wallet,
            free: account.free(),
        }));
        view.totals = *rules.positions().totals();
        view.unhedged = unhedged;
        view.unhedged_max = view.unhedged_max.max(unhedged);
        view.open_orders = rules.open_orders();
        findings(rules.start_gate(), view);
    });
}

/// Findings are text, so they are told anew only when they changed.
fn findings(gate: &StartGate, view: &mut View) {
    if view.findings_revision == Some(gate.revision()) {
        return;
    }
    view.findings_revision = Some(gate.revision());
    let names = &view.names;
    let symbol = |id: InstrumentId| names.listings.get(id.index()).map(|(_, symbol)| symbol.clone());
    view.findings = gate
        .findings()
        .map(|finding| FindingView {
            venue: names.venue(finding.venue).to_owned(),
            symbol: finding.listing.and_then(symbol),
            check: finding.check.as_str(),
            what: finding.sentence(),
            holds: gate.holds(),
        })
        .collect();
}

/// The keeper's part: counts, sessions, the journal's size.
pub fn keeper(keeper: &mut Keeper, mono: Nanos, board: &Board) {
    let journal = keeper.recorder().map(Recorder::totals);
    let waits = keeper.recorder().map_or(0, Recorder::roll_waits);
    let watch = keeper.watch();
    board.try_update(|view| {
        view.counts = *watch.counts();
        view.sessions.clear();
        view.sessions.extend_from_slice(watch.sessions());
        view.markets.clear();
        view.markets.extend_from_slice(watch.markets());
        view.journal = journal.unwrap_or_default();
        view.stalls.journal = waits;
        view.seconds = mono as f64 / SECOND as f64;
    });
}

/// How regularly the gateway's duty cycle ran.
pub fn turns(turns: &StallTracker, board: &Board) {
    board.try_update(|view| {
        view.stalls.duty_cycle = turns.stalls();
        view.stalls.duty_cycle_worst_ns = turns.worst_ns();
    });
}

/// The gateway's failures as sentences; only the latest are kept. They wait in the gateway while the board
/// is held by somebody else.
pub fn notes(gateway: &Gateway, board: &Board) {
    board.try_update(|view| {
        let notes = gateway.take_notes();
        view.notes_total += notes.len() as u64;
        view.notes.extend(notes);
        let excess = view.notes.len().saturating_sub(8);
        view.notes.drain(..excess);
    });
}
