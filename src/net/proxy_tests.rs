//! Against small proxies that speak the protocols over loopback, plain and with TLS inside the tunnel.

use super::super::dial::{DialError, dial};
use super::super::http::{HttpCall, HttpClient, HttpError};
use super::super::testing::{certificate, request, serve};
use super::super::tls::Trust;
use super::*;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

const USER: &str = "user:proxy-canary-password";

/// What the small proxy does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    Login,
    Closes,
    Refuses,
}

/// A proxy for one connection; hands out the target that was asked for.
fn proxy(socks: bool, mode: Mode) -> (String, JoinHandle<Option<String>>) {
    serve(
        move |mut client| if socks { socks_side(&mut client, mode) } else { connect_side(&mut client, mode) },
    )
}

fn byte(from: &mut TcpStream) -> Option<u8> {
    let mut one = [0];
    from.read_exact(&mut one).ok().map(|()| one[0])
}

fn bytes(from: &mut TcpStream, count: usize) -> Option<Vec<u8>> {
    (0..count).map(|_| byte(from)).collect()
}

fn connect_side(client: &mut TcpStream, mode: Mode) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(byte(client)?);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    // base64 of USER, from an independent tool.
    let known = head.contains("Proxy-Authorization: Basic dXNlcjpwcm94eS1jYW5hcnktcGFzc3dvcmQ=\r\n");
    match mode {
        Mode::Closes => return Some(target),
        Mode::Refuses => client.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n").ok()?,
        Mode::Login if !known => {
            client
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                .ok()?;
        }
        _ => {
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
            relay(client, &target);
        }
    }
    Some(target)
}

fn socks_side(client: &mut TcpStream, mode: Mode) -> Option<String> {
    let count = bytes(client, 2)?[1];
    let methods = bytes(client, usize::from(count))?;
    if mode == Mode::Closes {
        return None;
    }
    if mode == Mode::Login {
        if !methods.contains(&2) {
            client.write_all(&[5, 0xFF]).ok()?;
            return None;
        }
        client.write_all(&[5, 2]).ok()?;
        let length = usize::from(bytes(client, 2)?[1]);
        let user = bytes(client, length)?;
        let length = usize::from(byte(client)?);
        let password = bytes(client, length)?;
        let good = [user, password].join(&b':') == USER.as_bytes();
        client.write_all(&[1, u8::from(!good)]).ok()?;
        if !good {
            return None;
        }
    } else {
        client.write_all(&[5, 0]).ok()?;
    }
    let head = bytes(client, 5)?;
    assert_eq!(head[..4], [5, 1, 0, 3], "the proxy resolves the name");
    let host = String::from_utf8(bytes(client, usize::from(head[4]))?).ok()?;
    let port = bytes(client, 2)?;
    let target = format!("{host}:{}", u16::from_be_bytes([port[0], port[1]]));
    client.write_all(&[5, if mode == Mode::Refuses { 5 } else { 0 }, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
    if mode != Mode::Refuses {
        relay(client, &target);
    }
    Some(target)
}

/// Copies both ways until both sides are done.
fn relay(client: &TcpStream, target: &str) {
    let server = TcpStream::connect(target).unwrap();
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let up = std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let _ = std::io::copy(&mut &server, &mut &*client);
    let _ = client.shutdown(std::net::Shutdown::Both);
    up.join().unwrap();
}

fn address(socks: bool, at: &str, login: &str) -> Arc<Proxy> {
    let scheme = if socks { "socks5" } else { "http" };
    let at = if login.is_empty() { at.to_owned() } else { format!("{login}@{at}") };
    Arc::new(Proxy::parse(&format!("{scheme}://{at}")).unwrap())
}

/// A server of WebSockets that echoes one message.
fn echo() -> (String, JoinHandle<()>) {
    serve(|tcp| {
        let mut socket = tungstenite::accept(tcp).unwrap();
        let message = socket.read().unwrap();
        socket.send(message).unwrap();
        let _ = socket.read();
    })
}

#[test]
fn websockets_go_through_both_kinds_of_proxies_with_and_without_credentials() {
    for socks in [false, true] {
        for (mode, login) in [(Mode::Open, ""), (Mode::Open, USER), (Mode::Login, USER)] {
            let (venue, server) = echo();
            let (at, passed) = proxy(socks, mode);
            let mut call = request(format!("ws://{venue}"), &Trust::nobody());
            call.proxy = Some(address(socks, &at, login));
            let made = dial(&call).unwrap();
            let limits = super::super::SocketLimits::default();
            let mut socket = super::super::WsSocket::new(made.stream, &made.leftover, limits).unwrap();
            socket.send_text(b"hello").unwrap();
            assert_eq!(super::super::testing::next(&mut socket).unwrap().payload, b"hello");
            drop(socket);
            server.join().unwrap();
            assert_eq!(passed.join().unwrap(), Some(venue));
        }
    }
}

#[test]
fn http_goes_through_both_kinds_of_proxies_plain_and_with_tls_inside() {
    let (trust, tls) = certificate();
    for socks in [false, true] {
        for secure in [false, true] {
            let tls = Arc::clone(&tls);
            let (venue, server) = serve(move |tcp| {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
                fn talk(mut wire: impl Read + Write, answer: &[u8]) {
                    let mut head = Vec::new();
                    let mut one = [0];
                    while !head.ends_with(b"\r\n\r\n") {
                        wire.read_exact(&mut one).unwrap();
                        head.push(one[0]);
                    }
                    wire.write_all(answer).unwrap();
                    wire.flush().unwrap();
                }
                if secure {
                    let session = rustls::ServerConnection::new(tls).unwrap();
                    talk(rustls::StreamOwned::new(session, tcp), answer);
                } else {
                    talk(tcp, answer);
                }
            });
            let (at, passed) = proxy(socks, Mode::Login);
            let client =
                HttpClient::through(&trust, Duration::from_secs(20), Some(address(socks, &at, USER)));
            let base = if secure { format!("https://{venue}") } else { format!("http://{venue}") };
            let call = HttpCall { method: "GET", base: &base, path_and_query: "/x", headers: &[], body: b"" };
            let reply = client.request(&call).unwrap();
            assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hi"[..]));
            drop(client);
            server.join().unwrap();
            assert_eq!(passed.join().unwrap(), Some(venue));
        }
    }
}

#[test]
fn refusals_say_who_and_why_and_no_password() {
    for socks in [false, true] {
        for (mode, login, expected) in [
            (Mode::Login, "", "refused our credentials"),
            (Mode::Login, "user:wrong-canary-password", "refused our credentials"),
            (Mode::Refuses, USER, "refused to connect to venue.invalid:443"),
            (Mode::Closes, USER, "broke off"),
        ] {
            let (at, passed) = proxy(socks, mode);
            let mut call = request("wss://venue.invalid".to_owned(), &Trust::nobody());
            call.proxy = Some(address(socks, &at, login));
            let error = dial(&call).err().unwrap();
            let said = format!("{error} {error:?} {call:?}");
            assert!(matches!(error, DialError::Proxy(_)), "{said}");
            assert!(said.contains(expected) && said.contains(&at), "{said}");
            assert!(!said.contains("canary"), "{said}");
            passed.join().unwrap();

            let (at, passed) = proxy(socks, mode);
            let client = HttpClient::through(
                &Trust::nobody(),
                Duration::from_secs(20),
                Some(address(socks, &at, login)),
            );
            let base = "https://venue.invalid";
            let call = HttpCall { method: "POST", base, path_and_query: "/order", headers: &[], body: b"x" };
            let error = client.request(&call).unwrap_err();
            let said = format!("{error} {error:?}");
            assert!(matches!(error, HttpError::Connect { .. }) && error.not_sent(), "{said}");
            assert!(said.contains(expected) && !said.contains("canary"), "{said}");
            passed.join().unwrap();
        }
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut call = request("wss://venue.invalid".to_owned(), &Trust::nobody());
    call.proxy = Some(address(true, &closed, USER));
    assert!(dial(&call).err().unwrap().to_string().contains(&closed), "the proxy itself is away");
}

#[test]
fn addresses_are_read_and_never_shown_with_credentials() {
    let full = Proxy::parse("http://us%40er:p%3Ass@[::1]:8080").unwrap();
    assert_eq!(full.login, Some(("us@er".to_owned(), "p:ss".to_owned())));
    assert_eq!((full.at.host.as_str(), full.at.port), ("::1", 8080));
    assert_eq!(format!("{:?}", Proxy::parse("socks5://a:canary@h:1").unwrap()), "Proxy(socks5://h:1)");
    for wrong in
        ["h:1", "ftp://h:1", "http://h", "http://u:canary%zz@h:1", "socks5://:canary@h:1", "http://h:99999"]
    {
        let error = Proxy::parse(wrong).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
    assert_eq!(base64(b"user:pass"), "dXNlcjpwYXNz");
}
