//! Market data as hftbacktest reads it: per instrument an array `data` of eight fields in an npz file. Prices and
//! quantities are floats there, because the format has nothing else.
//!
//! Its exchange and its local side each read the rows that bear their flag, in the order of their own time. Rows stand
//! in the order of receipt; one that is older by venue time than one before it is split: its local part stays, its
//! exchange part goes to where it belongs.

use super::rows::{Rows, levels};
use super::table::{Cell, Decimal, Kind};
use super::{ExportError, Taker};
use crate::domain::event::{BookState, Event, EventBody};
use crate::domain::instrument::InstrumentId;
use crate::domain::order::Side;
use crate::domain::time::Nanos;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

/// hftbacktest's flags and kinds of events.
const DEPTH: u64 = 1;
const TRADE: u64 = 2;
const DEPTH_CLEAR: u64 = 3;
const DEPTH_SNAPSHOT: u64 = 4;
const EXCHANGE: u64 = 1 << 31;
const LOCAL: u64 = 1 << 30;
const BUY: u64 = 1 << 29;
const SELL: u64 = 1 << 28;

/// Bytes of a row: eight fields of eight bytes.
const ROW: usize = 64;
/// Rows out of order that are held in memory per instrument (64 MiB).
const LATE_MAX: usize = 1 << 20;

/// The part of a row that is known before its times are judged.
#[derive(Clone, Copy)]
struct Entry {
    flags: u64,
    price: f64,
    qty: f64,
    id: u64,
}

fn row(entry: Entry, sides: u64, exchange: Nanos, local: Nanos) -> [u8; ROW] {
    let fields = [
        (entry.flags | sides).to_le_bytes(),
        exchange.to_le_bytes(),
        local.to_le_bytes(),
        entry.price.to_le_bytes(),
        entry.qty.to_le_bytes(),
        entry.id.to_le_bytes(),
        0i64.to_le_bytes(),
        0f64.to_le_bytes(),
    ];
    let mut bytes = [0; ROW];
    for (to, field) in bytes.chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&field);
    }
    bytes
}

fn word(row: &[u8; ROW], field: usize) -> u64 {
    row[8 * field..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// The array of one instrument, its rows in a file of their own until their number is known.
struct Array {
    path: PathBuf,
    raw: PathBuf,
    rows: BufWriter<File>,
    count: u64,
    exchange: Nanos,
    local: Nanos,
    /// Exchange parts that are older than a row before them.
    late: Vec<(Nanos, [u8; ROW])>,
}

impl Array {
    fn begin(folder: &Path, name: &str) -> Result<Self, ExportError> {
        let (path, raw) = (folder.join(format!("{name}.npz")), folder.join(format!(".{name}.rows")));
        let file = File::create_new(&raw).map_err(|source| ExportError::write(&raw, source))?;
        let rows = BufWriter::with_capacity(1 << 18, file);
        Ok(Self { path, raw, rows, count: 0, exchange: 0, local: 0, late: Vec::new() })
    }

    fn put(&mut self, bytes: &[u8; ROW]) -> Result<(), ExportError> {
        self.count += 1;
        self.rows.write_all(bytes).map_err(|source| ExportError::write(&self.raw, source))
    }

    /// A row that both sides see.
    fn push(&mut self, entry: Entry, venue_ns: Nanos, wall: Nanos) -> Result<(), ExportError> {
        // The wall clock may be set back; the order of receipt stands.
        self.local = self.local.max(wall);
        let exchange = if venue_ns == 0 { self.local } else { venue_ns };
        if exchange >= self.exchange {
            self.exchange = exchange;
            return self.put(&row(entry, EXCHANGE | LOCAL, exchange, self.local));
        }
        if self.late.len() >= LATE_MAX {
            return Err(ExportError::Disorder { path: self.path.clone(), limit: LATE_MAX });
        }
        self.late.push((exchange, row(entry, EXCHANGE, exchange, self.local)));
        self.put(&row(entry, LOCAL, exchange, self.local))
    }

    /// A row that only we see.
    fn push_local(&mut self, entry: Entry, wall: Nanos) -> Result<(), ExportError> {
        self.local = self.local.max(wall);
        self.put(&row(entry, LOCAL, self.local, self.local))
    }

    fn finish(mut self) -> Result<(), ExportError> {
        self.late.sort_by_key(|(exchange, _)| *exchange);
        let written = self.rows.flush().and_then(|()| self.pack());
        written.map_err(|source| ExportError::write(&self.path, source))
    }

    fn pack(&self) -> io::Result<()> {
        let mut zip = ZipWriter::new(BufWriter::new(File::create_new(&self.path)?));
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(1))
            .large_file(true);
        zip.start_file("data.npy", options)?;
        zip.write_all(&header(self.count + self.late.len() as u64))?;
        let mut rows = BufReader::with_capacity(1 << 18, File::open(&self.raw)?);
        let mut late = self.late.iter().peekable();
        let mut bytes = [0; ROW];
        for _ in 0..self.count {
            rows.read_exact(&mut bytes)?;
            if word(&bytes, 0) & EXCHANGE != 0 {
                while let Some((_, older)) = late.next_if(|(at, _)| *at < word(&bytes, 1) as Nanos) {
                    zip.write_all(older)?;
                }
            }
            zip.write_all(&bytes)?;
        }
        late.try_for_each(|(_, older)| zip.write_all(older))?;
        zip.finish()?.flush()?;
        std::fs::remove_file(&self.raw)
    }
}

/// The header of an npy file of version 1.0 whose length is a multiple of 64.
fn header(rows: u64) -> Vec<u8> {
    let descr = "[('ev', '<u8'), ('exch_ts', '<i8'), ('local_ts', '<i8'), ('px', '<f8'), ('qty', '<f8'), \
                 ('order_id', '<u8'), ('ival', '<i8'), ('fval', '<f8')]";
    let mut text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({rows},), }}");
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A file per instrument.
pub struct Arrays {
    folder: PathBuf,
    arrays: BTreeMap<InstrumentId, Array>,
}

impl Arrays {
    /// Will make the files in `folder`.
    pub fn begin(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), arrays: BTreeMap::new() }
    }

    /// Ends the files.
    pub fn finish(self) -> Result<(), ExportError> {
        self.arrays.into_values().try_for_each(Array::finish)
    }

    fn array(&mut self, id: InstrumentId, rows: &Rows<'_>) -> Result<&mut Array, ExportError> {
        use std::collections::btree_map::Entry as Place;
        match self.arrays.entry(id) {
            Place::Occupied(array) => Ok(array.into_mut()),
            Place::Vacant(place) => {
                let venue = rows.listings.venue_of(id).map_or("", |venue| rows.listings.venue(venue));
                let symbol = rows.listings.names(id).map_or("", |(_, symbol)| symbol);
                let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
                let name: String = format!("{venue}-{symbol}").chars().map(plain).collect();
                Ok(place.insert(Array::begin(&self.folder, &name)?))
            }
        }
    }
}

/// Clears both sides of the book.
const CLEAR: [Entry; 2] = [
    Entry { flags: DEPTH_CLEAR | BUY, price: f64::NAN, qty: 0.0, id: 0 },
    Entry { flags: DEPTH_CLEAR | SELL, price: f64::NAN, qty: 0.0, id: 0 },
];

impl Taker for Arrays {
    fn row(&mut self, _: Kind, _: &[Cell<'_>]) -> Result<(), ExportError> {
        Ok(())
    }

    fn event(&mut self, _: Kind, event: &Event, rows: &Rows<'_>) -> Result<(), ExportError> {
        let (seq, wall) = (event.seq.0, event.at.wall);
        let float = |value: Option<Decimal>| value.map_or(f64::NAN, Decimal::to_f64);
        match &event.body {
            EventBody::Trade(e) => {
                let flags = TRADE | if e.aggressor == Side::Buy { BUY } else { SELL };
                let price = float(rows.listings.price(e.instrument, seq, e.price));
                let qty = float(rows.listings.qty(e.instrument, seq, e.qty));
                self.array(e.instrument, rows)?.push(Entry { flags, price, qty, id: 0 }, e.venue_ns, wall)
            }
            EventBody::Levels(e) => {
                let snapshot = e.clear || rows.snapshots.get(e.instrument.index()).is_some_and(|on| *on);
                let kind = if snapshot { DEPTH_SNAPSHOT } else { DEPTH };
                let array = self.array(e.instrument, rows)?;
                if e.clear {
                    CLEAR.iter().try_for_each(|entry| array.push(*entry, e.venue_ns, wall))?;
                }
                levels(e).into_iter().try_for_each(|(side, price, qty)| {
                    let flags = kind | if side == Side::Buy { BUY } else { SELL };
                    let price = float(rows.listings.price(e.instrument, seq, price));
                    let qty = float(rows.listings.qty(e.instrument, seq, qty));
                    array.push(Entry { flags, price, qty, id: 0 }, e.venue_ns, wall)
                })
            }
            // A book that is not served is shown to nobody.
            EventBody::Book(e) if e.state == BookState::Invalid => {
                let array = self.array(e.instrument, rows)?;
                CLEAR.iter().try_for_each(|entry| array.push_local(*entry, wall))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_come_late_are_split_so_that_each_side_is_in_its_order() {
        let dir = std::env::temp_dir().join(format!("perpring-npz-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut array = Array::begin(&dir, "a").unwrap();
        let entry = Entry { flags: DEPTH | BUY, price: 1.5, qty: 2.0, id: 0 };
        for (exchange, local) in [(10, 20), (30, 31), (20, 40), (5, 39), (40, 60), (35, 61)] {
            array.push(entry, exchange, local).unwrap();
        }
        array.push_local(entry, 70).unwrap();
        array.finish().unwrap();
        let mut zip = zip::ZipArchive::new(File::open(dir.join("a.npz")).unwrap()).unwrap();
        let mut bytes = Vec::new();
        zip.by_name("data.npy").unwrap().read_to_end(&mut bytes).unwrap();
        let begin = bytes.len() - 10 * ROW;
        assert!(begin.is_multiple_of(64) && bytes.starts_with(b"\x93NUMPY"));
        assert!(String::from_utf8_lossy(&bytes[..begin]).contains("'shape': (10,)"));
        let seen = |flag: u64, field: usize| -> Vec<u64> {
            let rows = bytes[begin..].chunks_exact(ROW).map(|row| *row.first_chunk::<ROW>().unwrap());
            rows.filter(|row| word(row, 0) & flag != 0).map(|row| word(&row, field)).collect()
        };
        assert_eq!(seen(EXCHANGE, 1), [5, 10, 20, 30, 35, 40]);
        assert_eq!(seen(LOCAL, 2), [20, 31, 40, 40, 60, 61, 70]);
        assert!(!dir.join(".a.rows").exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
