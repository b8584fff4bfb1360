//! The audit: proves from a journal, and from the venues' own books where they are given, that limits held, that
//! every order was approved, that trades were hedged and that the money adds up to the last unit.
//!
//! Reads only. One pass over the journal: decode runs again to derive events from recorded bytes; what scan, risk and
//! route did is read from the outputs, not repeated. Memory grows with orders and trades, not with market data.
//! Shares no rule with `core`: limits are those of [`check`](super::check), the rest is computed here from fills.
//! Only what the run before ended with is replayed, to hold what was taken over against it. A journal that does not
//! begin with its run is audited from the state that lies where it begins.

mod begin;
mod carried;
mod finding;
mod frames;
mod hedging;
mod ledger;
mod limits;
mod money;
mod orders;
mod pass;
mod report;
mod sequence;
mod source;

pub use begin::PartReport;
pub use carried::{CarriedRow, CarryReport, CarryVerdict};
pub use finding::Finding;
pub use frames::FrameReport;
pub use hedging::{HedgingReport, OpenTrade, Spread, Worst};
pub use ledger::{LedgerError, LedgerReport};
pub use limits::Instead;
pub use money::{MoneyRow, Verdict};
pub use orders::OrderReport;
pub use pass::{AuditError, AuditOptions, Progress, audit};
pub use report::{AuditReport, LimitReport};
pub use sequence::SequenceReport;
