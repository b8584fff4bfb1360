//! Inputs and outputs as journal records: a compact header (postcard) and raw bytes beside it.
//!
//! Record body: `u16` little-endian length of the header, header, raw bytes. The record's kind tells an
//! input or output apart at a glance; the header alone is authoritative.

use super::event::Seq;
use super::input::Input;
use super::output::{Output, OutputKey, Stage};

/// Version of the record contents; a reader refuses what it does not know.
pub const SCHEMA_VERSION: u16 = 1;

/// Largest encoded header.
pub const HEADER_MAX: usize = 1024;

/// A record could not be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record contents do not match schema version {SCHEMA_VERSION}")]
pub struct CodecError;

/// Encodes the header part of an input record; the raw bytes follow it. Returns the used part of `scratch`.
pub fn encode_input<'a>(input: &Input, scratch: &'a mut [u8; HEADER_MAX]) -> &'a [u8] {
    encode(input, scratch)
}

/// Encodes the header part of an output record.
pub fn encode_output<'a>(key: OutputKey, output: &Output, scratch: &'a mut [u8; HEADER_MAX]) -> &'a [u8] {
    encode(&(key.stage, key.ordinal, output), scratch)
}

fn encode<'a, T: serde::Serialize>(value: &T, scratch: &'a mut [u8; HEADER_MAX]) -> &'a [u8] {
    // The largest header (an intent of four legs) is under 700 bytes: checked by the tests.
    let used = postcard::to_slice(value, &mut scratch[2..]).map_or(0, |used| used.len());
    scratch[..2].copy_from_slice(&(used as u16).to_le_bytes());
    &scratch[..2 + used]
}

fn split(body: &[u8]) -> Result<(&[u8], &[u8]), CodecError> {
    let (len, rest) = body.split_first_chunk::<2>().ok_or(CodecError)?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*len))).ok_or(CodecError)
}

/// Decodes an input record into the input and its raw bytes.
pub fn decode_input(body: &[u8]) -> Result<(Input, &[u8]), CodecError> {
    let (header, raw) = split(body)?;
    Ok((postcard::from_bytes(header).map_err(|_| CodecError)?, raw))
}

/// Decodes an output record into its key, the output and its raw bytes.
pub fn decode_output(cause: Seq, body: &[u8]) -> Result<(OutputKey, Output, &[u8]), CodecError> {
    let (header, raw) = split(body)?;
    let (stage, ordinal, output): (Stage, u16, Output) =
        postcard::from_bytes(header).map_err(|_| CodecError)?;
    Ok((OutputKey { cause, stage, ordinal }, output, raw))
}

/// Record kind of an input: stable numbers for tools that only count.
pub fn input_kind(input: &Input) -> u16 {
    match input {
        Input::Config => 1,
        Input::Anchor(_) => 2,
        Input::Tick => 3,
        Input::Frame(_) => 4,
        Input::ConnUp { .. } => 5,
        Input::ConnDown { .. } => 6,
        Input::HttpReply { .. } => 7,
        Input::Denied(_) => 8,
        Input::Outcome(_) => 9,
        Input::Command(_) => 10,
        Input::Pace(_) => 11,
        Input::AmendOutcome(_) => 12,
        Input::Carry => 13,
        Input::ReplaceOutcome { .. } => 14,
    }
}

/// Record kind of an output.
pub fn output_kind(output: &Output) -> u16 {
    match output {
        Output::Events(_) => 101,
        Output::Intent(_) => 102,
        Output::Approved(_) => 103,
        Output::Denied(_) => 104,
        Output::Message(_) => 105,
        Output::State(_) => 106,
        Output::Amendment(_) => 107,
        Output::NearMiss(_) => 108,
    }
}

/// Name of a record kind, for people.
pub fn kind_name(kind: u16) -> &'static str {
    match kind {
        1 => "config",
        2 => "anchor",
        3 => "tick",
        4 => "frame",
        5 => "conn_up",
        6 => "conn_down",
        7 => "http_reply",
        8 => "denied",
        9 => "outcome",
        10 => "command",
        11 => "pace",
        12 => "amend_outcome",
        13 => "carry",
        14 => "replace_outcome",
        101 => "events",
        102 => "intent",
        103 => "approved",
        104 => "denial",
        105 => "message",
        106 => "state",
        107 => "amendment",
        108 => "near_miss",
        _ => "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::input::{ConnId, FrameMeta};
    use crate::domain::intent::{Basket, Intent};
    use crate::domain::order::{ClientId, OrderSpec};

    #[test]
    fn every_kind_has_a_name() {
        assert!((1..=14).chain(101..=108).all(|kind| kind_name(kind) != "unknown"));
    }

    #[test]
    fn records_round_trip_and_the_largest_header_fits() {
        let mut scratch = [0; HEADER_MAX];
        let input = Input::Frame(FrameMeta { conn: ConnId(3), epoch: 7, last: true, ..FrameMeta::default() });
        let mut body = encode_input(&input, &mut scratch).to_vec();
        body.extend_from_slice(b"{\"a\":1}");
        assert_eq!(decode_input(&body), Ok((input, &b"{\"a\":1}"[..])));

        let leg = OrderSpec { client_id: ClientId(u128::MAX), ..OrderSpec::default() };
        let mut basket = Basket { legs: [leg; 4], len: 4, ..Basket::default() };
        basket.edge.net = i64::MIN;
        let output = Output::Intent(Intent::Basket(basket));
        let key = OutputKey { cause: Seq(9), stage: Stage::Scan, ordinal: 2 };
        let body = encode_output(key, &output, &mut scratch).to_vec();
        assert!(body.len() > 2 && body.len() < 700, "{}", body.len());
        assert_eq!(decode_output(Seq(9), &body), Ok((key, output, &b""[..])));
    }

    #[test]
    fn garbage_is_refused() {
        for body in [&b""[..], b"\x01", b"\xff\xff", b"\x01\x00\xff"] {
            assert!(decode_input(body).is_err() && decode_output(Seq(1), body).is_err());
        }
    }
}
