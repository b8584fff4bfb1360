//! The slab in which received frames lie: written once by the gateway, read by decode, then by record, and
//! given back by record, the last reader. No allocation after it is made, no copy between stages.
//!
//! ```text
//! slots    small × 2 KiB │ medium × 32 KiB │ large × 512 KiB        one allocation, page-aligned
//!
//! gateway ──Lease──▶ decode ──Parcel (plain data, in an event)──▶ record ──slot number──▶ gateway
//!          rtrb              fan                                           rtrb (in here)
//! ```
//!
//! Safe by construction. A [`Lease`] is the only key to a slot and cannot be copied; it travels to decode by
//! value. Where it must travel as plain data it becomes a [`Parcel`], which opens **once**: the slot's
//! generation goes up as it opens, so copies of the parcel and parcels of earlier uses open nothing.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use thiserror::Error;

/// Slot sizes of the three classes, bytes.
pub const CLASS_SIZES: [usize; 3] = [2 << 10, 32 << 10, 512 << 10];
const PAGE: usize = 4096;
/// Frames between two looks at the returned slots: keeps the slots in use few, and so in the cache.
const COLLECT_EVERY: u32 = 32;
/// Lowest bit of a slot's state: its lease is packed into a parcel.
const PARCELLED: u64 = 1;

/// How many slots of each class there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlabCounts {
    /// Of 2 KiB.
    pub small: usize,
    /// Of 32 KiB.
    pub medium: usize,
    /// Of 512 KiB.
    pub large: usize,
}

impl SlabCounts {
    fn array(self) -> [usize; 3] {
        [self.small, self.medium, self.large]
    }

    /// Slots of all classes.
    pub fn total(self) -> usize {
        self.array().iter().sum()
    }

    /// Memory of all slots, bytes.
    pub fn bytes(self) -> usize {
        self.array().iter().zip(CLASS_SIZES).map(|(count, size)| count * size).sum()
    }
}

/// Why a frame found no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SlabError {
    /// Larger than the largest class: the connection has to be closed.
    #[error("a frame of {0} bytes exceeds the largest slot")]
    TooLong(usize),
    /// No slot is free that is large enough: stop reading that socket for now.
    #[error("no slot is free for a frame of {0} bytes")]
    Exhausted(usize),
}

/// The key to a filled slot: whoever has it may read the frame. Hand it on, or give it back by
/// [`SlabReturner::release`]; a lease that is merely dropped loses its slot for the rest of the run.
#[must_use = "a dropped lease loses its slot"]
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    slab: u32,
    slot: u32,
    len: u32,
}

impl Lease {
    /// Length of the frame, bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether the frame is empty.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A packed lease: plain data that can stand in an event; opens once. The default opens nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parcel {
    /// Generation of the slot, plus 1, so that zero means none.
    stamp: u64,
    slab: u32,
    slot: u32,
    len: u32,
}

impl Parcel {
    /// Whether it is the default.
    pub fn is_none(&self) -> bool {
        self.stamp == 0
    }
}

/// A slab: the gateway's, decode's and record's end. Touches every page now unless `lazy`.
pub fn slab(counts: SlabCounts, lazy: bool) -> (SlabWriter, SlabReader, SlabReturner) {
    static NEXT_ID: AtomicU32 = AtomicU32::new(0);
    let memory = Arc::new(Memory::new(NEXT_ID.fetch_add(1, Ordering::Relaxed), counts));
    if !lazy {
        memory.touch();
    }
    let (returns, returned) = rtrb::RingBuffer::new(counts.total());
    let mut next = 0u32;
    let free = counts.array().map(|count| {
        let first = next;
        next += count as u32;
        (first..next).rev().collect::<Vec<u32>>() // the lowest is taken first
    });
    let free_min = counts.array();
    let writer =
        SlabWriter { memory: Arc::clone(&memory), free, free_min, returned, until_collect: COLLECT_EVERY };
    let reader = SlabReader { memory: Arc::clone(&memory) };
    (writer, reader, SlabReturner { memory, returns })
}

/// The gateway's end: fills slots.
pub struct SlabWriter {
    memory: Arc<Memory>,
    /// Free slots of each class, used as stacks: the warmest slot is taken next.
    free: [Vec<u32>; 3],
    free_min: [usize; 3],
    returned: rtrb::Consumer<u32>,
    until_collect: u32,
}

impl SlabWriter {
    /// Copies a frame into a free slot of the smallest class that fits, or of a larger one when that has
    /// run out.
    ///
    /// # Errors
    /// [`SlabError`].
    #[inline]
    pub fn publish(&mut self, frame: &[u8]) -> Result<Lease, SlabError> {
        let Some(fitting) = CLASS_SIZES.iter().position(|&size| frame.len() <= size) else {
            return Err(SlabError::TooLong(frame.len()));
        };
        self.until_collect -= 1;
        if self.until_collect == 0 {
            self.collect();
        }
        let slot = match self.take(fitting) {
            Some(slot) => slot,
            None => {
                self.collect();
                self.take(fitting).ok_or(SlabError::Exhausted(frame.len()))?
            }
        };
        // SAFETY: `slot` came off the free list, so no lease of it exists: leases are made below, from
        // slots taken off the list, and a slot returns to it only when its lease was consumed by
        // `release`, whose ring synchronises that reader's accesses with ours. So nobody else accesses
        // these bytes. The frame fits: `take` gives classes of at least `fitting`.
        unsafe { std::ptr::copy_nonoverlapping(frame.as_ptr(), self.memory.slot_ptr(slot), frame.len()) };
        Ok(Lease { slab: self.memory.id, slot, len: frame.len() as u32 })
    }

    /// Free slots of each class, without those that wait to be collected.
    pub fn free(&self) -> [usize; 3] {
        [self.free[0].len(), self.free[1].len(), self.free[2].len()]
    }

    /// The fewest free slots of each class that there ever were.
    pub fn free_min(&self) -> [usize; 3] {
        self.free_min
    }

    fn take(&mut self, fitting: usize) -> Option<u32> {
        for class in fitting..CLASS_SIZES.len() {
            if let Some(slot) = self.free[class].pop() {
                self.free_min[class] = self.free_min[class].min(self.free[class].len());
                return Some(slot);
            }
        }
        None
    }

    /// Takes back the slots that record has returned.
    #[cold]
    fn collect(&mut self) {
        self.until_collect = COLLECT_EVERY;
        while let Ok(slot) = self.returned.pop() {
            self.free[self.memory.class_of(slot)].push(slot); // within capacity: each slot is listed once
        }
    }
}

/// Decode's end: reads frames and packs leases.
#[derive(Clone)]
pub struct SlabReader {
    memory: Arc<Memory>,
}

impl SlabReader {
    /// The frame.
    ///
    /// # Panics
    /// When the lease belongs to another slab, which is a wiring fault.
    #[inline]
    pub fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        self.memory.bytes(lease)
    }

    /// Packs a lease as plain data, for [`SlabReturner::open`].
    ///
    /// # Panics
    /// When the lease belongs to another slab, which is a wiring fault.
    #[inline]
    pub fn pack(&self, lease: Lease) -> Parcel {
        assert_eq!(lease.slab, self.memory.id, "a lease of another slab");
        let state = &self.memory.states[lease.slot as usize];
        // We hold the lease, so nobody else changes the state now.
        let generation = state.load(Ordering::Relaxed);
        state.store(generation | PARCELLED, Ordering::Release);
        Parcel { stamp: generation + 1, slab: lease.slab, slot: lease.slot, len: lease.len }
    }
}

/// Record's end: opens parcels, reads frames, gives slots back.
pub struct SlabReturner {
    memory: Arc<Memory>,
    returns: rtrb::Producer<u32>,
}

impl SlabReturner {
    /// Unpacks a lease. `None`: the parcel is the default, of another slab, or was opened before.
    #[inline]
    pub fn open(&mut self, parcel: Parcel) -> Option<Lease> {
        if parcel.slab != self.memory.id {
            return None;
        }
        let generation = parcel.stamp.checked_sub(1)?;
        let state = self.memory.states.get(parcel.slot as usize)?;
        // Only one opener of this packing succeeds; generations go up in steps of 2 beside the flag.
        state
            .compare_exchange(generation | PARCELLED, generation + 2, Ordering::AcqRel, Ordering::Relaxed)
            .ok()
            .map(|_| Lease { slab: parcel.slab, slot: parcel.slot, len: parcel.len })
    }

    /// The frame.
    ///
    /// # Panics
    /// When the lease belongs to another slab, which is a wiring fault.
    #[inline]
    pub fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        self.memory.bytes(lease)
    }

    /// Gives the slot back to the gateway.
    ///
    /// # Panics
    /// When the lease belongs to another slab, which is a wiring fault.
    #[inline]
    pub fn release(&mut self, lease: Lease) {
        assert_eq!(lease.slab, self.memory.id, "a lease of another slab");
        // The ring has room for every slot, and each is in it at most once, for its lease is unique.
        let pushed = self.returns.push(lease.slot);
        debug_assert!(pushed.is_ok(), "more slots returned than there are");
    }
}

/// The slots' bytes and states.
struct Memory {
    id: u32,
    base: NonNull<u8>,
    layout: Layout,
    /// First slot and first byte of each class.
    class_begin: [(u32, usize); 3],
    /// Generation in steps of 2, and [`PARCELLED`].
    states: Box<[AtomicU64]>,
}

// SAFETY: the bytes behind `base` are accessed through leases only: `SlabWriter::publish` writes a slot that
// has none, `bytes` reads one through a borrow of its only lease. The states are atomics.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(id: u32, counts: SlabCounts) -> Self {
        assert!(counts.total() > 0 && u32::try_from(counts.total()).is_ok(), "a slab needs slots");
        #[allow(clippy::expect_used)] // a size beyond the address space is a wiring fault
        let layout = Layout::from_size_align(counts.bytes(), PAGE).expect("the slab's size is representable");
        // SAFETY: the layout's size is not zero, as there are slots and no class is empty-sized.
        let base =
            NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        let mut begin = (0u32, 0usize);
        let mut class_begin = [begin; 3];
        for (class, count) in counts.array().into_iter().enumerate() {
            class_begin[class] = begin;
            begin = (begin.0 + count as u32, begin.1 + count * CLASS_SIZES[class]);
        }
        let states = (0..counts.total()).map(|_| AtomicU64::new(0)).collect();
        Self { id, base, layout, class_begin, states }
    }

    /// Writes to every page, so that none faults later. Only before the slab is shared.
    fn touch(&self) {
        for offset in (0..self.layout.size()).step_by(PAGE) {
            // SAFETY: within the allocation, and nobody else has the slab yet. Volatile, so that writing
            // a zero over a zero is not left out.
            unsafe { self.base.as_ptr().add(offset).write_volatile(0) };
        }
    }

    #[inline]
    fn class_of(&self, slot: u32) -> usize {
        if slot >= self.class_begin[2].0 { 2 } else { usize::from(slot >= self.class_begin[1].0) }
    }

    #[inline]
    fn slot_ptr(&self, slot: u32) -> *mut u8 {
        assert!((slot as usize) < self.states.len(), "no such slot");
        let class = self.class_of(slot);
        let (first, begin) = self.class_begin[class];
        let offset = begin + (slot - first) as usize * CLASS_SIZES[class];
        // SAFETY: the slot exists, so its offset lies within the allocation.
        unsafe { self.base.as_ptr().add(offset) }
    }

    #[inline]
    fn bytes<'a>(&'a self, lease: &'a Lease) -> &'a [u8] {
        assert_eq!(lease.slab, self.id, "a lease of another slab");
        // SAFETY: leases are made by `publish`, which has filled `len` bytes of the slot, and by `open`, from
        // the only live packing of such a lease, with its length. While this borrow of the lease lives, it
        // cannot be packed or released, so nobody writes the slot. The fill happened before: the lease came
        // here through a synchronising channel, or by `open`, which acquires what `pack` released.
        unsafe { std::slice::from_raw_parts(self.slot_ptr(lease.slot), lease.len as usize) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with this layout; borrows of the bytes cannot outlive us.
        unsafe { dealloc(self.base.as_ptr(), self.layout) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEW: SlabCounts = SlabCounts { small: 2, medium: 1, large: 1 };

    #[test]
    fn a_frame_goes_round_and_its_slot_comes_back() {
        let (mut writer, reader, mut returner) = slab(FEW, false);
        for round in 0..100u32 {
            let frame = round.to_le_bytes();
            let lease = writer.publish(&frame).unwrap();
            assert_eq!(reader.bytes(&lease), frame);
            let parcel = reader.pack(lease);
            let lease = returner.open(parcel).unwrap();
            assert_eq!(returner.bytes(&lease), frame);
            returner.release(lease);
        }
    }

    #[test]
    fn larger_classes_step_in_until_everything_is_taken() {
        let (mut writer, _reader, mut returner) = slab(FEW, true);
        let leases: Vec<Lease> = (0..4).map(|_| writer.publish(b"tick").unwrap()).collect();
        assert_eq!(writer.publish(b"tick"), Err(SlabError::Exhausted(4)));
        assert_eq!((writer.free(), writer.free_min()), ([0; 3], [0; 3]));
        for lease in leases {
            returner.release(lease);
        }
        let big = writer.publish(&vec![1; 512 << 10]).unwrap();
        assert_eq!(writer.publish(&vec![1; 33 << 10]), Err(SlabError::Exhausted(33 << 10)));
        assert_eq!(writer.publish(&vec![1; (512 << 10) + 1]), Err(SlabError::TooLong((512 << 10) + 1)));
        assert_eq!(writer.free(), [2, 1, 0]);
        returner.release(big);
    }

    #[test]
    fn classes_do_not_overlap() {
        let (mut writer, reader, _returner) = slab(SlabCounts { small: 3, medium: 2, large: 2 }, true);
        let sizes = [2_048, 32_768, 524_288, 1, 524_288, 32_768, 2_048];
        let leases: Vec<Lease> = sizes
            .iter()
            .enumerate()
            .map(|(index, &size)| writer.publish(&vec![index as u8; size]).unwrap())
            .collect();
        for (index, (lease, size)) in leases.iter().zip(sizes).enumerate() {
            assert_eq!(lease.len(), size);
            assert!(
                reader.bytes(lease).iter().all(|&byte| byte == index as u8),
                "slot {index} was overwritten"
            );
        }
        drop(leases);
    }

    #[test]
    fn a_parcel_opens_once_and_never_after_its_slot_was_used_again() {
        let (mut writer, reader, mut returner) = slab(FEW, true);
        assert_eq!(returner.open(Parcel::default()), None);
        let parcel = reader.pack(writer.publish(b"one").unwrap());
        let copy = parcel;
        let lease = returner.open(parcel).unwrap();
        assert_eq!(returner.open(copy), None, "a copy opens nothing");
        returner.release(lease);
        let mut seen = 0;
        for _ in 0..200 {
            let again = reader.pack(writer.publish(b"two").unwrap());
            seen += usize::from(again.slot == copy.slot);
            assert_eq!(returner.open(copy), None, "an old parcel opens nothing");
            let lease = returner.open(again).unwrap();
            returner.release(lease);
        }
        assert!(seen > 0, "the slot was never used again");
    }

    #[test]
    #[should_panic(expected = "another slab")]
    fn a_lease_of_another_slab_is_refused() {
        let (mut writer, ..) = slab(FEW, true);
        let (_, reader, _) = slab(FEW, true);
        let lease = writer.publish(b"x").unwrap();
        let _ = reader.bytes(&lease);
    }

    #[test]
    fn three_threads_never_see_a_torn_or_reused_frame() {
        const COUNT: u64 = 100_000;
        let (mut writer, reader, mut returner) = slab(SlabCounts { small: 8, medium: 4, large: 1 }, true);
        let (mut to_decode, mut from_gateway) = rtrb::RingBuffer::new(16);
        let (mut to_record, mut from_decode) = rtrb::RingBuffer::<Parcel>::new(16);
        let frame_of = |index: u64| {
            let len = if index.is_multiple_of(7) { 3_000 } else { 40 + (index % 100) as usize };
            vec![(index % 251) as u8; len]
        };
        let decode = std::thread::spawn(move || {
            for index in 0..COUNT {
                let lease: Lease = loop {
                    match from_gateway.pop() {
                        Ok(lease) => break lease,
                        Err(_) => std::thread::yield_now(),
                    }
                };
                assert_eq!(reader.bytes(&lease), frame_of(index));
                let parcel = reader.pack(lease);
                while to_record.push(parcel).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        let record = std::thread::spawn(move || {
            for index in 0..COUNT {
                let parcel = loop {
                    match from_decode.pop() {
                        Ok(parcel) => break parcel,
                        Err(_) => std::thread::yield_now(),
                    }
                };
                let lease = returner.open(parcel).unwrap();
                assert_eq!(returner.bytes(&lease), frame_of(index));
                returner.release(lease);
            }
        });
        for index in 0..COUNT {
            let frame = frame_of(index);
            let mut lease = loop {
                match writer.publish(&frame) {
                    Ok(lease) => break lease,
                    Err(_) => std::thread::yield_now(),
                }
            };
            while let Err(rtrb::PushError::Full(back)) = to_decode.push(lease) {
                lease = back;
                std::thread::yield_now();
            }
        }
        decode.join().unwrap();
        record.join().unwrap();
    }
}
