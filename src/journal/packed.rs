//! A closed segment, compressed: independent zstd frames of 256 KiB and a table of them, so that a read at any
//! offset decompresses one frame. The layout is zstd's own "seekable format", and `zstd -d` restores the segment:
//!
//! ```text
//! frames          one after the other, each of `BLOCK_BYTES` of the segment (the last may be shorter)
//! skippable frame
//!   0  4   magic 0x184D2A5E
//!   4  4   bytes that follow
//!   8  8×n compressed and uncompressed bytes of each frame
//!   …  4   n
//!   …  1   descriptor: 0 (no checksums here; each frame has its own)
//!   …  4   magic 0x8F92EAB1
//! ```

use super::layout::SEGMENT_BYTES_MAX;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

/// Bytes of the segment in a frame: what a seek must decompress.
pub(super) const BLOCK_BYTES: usize = 1 << 18;
const TABLE_MAGIC: u32 = 0x184D_2A5E;
const FOOTER_MAGIC: u32 = 0x8F92_EAB1;
const FOOTER_BYTES: usize = 9;
/// Larger frames are not ours; reading them would cost memory that the length of a journal decides.
const FRAME_BYTES_MAX: u32 = 1 << 22;

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Writes a packed segment, block by block.
pub(super) struct Packer {
    file: File,
    compressor: Compressor<'static>,
    table: Vec<u8>,
    /// Bytes written so far.
    pub bytes: u64,
}

impl Packer {
    /// Begins at the start of `file`.
    pub fn new(file: File, level: i32) -> io::Result<Self> {
        let mut compressor = Compressor::new(level)?;
        compressor.set_parameter(CParameter::ChecksumFlag(true))?;
        Ok(Self { file, compressor, table: Vec::new(), bytes: 0 })
    }

    /// Adds a block: [`BLOCK_BYTES`], but for the last.
    pub fn block(&mut self, bytes: &[u8]) -> io::Result<()> {
        let frame = self.compressor.compress(bytes)?;
        self.file.write_all(&frame)?;
        self.bytes += frame.len() as u64;
        self.table.extend_from_slice(&(frame.len() as u32).to_le_bytes());
        self.table.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        Ok(())
    }

    /// Writes the table and hands the file back, not yet synchronised.
    pub fn finish(mut self) -> io::Result<File> {
        let follow = (self.table.len() + FOOTER_BYTES) as u32;
        let mut end = [TABLE_MAGIC.to_le_bytes(), follow.to_le_bytes()].concat();
        end.extend_from_slice(&self.table);
        end.extend_from_slice(&((self.table.len() / 8) as u32).to_le_bytes());
        end.push(0);
        end.extend_from_slice(&FOOTER_MAGIC.to_le_bytes());
        self.file.write_all(&end)?;
        Ok(self.file)
    }
}

/// A frame's place.
struct Frame {
    at: u64,
    bytes: u32,
    /// Its first byte in the segment.
    from: u64,
    raw: u32,
}

/// Reads a packed segment at any offset; keeps one block.
pub(super) struct Packed {
    file: File,
    frames: Vec<Frame>,
    decompressor: Decompressor<'static>,
    compressed: Vec<u8>,
    block: Vec<u8>,
    /// The frame in `block`.
    held: Option<usize>,
}

impl Packed {
    /// Reads the table. Anything that does not add up is `InvalidData`.
    pub fn open(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let footer_at = len.checked_sub(FOOTER_BYTES as u64).ok_or_else(|| invalid("too short"))?;
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, footer_at)?;
        let word = |bytes: &[u8], at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let count = word(&footer, 0) as usize;
        if word(&footer, 5) != FOOTER_MAGIC || footer[4] != 0 || count > SEGMENT_BYTES_MAX / 4096 {
            return Err(invalid("no table of frames"));
        }
        let table_at = footer_at.checked_sub(8 * count as u64 + 8).ok_or_else(|| invalid("too short"))?;
        let mut table = vec![0; 8 * count + 8];
        file.read_exact_at(&mut table, table_at)?;
        if word(&table, 0) != TABLE_MAGIC || word(&table, 4) as usize != 8 * count + FOOTER_BYTES {
            return Err(invalid("no table of frames"));
        }
        let (mut at, mut from) = (0, 0);
        let mut frames = Vec::with_capacity(count);
        for entry in table[8..].chunks_exact(8) {
            let frame = Frame { at, bytes: word(entry, 0), from, raw: word(entry, 4) };
            if frame.raw == 0 || frame.raw > FRAME_BYTES_MAX || frame.bytes > FRAME_BYTES_MAX {
                return Err(invalid("an impossible frame"));
            }
            at += u64::from(frame.bytes);
            from += u64::from(frame.raw);
            frames.push(frame);
        }
        if at != table_at || from > SEGMENT_BYTES_MAX as u64 {
            return Err(invalid("the table does not match the file"));
        }
        let decompressor = Decompressor::new()?;
        Ok(Self { file, frames, decompressor, compressed: Vec::new(), block: Vec::new(), held: None })
    }

    /// Bytes of the segment.
    pub fn len(&self) -> u64 {
        self.frames.last().map_or(0, |frame| frame.from + u64::from(frame.raw))
    }

    /// Bytes of the segment from `at` on, up to the end of their block; 0 at the end.
    pub fn read_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let index = self.frames.partition_point(|frame| frame.from <= at).checked_sub(1);
        let Some(index) = index.filter(|_| at < self.len()) else { return Ok(0) };
        self.hold(index)?;
        let part = &self.block[(at - self.frames[index].from) as usize..];
        let len = part.len().min(buffer.len());
        buffer[..len].copy_from_slice(&part[..len]);
        Ok(len)
    }

    fn hold(&mut self, index: usize) -> io::Result<()> {
        if self.held == Some(index) {
            return Ok(());
        }
        self.held = None;
        let frame = &self.frames[index];
        self.compressed.resize(frame.bytes as usize, 0);
        self.file.read_exact_at(&mut self.compressed, frame.at)?;
        self.block.resize(frame.raw as usize, 0);
        let got = self.decompressor.decompress_to_buffer(&self.compressed, &mut self.block[..]);
        let got = got.map_err(|e| invalid(&e.to_string()))?;
        if got != frame.raw as usize {
            return Err(invalid("a frame is shorter than its table says"));
        }
        self.held = Some(index);
        Ok(())
    }
}
