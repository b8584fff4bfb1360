//! Appending and reading back: the hand-off of a record, sustained throughput, the recovery scan; with their floors.

use super::{Bench, RECORD_BYTES, Scan, Sustained};
use crate::cli::Failure;
use crate::domain::time::Nanos;
use crate::journal::{JournalOptions, Manifest, Reader, Record, RunId, Stream, SyncPolicy, Writer};
use crate::telemetry::histogram::Samples;
use memmap2::MmapMut;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::Path;

/// Records between two readings of the clock.
const BATCH: usize = 64;
/// Bytes of a round of hand-offs: a segment.
const ROUND_BYTES: usize = 64 << 20;
/// Bytes of a sustained round: enough that the segments prepared before it began do not decide.
const SUSTAINED_BYTES: usize = 512 << 20;
/// Bytes of a short run's round.
const SHORT_BYTES: usize = 64 << 20;
/// Bytes that the floors write and read at once.
const BLOCK_BYTES: usize = 256 << 10;
/// A record's header and its alignment.
const HEADER_BYTES: usize = 32;

fn writer(dir: &Path) -> Result<Writer, Failure> {
    let manifest = Manifest { run_id: RunId(1), ..Manifest::default() };
    let options = JournalOptions { sync: SyncPolicy::None, ..JournalOptions::default() };
    Ok(Writer::create(dir, Stream::Inputs, &manifest, &options)?)
}

fn append(writer: &mut Writer, seq: u64, body: &[u8]) -> Result<(), Failure> {
    let record = Record { kind: 4, class: 0, seq, time_ns: seq as i64, parts: &[body] };
    writer.append(&record)?;
    Ok(())
}

/// Appends and copies in turns until the share of time is used up.
///
/// # Errors
/// Nothing can be written.
pub fn hand_off(bench: &mut Bench<'_>) -> Result<(Samples, Samples), Failure> {
    let (mut appended, mut copied) = (Samples::new(), Samples::new());
    let body = [7; RECORD_BYTES];
    let stride = HEADER_BYTES + RECORD_BYTES;
    let batches = (ROUND_BYTES / stride / BATCH) as u64;
    let mut buffer = MmapMut::map_anon(ROUND_BYTES)?;
    let end = bench.clock.mono_ns() + bench.share;
    loop {
        let dir = bench.dir.join("hand-off");
        let mut writer = writer(&dir)?;
        let mut seq = 0;
        for _ in 0..batches {
            let began = bench.clock.mono_ns();
            for _ in 0..BATCH {
                seq += 1;
                append(&mut writer, seq, black_box(&body))?;
            }
            appended.record((bench.clock.mono_ns() - began) / BATCH as Nanos);
        }
        drop(writer);
        fs::remove_dir_all(&dir)?;
        buffer.fill(0); // faulted in, and no warmer than a segment that its helper has just filled
        for batch in buffer.chunks_exact_mut(stride * BATCH) {
            let began = bench.clock.mono_ns();
            for place in batch.chunks_exact_mut(stride) {
                place[HEADER_BYTES..].copy_from_slice(black_box(&body));
                black_box(place);
            }
            copied.record((bench.clock.mono_ns() - began) / BATCH as Nanos);
        }
        if bench.clock.mono_ns() >= end {
            return Ok((appended, copied));
        }
    }
}

/// Writes records of one size as fast as it goes and reads them again, with the floors of both; the best of the
/// rounds of each, because what disturbs them only ever makes them slower.
///
/// # Errors
/// Nothing can be written, or what was written does not read.
pub fn sustained(bench: &mut Bench<'_>, record_bytes: usize) -> Result<(Sustained, Scan), Failure> {
    let short = bench.share < crate::domain::time::SECOND;
    let bytes = if short { SHORT_BYTES } else { SUSTAINED_BYTES };
    let records = (bytes / (HEADER_BYTES + record_bytes)) as u64;
    let body = vec![7; record_bytes];
    let end = bench.clock.mono_ns() + bench.share;
    let mut roll_waits = 0;
    let [mut write, mut write_floor, mut read, mut read_floor] = [Nanos::MAX; 4];
    loop {
        let dir = bench.dir.join("sustained");
        let mut writer = writer(&dir)?;
        let began = bench.clock.mono_ns();
        for seq in 1..=records {
            append(&mut writer, seq, black_box(&body))?;
        }
        write = write.min(bench.clock.mono_ns() - began);
        roll_waits = roll_waits.max(writer.stats().roll_waits);
        drop(writer); // as a crash leaves it
        let began = bench.clock.mono_ns();
        let mut reader = Reader::open(&dir, Stream::Inputs)?;
        while let Some(record) = reader.next()? {
            black_box(record.body);
        }
        read = read.min(bench.clock.mono_ns() - began);
        if reader.records() != records {
            return Err(
                format!("{} records were read of {records} that were written", reader.records()).into()
            );
        }
        read_floor = read_floor.min(read_files(bench, &dir)?);
        fs::remove_dir_all(&dir)?;
        write_floor = write_floor.min(write_file(bench, bytes)?);
        if bench.clock.mono_ns() >= end {
            break;
        }
    }
    let per_s = |amount: f64, ns: Nanos| amount * 1e9 / ns.max(1) as f64;
    let bodies = records as f64 * record_bytes as f64;
    let sustained = Sustained {
        record_bytes,
        records_per_s: per_s(records as f64, write) as u64,
        mb_per_s: per_s(bodies / 1e6, write),
        floor_mb_per_s: per_s(bytes as f64 / 1e6, write_floor),
        roll_waits,
    };
    let scan = Scan {
        record_bytes,
        gb_per_s: per_s(bytes as f64 / 1e9, read),
        floor_gb_per_s: per_s(bytes as f64 / 1e9, read_floor),
    };
    Ok((sustained, scan))
}

/// Reads the segments' files; ns for as many bytes as were written.
fn read_files(bench: &mut Bench<'_>, dir: &Path) -> Result<Nanos, Failure> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut paths: Vec<_> =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "seg"));
    let began = bench.clock.mono_ns();
    for path in paths {
        let mut file = File::open(path)?;
        while file.read(&mut block)? > 0 {
            black_box(&mut block);
        }
    }
    Ok(bench.clock.mono_ns() - began)
}

/// Writes a file of so many bytes; ns.
fn write_file(bench: &mut Bench<'_>, bytes: usize) -> Result<Nanos, Failure> {
    let path = bench.dir.join("floor");
    let block = vec![7; BLOCK_BYTES];
    let began = bench.clock.mono_ns();
    let mut file = File::create(&path)?;
    for _ in 0..bytes / BLOCK_BYTES {
        file.write_all(&block)?;
    }
    let took = bench.clock.mono_ns() - began;
    fs::remove_file(path)?;
    Ok(took)
}
