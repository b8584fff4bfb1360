//! The journal: two streams of checked records, inputs and outputs, from which a run can be replayed to the
//! bit. Knows kinds, classes and bytes, nothing of what they mean; never allocates or calls the system on
//! an append but at a segment's end. The bytes are drawn in [`layout`] and in `docs/JOURNAL.md`; start
//! reading at `writer` and `reader`.

mod archive;
mod chain;
mod checksum;
mod epoch;
mod error;
mod helper;
mod host;
mod index;
mod keep;
pub mod layout;
mod lock;
mod manifest;
mod mark;
mod packed;
mod reader;
mod recover;
mod retain;
mod rewrite;
mod seek;
mod segment;
mod source;
mod verify;
mod writer;

pub use archive::{Archived, pack, pack_told};
pub use chain::{Chain, ChainEntry, ClosedSegment, chain_path, read_chain};
pub use epoch::{EPOCH_FILE, read_epoch, take_epoch};
pub use error::{Damage, DamageKind, JournalError};
pub use host::{Host, program_hash};
pub use keep::{Housekeeper, Housekeeping, KeepWatch, Kept, Space};
pub use layout::{SegmentHeader, Stream};
pub use lock::RunLock;
pub use manifest::{Clocks, Hash256, MANIFEST_FILE, Manifest, RunId, latest_run};
pub use mark::{Health, Mark, Watermark, mark_path, nobody_writes, read_mark};
pub use reader::{Reader, RecordRef};
pub use recover::{End, StreamVerdict, Verdict, recover, recover_told};
pub use retain::Floor;
pub use rewrite::{OwnedRecord, patch_record, rewrite};
pub use seek::written_end;
pub use verify::{Report, StreamReport, verify, verify_told};
pub use writer::{Anchor, JournalOptions, Record, SyncPolicy, Token, Writer, WriterStats};

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test that waits for threads has a deadline
mod tests;
