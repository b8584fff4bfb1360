//! Hands filled boxes from a hot thread to telemetry and empty ones back: ownership moves, nothing is
//! copied, allocated or waited for. When telemetry is late the hot thread keeps filling the box it has.

use rtrb::{Consumer, Producer, RingBuffer};

/// The hot side: fills one box at a time.
#[derive(Debug)]
pub struct Filler<T> {
    current: Box<T>,
    full: Producer<Box<T>>,
    empty: Consumer<Box<T>>,
    skipped: u64,
}

/// Telemetry's side: takes filled boxes and returns them emptied.
#[derive(Debug)]
pub struct Collector<T> {
    full: Consumer<Box<T>>,
    empty: Producer<Box<T>>,
}

/// Makes both sides with `boxes` (at least 2) boxes in circulation, all allocated here.
pub fn exchange<T>(boxes: usize, mut make: impl FnMut() -> T) -> (Filler<T>, Collector<T>) {
    let boxes = boxes.max(2);
    let (full, full_out) = RingBuffer::new(boxes);
    let (mut empty_in, empty) = RingBuffer::new(boxes);
    for _ in 1..boxes {
        let _ = empty_in.push(Box::new(make())); // has room for all
    }
    let filler = Filler { current: Box::new(make()), full, empty, skipped: 0 };
    (filler, Collector { full: full_out, empty: empty_in })
}

impl<T> Filler<T> {
    /// The box being filled.
    #[inline]
    pub fn get(&mut self) -> &mut T {
        &mut self.current
    }

    /// Hands the box over and goes on with an empty one. False (and counted) when there is none: then the
    /// same box is filled further and nothing is lost but the interval's border.
    pub fn hand_over(&mut self) -> bool {
        let Ok(fresh) = self.empty.pop() else {
            self.skipped += 1;
            return false;
        };
        let filled = std::mem::replace(&mut self.current, fresh);
        // Both rings hold every box there is, so this one has room.
        self.full.push(filled).is_ok()
    }

    /// Hand-overs that found no empty box.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

impl<T> Collector<T> {
    /// Passes every filled box to `take`, which reads and empties it; then returns it. The number of boxes.
    pub fn collect(&mut self, mut take: impl FnMut(&mut T)) -> usize {
        let mut taken = 0;
        while let Ok(mut filled) = self.full.pop() {
            take(&mut filled);
            let _ = self.empty.push(filled); // has room for all
            taken += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_go_round_and_nothing_is_lost_when_telemetry_is_late() {
        let (mut filler, mut collector) = exchange(3, Vec::<u32>::new);
        let mut seen = Vec::new();
        for value in 0..10 {
            filler.get().push(value);
            filler.hand_over();
            if value % 5 == 4 {
                collector.collect(|v| seen.append(v));
            }
        }
        filler.hand_over();
        collector.collect(|v| seen.append(v));
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
        assert!(filler.skipped() > 0);
    }
}
