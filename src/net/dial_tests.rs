//! Dialling against peers that behave, misbehave, and don't exist.

use super::super::testing::{accept_key, certificate, read_head, request, serve, server_tls};
use super::super::tls::Trust;
use super::*;

fn fails(url: String, trust: &Trust) -> DialError {
    match dial(&request(url, trust)) {
        Ok(_) => panic!("the dial should fail"),
        Err(error) => {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("CANARY") && !text.contains("listenKey"), "the query leaks: {text}");
            error
        }
    }
}

/// Dials a server that answers the upgrade with whatever `reply` makes of the request's head.
fn answer(reply: impl FnOnce(&str) -> String + Send + 'static) -> DialError {
    let (address, server) = serve(move |mut tcp| {
        let head = read_head(&mut tcp);
        tcp.write_all(reply(&head).as_bytes()).unwrap();
    });
    let error = fails(format!("ws://{address}"), &Trust::nobody());
    server.join().unwrap();
    error
}

#[test]
fn the_request_is_a_complete_upgrade() {
    let (address, server) = serve(|mut tcp| {
        let head = read_head(&mut tcp);
        let reply = format!(
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
            accept_key(&head)
        );
        tcp.write_all(reply.as_bytes()).unwrap();
        head
    });
    let established = dial(&request(format!("ws://{address}"), &Trust::nobody())).unwrap();
    assert!(established.leftover.is_empty());
    assert!(established.stream.tcp().nodelay().unwrap());
    let head = server.join().unwrap();
    assert!(head.starts_with("GET /ws?listenKey=CANARY HTTP/1.1\r\n"), "{head}");
    assert!(
        head.contains(&format!("\r\nHost: {address}\r\n"))
            && head.contains("\r\nSec-WebSocket-Version: 13\r\n")
    );
}

#[test]
fn a_refused_upgrade_names_the_status_and_what_to_do() {
    let error = answer(|_| "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n".to_owned());
    assert!(matches!(error, DialError::Refused { status: 429, .. }));
    assert!(error.to_string().contains("rate"), "{error}");
    assert!(matches!(
        answer(|_| "HTTP/1.1 404 Not Found\r\n\r\n".to_owned()),
        DialError::Refused { status: 404, .. }
    ));
}

#[test]
fn invalid_upgrade_replies_are_named() {
    let what = |error| match error {
        DialError::Upgrade { what, .. } => what,
        other => panic!("{other}"),
    };
    assert!(what(answer(|_| "SSH-2.0-OpenSSH_9.6\r\n\r\n".to_owned())).contains("not HTTP"));
    let wrong_key =
        "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
    assert!(what(answer(|_| wrong_key.to_owned())).contains("Accept"));
    assert!(what(answer(|_| "HTTP/1.1 101 OK\r\n\r\n".to_owned())).contains("Upgrade"));
    let extension = |head: &str| {
        format!(
            "HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\
             Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
            accept_key(head)
        )
    };
    assert!(what(answer(extension)).contains("extension"));
    assert!(what(answer(|_| format!("HTTP/1.1 101 OK\r\nX: {}", "y".repeat(20_000)))).contains("longer"));
}

#[test]
fn a_peer_that_hangs_up_breaks_the_upgrade() {
    let error = answer(|_| "HTTP/1.1 101".to_owned());
    assert!(matches!(error, DialError::Broken { step: "WebSocket upgrade", .. }), "{error}");
}

#[test]
fn a_silent_peer_runs_into_the_timeout() {
    let (address, server) = serve(|mut tcp| {
        let head = read_head(&mut tcp);
        let _ = tcp.read(&mut [0]); // until the client gives up
        head
    });
    let mut impatient = request(format!("ws://{address}"), &Trust::nobody());
    impatient.timeout = Duration::from_millis(50);
    assert!(matches!(dial(&impatient), Err(DialError::Timeout { step: "WebSocket upgrade", .. })));
    server.join().unwrap();
}

#[test]
fn nobody_listening_and_unknown_names_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(fails(format!("ws://{free}"), &Trust::nobody()), DialError::Connect { .. }));
    let error = fails("ws://no-such-host.invalid".to_owned(), &Trust::nobody());
    assert!(matches!(error, DialError::Dns { .. }), "{error}");
    assert!(error.to_string().contains("no-such-host.invalid:80"));
}

#[test]
fn an_untrusted_certificate_is_refused() {
    let (_, config) = certificate();
    let (someone_else, _) = certificate();
    let (address, server) = serve(move |tcp| {
        let mut tls = server_tls(tcp, config);
        let _ = tls.read(&mut [0]);
    });
    assert!(matches!(fails(format!("wss://{address}"), &someone_else), DialError::Tls { .. }));
    server.join().unwrap();
}

#[test]
fn a_plain_server_behind_wss_is_not_a_hang() {
    let (address, server) = serve(|mut tcp| {
        let _ = tcp.read(&mut [0; 512]);
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    assert!(matches!(fails(format!("wss://{address}"), &Trust::nobody()), DialError::Tls { .. }));
    server.join().unwrap();
}

#[test]
fn a_path_that_would_break_the_request_is_refused() {
    for path in ["", "ws", "/a b", "/a\r\nX: y"] {
        let mut bad = request("ws://127.0.0.1:1".to_owned(), &Trust::nobody());
        bad.path_and_query = path.to_owned();
        assert!(matches!(dial(&bad), Err(DialError::Path { .. })), "{path:?}");
    }
}

#[test]
fn a_request_does_not_show_its_path() {
    let shown = format!("{:?}", request("ws://h".to_owned(), &Trust::nobody()));
    assert!(shown.contains("ws://h") && !shown.contains("CANARY"), "{shown}");
}
