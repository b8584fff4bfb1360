//! When an OKX depth message may be applied: sequence ids where there are any, else the checksum.
//!
//! Since 2023 every message carries `seqId` and `prevSeqId`; captures of 2021 and 2022 carry a checksum
//! only, which then is the proof of continuity. Since 2026-06 the checksum is always 0, which means none.

use crate::domain::event::BookState;
use crate::domain::number::{Num, POW10};
use crate::domain::state::roomy;
use crate::venue::lines::Chain;
use crate::venue::message::{Continuity, Depth, Level, Verdict};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt::Write as _;

/// Levels of each side that the checksum covers.
pub(super) const CHECKSUM_LEVELS: usize = 25;

/// The sequence rule of one OKX book.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OkxContinuity {
    state: BookState,
    /// `seqId` and `prevSeqId` of the last message applied; `None` for books without sequence ids.
    last: Option<(u64, i64)>,
    /// Time of the last message, ms: without sequence ids it must not step back.
    time_ms: i64,
}

/// The sequence ids of a message; `None` when it carries none.
fn ids(depth: &Depth<'_>) -> Option<(u64, i64)> {
    (depth.last != 0 || depth.prev >= 0).then_some((depth.last, depth.prev))
}

impl OkxContinuity {
    fn gap(&mut self) -> Verdict {
        self.state = BookState::Invalid;
        Verdict::Gap
    }

    fn on_update(&mut self, depth: &Depth<'_>) -> Verdict {
        match (self.last, ids(depth)) {
            (Some((last, before)), Some((seq, prev))) => {
                let follows = u64::try_from(prev).is_ok_and(|prev| prev == last);
                let empty = depth.bids.is_empty() && depth.asks.is_empty();
                if follows && seq != last {
                    // Also a maintenance reset, once: `seqId < prevSeqId`; go on from the new id.
                    self.last = Some((seq, prev));
                    self.time_ms = depth.time_ms;
                    Verdict::Apply
                } else if (follows && empty) || (seq, prev) == (last, before) {
                    // A keep-alive, or the very message that was applied last.
                    Verdict::Skip
                } else {
                    self.gap()
                }
            }
            (None, None) if depth.checksum.is_some() && depth.time_ms >= self.time_ms => {
                self.time_ms = depth.time_ms;
                Verdict::Apply
            }
            _ => self.gap(),
        }
    }
}

impl Chain for OkxContinuity {
    fn invalidate(&mut self) {
        self.state = BookState::Invalid;
    }

    fn rejoin(&mut self, depth: &Depth<'_>) {
        *self = Self { state: BookState::Live, last: ids(depth), time_ms: depth.time_ms };
    }
}

impl Continuity for OkxContinuity {
    fn on_depth(&mut self, depth: &Depth<'_>) -> Verdict {
        if depth.snapshot {
            *self = Self { state: BookState::Live, last: ids(depth), time_ms: depth.time_ms };
            return Verdict::Snapshot;
        }
        match self.state {
            BookState::Live => self.on_update(depth),
            // The venue sends the snapshot first: an update without one has lost its base.
            BookState::AwaitSnapshot => self.gap(),
            BookState::Invalid => Verdict::Skip,
        }
    }

    fn verify(&mut self, depth: &Depth<'_>, bids: &[Level], asks: &[Level]) -> bool {
        let good = depth.checksum.is_none_or(|sum| sum == checksum(bids, asks));
        if !good {
            self.state = BookState::Invalid;
        }
        good
    }

    fn state(&self) -> BookState {
        self.state
    }
}

/// Text of the levels on its way into the CRC; collects short writes to hash in larger pieces.
struct Feed {
    crc: crc32fast::Hasher,
    buffer: [u8; 512],
    len: usize,
}

impl Feed {
    fn flush(&mut self) {
        self.crc.update(&self.buffer[..self.len]);
        self.len = 0;
    }
}

impl std::fmt::Write for Feed {
    fn write_str(&mut self, part: &str) -> std::fmt::Result {
        let part = part.as_bytes();
        if part.len() > self.buffer.len() - self.len {
            self.flush();
        }
        let to = self.buffer.get_mut(self.len..self.len + part.len()).ok_or(std::fmt::Error)?;
        to.copy_from_slice(part);
        self.len += part.len();
        Ok(())
    }
}

/// OKX book checksum: CRC-32 of `bid:size:ask:size:…` of the best 25 levels as sent, as a signed number;
/// where one side is shorter, the other goes on alone.
pub(super) fn checksum(bids: &[Level], asks: &[Level]) -> i32 {
    let mut feed = Feed { crc: crc32fast::Hasher::new(), buffer: [0; 512], len: 0 };
    let mut first = true;
    for i in 0..CHECKSUM_LEVELS {
        for (price, size) in [bids.get(i), asks.get(i)].into_iter().flatten() {
            for num in [price, size] {
                if !first {
                    let _ = feed.write_char(':');
                }
                first = false;
                // A number is at most 21 characters: it fits the buffer.
                let _ = num.write_as_sent(&mut feed);
            }
        }
    }
    feed.flush();
    feed.crc.finalize() as i32
}

/// Room for the venue's 400 levels a side and some more.
const SENT: usize = 512;

/// A book with its levels as sent, best first: kept only where the venue sends checksums.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct SentBook {
    #[serde(deserialize_with = "roomy::<_, _, SENT>")]
    bids: Vec<Level>,
    #[serde(deserialize_with = "roomy::<_, _, SENT>")]
    asks: Vec<Level>,
}

impl SentBook {
    /// With all the room that it will ever need.
    pub fn new() -> Self {
        Self { bids: Vec::with_capacity(SENT), asks: Vec::with_capacity(SENT) }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.bids.clear();
        self.asks.clear();
    }

    /// Applies the levels of a message.
    pub fn apply(&mut self, bids: &[Level], asks: &[Level]) {
        for level in bids {
            apply(&mut self.bids, level, |a, b| compare(b, a));
        }
        for level in asks {
            apply(&mut self.asks, level, compare);
        }
    }

    /// The best levels of both sides.
    pub fn top(&self) -> (&[Level], &[Level]) {
        (
            &self.bids[..self.bids.len().min(CHECKSUM_LEVELS)],
            &self.asks[..self.asks.len().min(CHECKSUM_LEVELS)],
        )
    }

    /// All levels.
    #[cfg(test)]
    pub fn sides(&self) -> (&[Level], &[Level]) {
        (&self.bids, &self.asks)
    }
}

fn apply(side: &mut Vec<Level>, level: &Level, order: impl Fn(Num, Num) -> Ordering) {
    match side.binary_search_by(|have| order(have.0, level.0)) {
        Ok(at) if level.1.is_zero() => {
            side.remove(at);
        }
        Ok(at) => side[at] = *level,
        Err(_) if level.1.is_zero() => {}
        Err(at) => side.insert(at, *level),
    }
}

/// Compares exact decimals of any scales.
fn compare(a: Num, b: Num) -> Ordering {
    if a.scale == b.scale {
        return a.mantissa.cmp(&b.mantissa);
    }
    let scale = a.scale.max(b.scale);
    let up = |n: Num| i128::from(n.mantissa) * i128::from(POW10[usize::from(scale - n.scale)]);
    up(a).cmp(&up(b))
}
