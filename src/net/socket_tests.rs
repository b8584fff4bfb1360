//! A socket against real peers, and against a scripted transport that cuts the stream at any byte.

use super::super::dial::dial;
use super::super::stream::Received;
use super::super::testing::{
    Owned, certificate, next, request, serve, server_frame, server_tls, upgrade_with,
};
use super::super::tls::Trust;
use super::*;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, WebSocketConfig};

fn connect(url: String, trust: &Trust) -> WsSocket {
    let established = dial(&request(url, trust)).unwrap();
    WsSocket::new(established.stream, &established.leftover, SocketLimits::default()).unwrap()
}

/// A plain connection to a peer that upgrades by hand and then does `behaviour` with raw bytes.
fn raw_peer<R: Send + 'static>(
    behaviour: impl FnOnce(TcpStream) -> R + Send + 'static,
) -> (WsSocket, std::thread::JoinHandle<R>) {
    let (address, thread) = serve(move |mut tcp| {
        upgrade_with(&mut tcp, &[]);
        behaviour(tcp)
    });
    (connect(format!("ws://{address}"), &Trust::nobody()), thread)
}

/// Echoes until the client closes; returns how many messages came.
fn echo(mut server: tungstenite::WebSocket<impl Read + Write>) -> usize {
    let mut count = 0;
    loop {
        match server.read() {
            Ok(message) if message.is_text() || message.is_binary() => {
                count += 1;
                server.send(message).unwrap();
            }
            Ok(_) => {}
            Err(tungstenite::Error::ConnectionClosed) => return count,
            Err(error) => panic!("the server saw {error}"),
        }
    }
}

fn echo_round(mut socket: WsSocket, texts: &[String]) {
    for text in texts {
        assert!(socket.send_text(text.as_bytes()).is_ok());
        let reply = next(&mut socket).unwrap();
        assert_eq!((reply.kind, reply.payload.as_slice()), (MessageKind::Text, text.as_bytes()));
        assert!(reply.last);
    }
    socket.close(1000).unwrap();
    assert_eq!(next(&mut socket), Err(NetError::ClosedByUs));
    assert_eq!(socket.send_text(b"x"), Err(SendError::NotOpen));
}

fn texts() -> Vec<String> {
    [0, 1, 125, 126, 4_096, 65_535, 65_536, 300_000].iter().map(|&len| "é".repeat(len / 2)).collect()
}

#[test]
fn echo_over_plain_tcp_at_every_length_class() {
    let (address, server) = serve(|tcp| echo(tungstenite::accept(tcp).unwrap()));
    let limits = SocketLimits { queue_max: 400_000, ..SocketLimits::default() };
    let established = dial(&request(format!("ws://{address}"), &Trust::nobody())).unwrap();
    assert!(!established.stream.is_tls());
    echo_round(WsSocket::new(established.stream, &established.leftover, limits).unwrap(), &texts());
    assert_eq!(server.join().unwrap(), 8);
}

#[test]
fn a_rehearsed_message_never_reaches_the_peer_nor_waits_to_be_written() {
    let (address, server) = serve(|tcp| echo(tungstenite::accept(tcp).unwrap()));
    let mut socket = connect(format!("ws://{address}"), &Trust::nobody());
    for text in ["first", "second"] {
        socket.rehearse_text(b"imagined");
        assert!(!socket.wants_write());
        assert_eq!(socket.send_text_now(text.as_bytes()), Ok(Handed::Sent));
        socket.rehearse_text(b"imagined");
        assert_eq!(next(&mut socket).unwrap().payload, text.as_bytes());
    }
    socket.close(1000).unwrap();
    socket.rehearse_text(b"imagined");
    assert_eq!(next(&mut socket), Err(NetError::ClosedByUs));
    assert_eq!(server.join().unwrap(), 2, "only what was sent has arrived");
}

#[test]
fn echo_over_tls_with_a_generated_certificate() {
    let (trust, config) = certificate();
    let (address, server) = serve(move |tcp| echo(tungstenite::accept(server_tls(tcp, config)).unwrap()));
    let limits = SocketLimits { queue_max: 400_000, ..SocketLimits::default() };
    let established = dial(&request(format!("wss://{address}"), &trust)).unwrap();
    assert!(established.stream.is_tls());
    echo_round(WsSocket::new(established.stream, &established.leftover, limits).unwrap(), &texts());
    assert_eq!(server.join().unwrap(), 8);
}

#[test]
fn bytes_behind_the_upgrade_reply_are_not_lost() {
    let mut behind = server_frame(0x81, b"first");
    behind.extend(server_frame(0x81, b"second"));
    let third = server_frame(0x81, b"third");
    behind.extend(&third[..3]);
    let (address, server) = serve(move |mut tcp| {
        upgrade_with(&mut tcp, &behind);
        tcp.write_all(&third[3..]).unwrap();
        tcp
    });
    let mut socket = connect(format!("ws://{address}"), &Trust::nobody());
    for expected in ["first", "second", "third"] {
        assert_eq!(next(&mut socket).unwrap().payload, expected.as_bytes());
    }
    drop(server.join().unwrap());
    assert_eq!(next(&mut socket), Err(NetError::Dropped));
}

#[test]
fn bytes_behind_the_upgrade_reply_are_not_lost_over_tls() {
    let (trust, config) = certificate();
    let mut behind = server_frame(0x81, b"first");
    behind.extend(server_frame(0x81, b"second"));
    let (address, server) = serve(move |tcp| {
        let mut tls = server_tls(tcp, config);
        upgrade_with(&mut tls, &behind);
        tls.conn.send_close_notify();
        tls.flush().unwrap();
        tls
    });
    let mut socket = connect(format!("wss://{address}"), &trust);
    assert_eq!(next(&mut socket).unwrap().payload, b"first");
    assert_eq!(next(&mut socket).unwrap().payload, b"second");
    assert_eq!(next(&mut socket), Err(NetError::Dropped));
    drop(server.join().unwrap());
}

#[test]
fn fragments_are_joined_and_pings_between_them_answered() {
    let (mut socket, server) = raw_peer(|mut tcp| {
        let mut bytes = server_frame(0x01, b"one ");
        bytes.extend(server_frame(0x89, b"are you there"));
        bytes.extend(server_frame(0x00, b"two "));
        bytes.extend(server_frame(0x80, b"three"));
        bytes.extend(server_frame(0x82, &[0, 159, 146, 150]));
        tcp.write_all(&bytes).unwrap();
        let config = WebSocketConfig::default();
        let mut server =
            tungstenite::WebSocket::from_raw_socket(tcp, tungstenite::protocol::Role::Server, Some(config));
        server.read().unwrap()
    });
    let ping = next(&mut socket).unwrap();
    assert_eq!((ping.kind, ping.payload.as_slice()), (MessageKind::Ping, &b"are you there"[..]));
    let text = next(&mut socket).unwrap();
    assert_eq!((text.kind, text.payload.as_slice()), (MessageKind::Text, &b"one two three"[..]));
    let binary = next(&mut socket).unwrap();
    assert_eq!((binary.kind, binary.last), (MessageKind::Binary, true));
    assert_eq!(server.join().unwrap(), tungstenite::Message::Pong(b"are you there"[..].into()));
}

#[test]
fn our_ping_is_answered_by_a_pong() {
    let (address, server) = serve(|tcp| echo(tungstenite::accept(tcp).unwrap()));
    let mut socket = connect(format!("ws://{address}"), &Trust::nobody());
    socket.send_ping(b"42").unwrap();
    let pong = next(&mut socket).unwrap();
    assert_eq!((pong.kind, pong.payload.as_slice()), (MessageKind::Pong, &b"42"[..]));
    socket.close(1000).unwrap();
    assert_eq!(next(&mut socket), Err(NetError::ClosedByUs));
    server.join().unwrap();
}

#[test]
fn an_orderly_close_tells_code_and_reason_and_is_answered() {
    let (address, server) = serve(|tcp| {
        let mut server = tungstenite::accept(tcp).unwrap();
        server.send("last words".into()).unwrap();
        server.close(Some(CloseFrame { code: CloseCode::Restart, reason: "maintenance".into() })).unwrap();
        loop {
            match server.read() {
                Ok(_) => {}
                Err(error) => return matches!(error, tungstenite::Error::ConnectionClosed),
            }
        }
    });
    let mut socket = connect(format!("ws://{address}"), &Trust::nobody());
    assert_eq!(next(&mut socket).unwrap().payload, b"last words");
    let error = next(&mut socket).unwrap_err();
    assert_eq!(error, NetError::Closed { code: 1012, reason: "maintenance".to_owned() });
    assert!(error.to_string().contains("1012: maintenance"), "{error}");
    assert_eq!(next(&mut socket), Err(error), "a dead socket says the same again");
    assert!(server.join().unwrap(), "the server saw no answer to its close");
}

#[test]
fn a_server_that_closes_mid_frame_is_told_from_one_that_closes_between() {
    for cut in [1, 2, 3, 50] {
        let (mut socket, server) = raw_peer(move |mut tcp| {
            let mut bytes = server_frame(0x81, b"whole");
            bytes.extend(&server_frame(0x81, &[b'x'; 200])[..cut]);
            tcp.write_all(&bytes).unwrap();
        });
        assert_eq!(next(&mut socket).unwrap().payload, b"whole");
        assert_eq!(next(&mut socket), Err(NetError::BrokenMessage { received: cut }));
        server.join().unwrap();
    }
    let (mut socket, server) = raw_peer(|mut tcp| tcp.write_all(&server_frame(0x01, b"a fragment")).unwrap());
    assert_eq!(next(&mut socket), Err(NetError::BrokenMessage { received: 10 }));
    server.join().unwrap();
}

#[test]
fn an_oversized_message_is_refused_at_its_header() {
    let (mut socket, server) = raw_peer(|mut tcp| {
        tcp.write_all(&[0x81, 127, 0, 0, 0, 0, 0, 8, 0, 1]).unwrap();
        tcp
    });
    assert_eq!(next(&mut socket), Err(NetError::Oversized { size: 524_289, limit: 524_288 }));
    drop(server.join().unwrap());

    let (mut socket, server) = raw_peer(|mut tcp| {
        let mut bytes = server_frame(0x01, &vec![b'a'; 300_000]);
        bytes.extend(server_frame(0x00, &vec![b'b'; 300_000]));
        let _ = tcp.write_all(&bytes);
    });
    assert_eq!(
        next(&mut socket),
        Err(NetError::Oversized { size: 600_000, limit: 524_288 }),
        "fragments count together"
    );
    drop(socket);
    server.join().unwrap();
}

#[test]
fn the_largest_message_passes() {
    let (mut socket, server) = raw_peer(|mut tcp| {
        tcp.write_all(&server_frame(0x81, b"before")).unwrap();
        tcp.write_all(&server_frame(0x82, &vec![7; 512 * 1024])).unwrap();
        tcp.write_all(&server_frame(0x81, b"after")).unwrap();
    });
    assert_eq!(next(&mut socket).unwrap().payload, b"before");
    assert_eq!(next(&mut socket).unwrap().payload, vec![7; 512 * 1024]);
    assert_eq!(next(&mut socket).unwrap().payload, b"after");
    server.join().unwrap();
}

#[test]
fn binary_garbage_is_a_protocol_error() {
    let (mut socket, server) = raw_peer(|mut tcp| tcp.write_all(&[0xFF, 0xFE, 0x00, 0x13, 0x37]).unwrap());
    assert_eq!(next(&mut socket), Err(NetError::Protocol(Fault::ReservedBits)));
    server.join().unwrap();
}

#[test]
fn a_peer_that_does_not_read_makes_writes_wait_and_loses_nothing() {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let (address, server) = serve(move |tcp| {
        let mut server = tungstenite::accept(tcp).unwrap();
        wait.recv().unwrap();
        let mut received = Vec::new();
        loop {
            match server.read() {
                Ok(message) if message.is_text() => received.push(message.to_text().unwrap().to_owned()),
                Ok(_) => {}
                Err(_) => return received,
            }
        }
    });
    let mut socket = connect(format!("ws://{address}"), &Trust::nobody());
    let filler = "y".repeat(20_000);
    let mut accepted = 0usize;
    let mut queued = 0;
    loop {
        match socket.send_text(format!("{accepted} {filler}").as_bytes()) {
            Ok(handed) => {
                accepted += 1;
                queued += usize::from(handed == Handed::Queued);
            }
            Err(error) => {
                assert_eq!(error, SendError::NotWritable);
                break;
            }
        }
        assert!(accepted < 100_000, "the peer never pushed back");
    }
    assert!(queued > 0 && socket.wants_write());
    assert_eq!(socket.send_text_now(b"an order"), Err(SendError::NotWritable), "orders don't queue");
    go.send(()).unwrap();
    while !socket.flush().unwrap() {
        std::thread::yield_now();
    }
    assert_eq!(socket.send_text_now(b"an order"), Ok(Handed::Sent));
    socket.close(1000).unwrap();
    assert_eq!(next(&mut socket), Err(NetError::ClosedByUs));
    let received = server.join().unwrap();
    assert_eq!(received.len(), accepted + 1);
    for (index, text) in received[..accepted].iter().enumerate() {
        assert!(text.starts_with(&format!("{index} yyy")) && text.len() > 20_000);
    }
    assert_eq!(received[accepted], "an order");
}

/// Gives a byte stream in pieces with a `WouldBlock` between them, and takes writes in pieces.
#[derive(Default)]
struct Script {
    pieces: VecDeque<Vec<u8>>,
    blocked: bool,
    /// How many bytes the next writes take; empty = everything.
    takes: VecDeque<usize>,
    sent: Vec<u8>,
}

impl Transport for Script {
    fn receive(&mut self, to: &mut [u8]) -> io::Result<Received> {
        if !self.blocked {
            self.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let Some(mut piece) = self.pieces.pop_front() else { return Ok(Received { len: 0, drained: true }) };
        if piece.len() > to.len() {
            self.pieces.push_front(piece.split_off(to.len()));
        } else {
            self.blocked = false;
        }
        to[..piece.len()].copy_from_slice(&piece);
        Ok(Received { len: piece.len(), drained: piece.len() < to.len() })
    }

    fn transmit(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let take = self.takes.pop_front().unwrap_or(bytes.len()).min(bytes.len());
        if take == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.sent.extend_from_slice(&bytes[..take]);
        Ok(take)
    }

    fn push(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn holds_back(&self) -> bool {
        false
    }
}

const SMALL: SocketLimits = SocketLimits { message_max: 1_000, read_max: 64, queue_max: 256 };

fn scripted(pieces: Vec<Vec<u8>>) -> WsSocket<Script> {
    WsSocket::new(Script { pieces: pieces.into(), ..Script::default() }, &[], SMALL).unwrap()
}

#[test]
fn the_last_message_of_a_read_is_marked() {
    let mut both = server_frame(0x81, b"a");
    both.extend(server_frame(0x81, b"b"));
    let third = server_frame(0x81, b"c");
    both.push(third[0]);
    let mut socket = scripted(vec![both, third[1..].to_vec()]);
    assert_eq!(socket.read(), Ok(None));
    let marks: Vec<(Vec<u8>, bool)> =
        (0..3).map(|_| next(&mut socket).unwrap()).map(|m| (m.payload, m.last)).collect();
    assert_eq!(marks, [(b"a".to_vec(), false), (b"b".to_vec(), true), (b"c".to_vec(), true)]);
}

#[test]
fn a_full_read_is_not_drained_and_a_short_one_is() {
    let mut socket = scripted(vec![server_frame(0x81, &[b'x'; 62]), server_frame(0x81, b"y")]);
    let first = next(&mut socket).unwrap();
    assert_eq!((first.payload.len(), first.drained), (62, false));
    assert!(!socket.is_drained());
    assert!(next(&mut socket).unwrap().drained && socket.is_drained());
}

#[test]
fn an_order_that_the_socket_does_not_take_is_taken_back() {
    let mut socket = scripted(vec![]);
    socket.transport_mut().takes = VecDeque::from([0]);
    assert_eq!(socket.send_text_now(b"order"), Err(SendError::NotWritable));
    assert!(!socket.wants_write() && socket.transport().sent.is_empty());
    socket.transport_mut().takes = VecDeque::from([3, 0]);
    assert_eq!(socket.send_text_now(b"order"), Ok(Handed::Queued), "begun is begun");
    assert_eq!(socket.transport().sent.len(), 3);
    assert_eq!(socket.flush(), Ok(true));
    assert_eq!(socket.transport().sent.len(), frame::client_frame_len(5));
}

#[test]
fn a_pong_without_room_is_paid_after_a_flush() {
    let mut socket =
        scripted(vec![server_frame(0x89, b"first"), server_frame(0x89, b"second"), server_frame(0x81, b"t")]);
    socket.transport_mut().takes = VecDeque::from([1, 0, 0, 0]);
    assert_eq!(socket.send_text(&[b'f'; 240]), Ok(Handed::Queued));
    assert_eq!(socket.send_text(&[b'f'; 240]), Err(SendError::NotWritable));
    let kinds: Vec<MessageKind> = (0..3).map(|_| loop_read(&mut socket).kind).collect();
    assert_eq!(kinds, [MessageKind::Ping, MessageKind::Ping, MessageKind::Text]);
    while !socket.flush().unwrap() {}
    let mut server = tungstenite::WebSocket::from_raw_socket(
        io::Cursor::new(socket.transport().sent.clone()),
        tungstenite::protocol::Role::Server,
        None,
    );
    assert_eq!(server.read().unwrap().len(), 240);
    assert_eq!(
        server.read().unwrap(),
        tungstenite::Message::Pong(b"second"[..].into()),
        "only the latest is answered"
    );
}

fn loop_read(socket: &mut WsSocket<Script>) -> Owned {
    loop {
        if let Some(message) = socket.read().unwrap() {
            return message.into();
        }
    }
}

#[test]
fn close_codes_of_odd_length_and_protocol_faults_end_the_connection() {
    let cases: Vec<(Vec<u8>, NetError)> = vec![
        (server_frame(0x88, &[3]), NetError::Protocol(Fault::CloseLength)),
        (server_frame(0x88, &[]), NetError::Closed { code: 1005, reason: String::new() }),
        (server_frame(0x80, b"x"), NetError::Protocol(Fault::OrphanContinuation)),
        (
            [server_frame(0x01, b"x"), server_frame(0x81, b"y")].concat(),
            NetError::Protocol(Fault::UnfinishedFragments),
        ),
        (vec![0x81, 0x80], NetError::Protocol(Fault::Masked)),
        (server_frame(0x81, &[b'x'; 1_001]), NetError::Oversized { size: 1_001, limit: 1_000 }),
    ];
    for (bytes, expected) in cases {
        assert_eq!(next(&mut scripted(vec![bytes])), Err(expected));
    }
}

proptest! {
    /// However the network cuts the stream, the same messages come out, and the end is named rightly.
    #[test]
    fn messages_survive_any_cut(
        lengths in prop::collection::vec(0usize..300, 1..12),
        fragment in prop::collection::vec(any::<bool>(), 12),
        cuts in prop::collection::vec(1usize..80, 1..60),
        lost in 0usize..40,
    ) {
        let mut stream = Vec::new();
        let mut messages = Vec::new();
        let mut ends = Vec::new();
        for (index, &length) in lengths.iter().enumerate() {
            let payload: Vec<u8> = (0..length).map(|at| (at * 7 + index) as u8).collect();
            if fragment[index] {
                let middle = length / 3;
                stream.extend(server_frame(0x02, &payload[..middle]));
                stream.extend(server_frame(0x80, &payload[middle..]));
            } else {
                stream.extend(server_frame(0x82, &payload));
            }
            messages.push(payload);
            ends.push(stream.len());
        }
        stream.truncate(stream.len() - lost.min(stream.len()));
        let whole = ends.iter().filter(|&&end| end <= stream.len()).count();
        let at_boundary = stream.is_empty() || ends.contains(&stream.len());
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        for &cut in cuts.iter().cycle() {
            if rest.is_empty() { break }
            let (piece, after) = rest.split_at(cut.min(rest.len()));
            pieces.push(piece.to_vec());
            rest = after;
        }
        let mut socket = scripted(pieces);
        for expected in &messages[..whole] {
            prop_assert_eq!(&next(&mut socket).unwrap().payload, expected);
        }
        match next(&mut socket) {
            Err(NetError::Dropped) => prop_assert!(at_boundary),
            Err(NetError::BrokenMessage { received }) => prop_assert!(!at_boundary && received > 0),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn garbage_never_panics_and_always_ends(bytes in prop::collection::vec(any::<u8>(), 0..400usize)) {
        let mut socket = scripted(vec![bytes]);
        while next(&mut socket).is_ok() {}
    }
}
