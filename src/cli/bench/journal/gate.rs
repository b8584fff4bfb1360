//! The write-ahead gate: how long an opening order waits for its record, in each mode. Recorder, gate and ring are
//! the engine's; the baskets have two legs of 320 bytes and come one at a time, so that no queue is measured.

use super::{Bench, Wait};
use crate::cli::Failure;
use crate::cli::bench::wire::Tail;
use crate::domain::effect::{MessageId, OutMeta, OutMsg, Payload, Target};
use crate::domain::event::Seq;
use crate::domain::input::{ConnId, Input, InputClass, RawInput};
use crate::domain::order::{ClientId, OrderSpec};
use crate::domain::output::{OutputKey, Stage};
use crate::domain::time::{Nanos, SECOND, Stamp};
use crate::journal::{JournalOptions, SyncPolicy};
use crate::ring::{Receiver, Sender, channel};
use crate::stage::egress::{AheadGate, WriteAhead};
use crate::stage::record::Recorder;
use crate::telemetry::histogram::Samples;
use crate::topology::launch::manifest;
use std::collections::BTreeMap;
use std::path::Path;
use std::thread;

/// Bytes of a leg's message.
const MESSAGE_BYTES: u16 = 320;
/// Baskets of one mode at most.
const BASKETS_MAX: u64 = 200_000;
/// An order waits no longer than this; the engine gives up sooner.
const PATIENCE: Nanos = 60 * SECOND;

/// What the thread of the recorder is given.
#[derive(Clone, Copy)]
#[allow(clippy::large_enum_variant)] // rings hold values
enum Item {
    Input(u64),
    Message(OutMsg),
    Stop,
}

fn create(dir: &Path, mode: WriteAhead) -> Result<Recorder, Failure> {
    let sync = if mode == WriteAhead::Synced { SyncPolicy::Sync } else { SyncPolicy::None };
    let options = JournalOptions { sync, segment_bytes: 16 << 20, ..JournalOptions::default() };
    Ok(Recorder::create(dir, &manifest(b"", 0, BTreeMap::new()), &options)?)
}

fn message(id: u64, basket: u64, mono: Nanos) -> OutMsg {
    let mut payload = Payload::new();
    payload.text_len = MESSAGE_BYTES;
    payload.bytes[..usize::from(MESSAGE_BYTES)].fill(b'x');
    let meta = OutMeta {
        amends: false,
        replaces: ClientId::NONE,
        message: MessageId(id),
        cause: Seq(basket),
        cause_mono: mono,
        age_max: 0,
        target: Target::Socket(ConnId(0)),
        epoch: 1,
        urgent: false,
        order: Some(OrderSpec::default()),
    };
    OutMsg { meta, token: MessageId(2 * basket), payload }
}

fn legs(basket: u64, mono: Nanos) -> [OutMsg; 2] {
    [2 * basket - 1, 2 * basket].map(|id| message(id, basket, mono))
}

fn record_input(recorder: &mut Recorder, seq: u64) {
    let raw = RawInput { mono: 0, input: Input::Tick, bytes: &[] };
    recorder.input(Seq(seq), Stamp::default(), InputClass::Time, &raw);
}

fn record_leg(recorder: &mut Recorder, leg: &OutMsg) {
    let ordinal = u16::from(leg.meta.message == leg.token);
    recorder.message(OutputKey { cause: leg.meta.cause, stage: Stage::Route, ordinal }, 0, leg);
}

/// Every mode in turn.
///
/// # Errors
/// Nothing can be written.
pub fn waits(bench: &mut Bench<'_>) -> Result<Vec<Wait>, Failure> {
    let mut waits = Vec::new();
    for mode in [WriteAhead::Off, WriteAhead::Written, WriteAhead::Synced] {
        let wait_ns = Tail::of(split(bench, mode)?.histogram());
        waits.push(Wait { layout: "split", mode: mode.name(), wait_ns });
    }
    let wait_ns = Tail::of(fused(bench)?.histogram());
    waits.insert(0, Wait { layout: "fused", mode: WriteAhead::Written.name(), wait_ns });
    Ok(waits)
}

/// One thread writes the record itself, then lets the order go.
fn fused(bench: &mut Bench<'_>) -> Result<Samples, Failure> {
    let dir = bench.dir.join("fused");
    let mut recorder = create(&dir, WriteAhead::Written)?;
    let mut samples = Samples::new();
    let end = bench.clock.mono_ns() + bench.share / 4;
    for basket in 1..=BASKETS_MAX {
        let legs = legs(basket, bench.clock.mono_ns());
        let ready = bench.clock.mono_ns();
        record_input(&mut recorder, basket);
        legs.iter().for_each(|leg| record_leg(&mut recorder, leg));
        let now = bench.clock.mono_ns();
        samples.record(now - ready);
        if now >= end {
            break;
        }
    }
    finish(recorder, &dir)?;
    Ok(samples)
}

/// A thread records, this one asks the gate until it lets the order pass.
fn split(bench: &mut Bench<'_>, mode: WriteAhead) -> Result<Samples, Failure> {
    let dir = bench.dir.join(mode.name());
    let recorder = create(&dir, mode)?;
    let gate = AheadGate::new(mode, recorder.progress(), PATIENCE);
    let (mut sender, receiver) = channel("bench→record", 64);
    let mut samples = Samples::new();
    let recorder = thread::scope(|scope| -> Result<Recorder, Failure> {
        let recording = scope.spawn(move || record(recorder, receiver));
        let end = bench.clock.mono_ns() + bench.share / if mode == WriteAhead::Synced { 1 } else { 4 };
        for basket in 1..=BASKETS_MAX {
            let legs = legs(basket, bench.clock.mono_ns());
            push(&mut sender, Item::Input(basket));
            legs.iter().for_each(|leg| push(&mut sender, Item::Message(*leg)));
            let ready = bench.clock.mono_ns();
            let mut now = ready;
            while !gate.has_reached(&legs[1]) && gate.is_patient(&legs[1], now) {
                thread::yield_now();
                now = bench.clock.mono_ns();
            }
            samples.record(now.max(ready + 1) - ready);
            if now >= end || recording.is_finished() {
                break;
            }
        }
        push(&mut sender, Item::Stop);
        recording.join().map_err(|_| "the recorder's thread panicked".into())
    })?;
    finish(recorder, &dir)?;
    Ok(samples)
}

fn push(to: &mut Sender<Item>, item: Item) {
    while to.try_push(item).is_err() && !to.is_abandoned() {
        thread::yield_now();
    }
}

/// What the recorder's thread does in the engine: takes what is there, then sees to the disk.
fn record(mut recorder: Recorder, mut items: Receiver<Item>) -> Recorder {
    loop {
        match items.pop() {
            Some(Item::Input(seq)) => record_input(&mut recorder, seq),
            Some(Item::Message(leg)) => record_leg(&mut recorder, &leg),
            Some(Item::Stop) => return recorder,
            None => {
                recorder.sync_pending();
                thread::yield_now();
            }
        }
        if recorder.failure().is_some() {
            return recorder;
        }
    }
}

fn finish(recorder: Recorder, dir: &Path) -> Result<(), Failure> {
    recorder.close()?;
    std::fs::remove_dir_all(dir)?;
    Ok(())
}
