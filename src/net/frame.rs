//! WebSocket frames (RFC 6455 §5) as pure functions over bytes: the client's half.
//!
//! Our own and not a library's, because the gateway must know whether another whole message waits in the
//! read buffer (the burst mark), must tell a close between messages from one within, and may not allocate
//! or zero-fill per message. Does no I/O; [`super::socket`] drives it. Tests use an independent
//! implementation as the peer.
//!
//! ```text
//! byte 0   FIN(1) RSV(3) opcode(4)
//! byte 1   MASK(1) length(7): 0–125 itself, 126 → 2 more bytes, 127 → 8 more bytes (big-endian)
//! then     4 mask bytes (client to server only), payload
//! ```

use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use thiserror::Error;

/// The longest header that a server may send.
pub const SERVER_HEADER_MAX: usize = 10;
/// The longest header that we send: the server's plus four mask bytes.
pub const CLIENT_HEADER_MAX: usize = SERVER_HEADER_MAX + 4;
/// The longest payload of a control frame.
pub const CONTROL_PAYLOAD_MAX: usize = 125;

/// Frame types of RFC 6455 §11.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Opcode {
    /// Goes on with a fragmented message.
    Continuation = 0x0,
    /// UTF-8 text.
    Text = 0x1,
    /// Bytes.
    Binary = 0x2,
    /// Closes the connection.
    Close = 0x8,
    /// Asks for a pong.
    Ping = 0x9,
    /// Answers a ping.
    Pong = 0xA,
}

impl Opcode {
    /// Whether it is a control frame, which is short, never fragmented, and may stand between fragments.
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }
}

/// How the peer broke the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// RFC 6455 §5.2: no extension was negotiated.
    #[error("reserved bits are set though no extension was agreed")]
    ReservedBits,
    /// Opcodes 3–7 and 11–15.
    #[error("unknown frame type {0:#x}")]
    UnknownOpcode(u8),
    /// RFC 6455 §5.1.
    #[error("the server masked a frame")]
    Masked,
    /// RFC 6455 §5.5.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// RFC 6455 §5.5.
    #[error("a control frame is longer than 125 bytes")]
    LongControl,
    /// RFC 6455 §5.4.
    #[error("a continuation without a beginning")]
    OrphanContinuation,
    /// RFC 6455 §5.4.
    #[error("a new message before the last fragment of the one before")]
    UnfinishedFragments,
    /// RFC 6455 §5.5.1.
    #[error("a close frame with a payload of one byte")]
    CloseLength,
}

/// A frame header as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Last fragment of its message.
    pub fin: bool,
    /// Frame type.
    pub opcode: Opcode,
    /// Bytes of the header itself.
    pub header_len: usize,
    /// Bytes of payload after it.
    pub payload_len: u64,
}

/// Reads the header of a server's frame from the beginning of `bytes`; `None` = more bytes are needed.
/// Faults are found at the first byte that shows them.
///
/// # Errors
/// [`Fault`] when a server may not send this.
pub fn parse_header(bytes: &[u8]) -> Result<Option<Header>, Fault> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(Fault::ReservedBits);
    }
    let fin = first & 0x80 != 0;
    let opcode = match first & 0x0F {
        0x0 => Opcode::Continuation,
        0x1 => Opcode::Text,
        0x2 => Opcode::Binary,
        0x8 => Opcode::Close,
        0x9 => Opcode::Ping,
        0xA => Opcode::Pong,
        unknown => return Err(Fault::UnknownOpcode(unknown)),
    };
    if opcode.is_control() && !fin {
        return Err(Fault::FragmentedControl);
    }
    let Some(&second) = bytes.get(1) else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err(Fault::Masked);
    }
    let short = second & 0x7F;
    if opcode.is_control() && short > 125 {
        return Err(Fault::LongControl);
    }
    let (header_len, payload_len) = match short {
        126 => match bytes.get(2..4) {
            Some(length) => (4, u64::from(u16::from_be_bytes([length[0], length[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|length| <[u8; 8]>::try_from(length).ok()) {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Ok(None),
        },
        short => (2, u64::from(short)),
    };
    Ok(Some(Header { fin, opcode, header_len, payload_len }))
}

/// Bytes that a client frame of this payload takes.
pub const fn client_frame_len(payload_len: usize) -> usize {
    let length_bytes = if payload_len < 126 {
        0
    } else if payload_len <= u16::MAX as usize {
        2
    } else {
        8
    };
    2 + length_bytes + 4 + payload_len
}

/// Appends one whole (unfragmented) masked client frame to `to`, which must have room enough not to grow
/// where allocation matters.
pub fn append_client_frame(to: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    to.push(0x80 | opcode as u8);
    if payload.len() < 126 {
        to.push(0x80 | payload.len() as u8);
    } else if let Ok(length) = u16::try_from(payload.len()) {
        to.push(0x80 | 126);
        to.extend_from_slice(&length.to_be_bytes());
    } else {
        to.push(0x80 | 127);
        to.extend_from_slice(&(payload.len() as u64).to_be_bytes());
    }
    to.extend_from_slice(&mask);
    let begin = to.len();
    to.extend_from_slice(payload);
    apply_mask(&mut to[begin..], mask);
}

/// XORs `bytes` with the repeated mask (RFC 6455 §5.3); eight bytes at a time.
pub fn apply_mask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip([a, b, c, d, a, b, c]) {
        *byte ^= mask;
    }
}

/// Source of mask keys: unpredictable, as RFC 6455 §5.3 demands, without a system call per message.
pub struct MaskKeys(ChaCha8Rng);

impl MaskKeys {
    /// Seeded by the operating system.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn new() -> Result<Self, ring::error::Unspecified> {
        let mut seed = [0u8; 32];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut seed)?;
        Ok(Self(ChaCha8Rng::from_seed(seed)))
    }

    /// The next key.
    pub fn next_key(&mut self) -> [u8; 4] {
        self.0.next_u32().to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn header_lengths() {
        let header = |bytes: &[u8]| parse_header(bytes).unwrap().unwrap();
        assert_eq!(header(&[0x81, 5]).payload_len, 5);
        assert_eq!((header(&[0x82, 126, 1, 0]).header_len, header(&[0x82, 126, 1, 0]).payload_len), (4, 256));
        let long = header(&[0x01, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(
            (long.fin, long.opcode, long.header_len, long.payload_len),
            (false, Opcode::Text, 10, 65_536)
        );
        for partial in [&[][..], &[0x81], &[0x81, 126], &[0x81, 126, 1], &[0x81, 127, 0, 0, 0, 0, 0, 0, 0]] {
            assert_eq!(parse_header(partial), Ok(None), "{partial:?}");
        }
    }

    #[test]
    fn faults_are_seen_at_their_first_byte() {
        assert_eq!(parse_header(&[0xC1]), Err(Fault::ReservedBits));
        assert_eq!(parse_header(&[0x83]), Err(Fault::UnknownOpcode(3)));
        assert_eq!(parse_header(&[0x8B]), Err(Fault::UnknownOpcode(11)));
        assert_eq!(parse_header(&[0x09]), Err(Fault::FragmentedControl));
        assert_eq!(parse_header(&[0x81, 0x85]), Err(Fault::Masked));
        assert_eq!(parse_header(&[0x89, 126]), Err(Fault::LongControl));
    }

    proptest! {
        #[test]
        fn client_frames_are_what_an_independent_server_reads(payload in prop::collection::vec(any::<u8>(), 0..70_000usize), mask: [u8; 4]) {
            let mut bytes = Vec::new();
            append_client_frame(&mut bytes, Opcode::Binary, &payload, mask);
            prop_assert_eq!(bytes.len(), client_frame_len(payload.len()));
            let mut server = tungstenite::WebSocket::from_raw_socket(std::io::Cursor::new(bytes), tungstenite::protocol::Role::Server, None);
            prop_assert_eq!(server.read().unwrap(), tungstenite::Message::binary(payload));
        }

        #[test]
        fn mask_undoes_itself_at_every_length(bytes in prop::collection::vec(any::<u8>(), 0..40usize), mask: [u8; 4]) {
            let mut masked = bytes.clone();
            apply_mask(&mut masked, mask);
            for (i, byte) in masked.iter().enumerate() {
                prop_assert_eq!(*byte, bytes[i] ^ mask[i % 4]);
            }
        }

        #[test]
        fn headers_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..16usize)) {
            let _ = parse_header(&bytes);
        }
    }
}
