//! The bytes of a segment's file at any offset, whether it is raw or packed.

use super::packed::Packed;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A segment's file, open for reading.
pub(super) enum Source {
    /// As it was written.
    Raw(File),
    /// Compressed.
    Packed(Box<Packed>),
}

impl Source {
    /// Opens the file; what it is shows in its name.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        match path.extension().is_some_and(|end| end == "zst") {
            true => {
                // The end of a file that is cut short is damage, not the end of what is written.
                let packed = Packed::open(file).map_err(as_damage)?;
                Ok(Self::Packed(Box::new(packed)))
            }
            false => Ok(Self::Raw(file)),
        }
    }

    /// Reads until `buffer` is full or the segment's bytes end; returns the number of bytes read.
    pub fn read_up_to(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            let (rest, from) = (&mut buffer[done..], at + done as u64);
            let got = match self {
                Self::Raw(file) => file.read_at(rest, from),
                Self::Packed(packed) => packed.read_at(rest, from).map_err(as_damage),
            };
            match got {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}

fn as_damage(failure: io::Error) -> io::Error {
    match failure.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(io::ErrorKind::InvalidData, failure),
        _ => failure,
    }
}
