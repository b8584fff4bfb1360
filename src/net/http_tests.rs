//! HTTP against hand-written replies over real sockets.

use super::super::testing::{certificate, read_head, serve, server_tls};
use super::*;
use std::cell::Cell;
use std::io::{Read, Write};
use std::rc::Rc;

const QUERY: &str = "/fapi/v1/order?symbol=BTCUSDT&signature=CANARY";

fn client(trust: &Trust) -> HttpClient {
    HttpClient::new(trust, Duration::from_secs(20))
}

fn get(base: &str) -> HttpCall<'_> {
    HttpCall { method: "GET", base, path_and_query: QUERY, headers: &[("X-MBX-APIKEY", "CANARY")], body: &[] }
}

fn fails(client: &HttpClient, call: &HttpCall<'_>) -> HttpError {
    let error = client.request(call).unwrap_err();
    let text = format!("{error} {error:?} {call:?}");
    assert!(!text.contains("CANARY") && !text.contains("signature"), "a secret leaks: {text}");
    error
}

/// Answers one request with `reply`; returns head and body.
fn answer(reply: Vec<u8>, body_len: usize) -> (String, std::thread::JoinHandle<(String, Vec<u8>)>) {
    let (address, server) = serve(move |mut tcp| {
        let head = read_head(&mut tcp);
        let mut body = vec![0; body_len];
        tcp.read_exact(&mut body).unwrap();
        let _ = tcp.write_all(&reply);
        (head, body)
    });
    (format!("http://{address}"), server)
}

#[test]
fn a_reply_comes_with_status_headers_and_body() {
    let reply = b"HTTP/1.1 200 OK\r\nX-MBX-USED-WEIGHT-1M: 17\r\nContent-Length: 11\r\n\r\n{\"a\":\"b c\"}";
    let (base, server) = answer(reply.to_vec(), 0);
    let reply = client(&Trust::nobody()).request(&get(&base)).unwrap();
    assert_eq!(
        (reply.status, reply.body.as_slice(), reply.retry_after_s),
        (200, &b"{\"a\":\"b c\"}"[..], None)
    );
    assert!(reply.headers.contains(&("x-mbx-used-weight-1m".to_owned(), "17".to_owned())));
    let (head, _) = server.join().unwrap();
    assert!(head.starts_with(&format!("GET {QUERY} HTTP/1.1\r\n")), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\nx-mbx-apikey: canary\r\n"), "{head}");
}

#[test]
fn refusals_are_replies_and_redirects_are_not_followed() {
    let limited = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 30\r\nContent-Length: 2\r\n\r\n{}";
    let (base, server) = answer(limited.to_vec(), 0);
    let reply = client(&Trust::nobody()).request(&get(&base)).unwrap();
    assert_eq!((reply.status, reply.retry_after_s, reply.body.as_slice()), (429, Some(30), &b"{}"[..]));
    server.join().unwrap();
    let moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let (base, server) = answer(moved.to_vec(), 0);
    assert_eq!(client(&Trust::nobody()).request(&get(&base)).unwrap().status, 302);
    server.join().unwrap();
}

#[test]
fn a_post_sends_its_body_and_an_empty_one_its_length() {
    for body in [&b"{\"x\":1}"[..], b""] {
        let (base, server) = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec(), body.len());
        let call = HttpCall { method: "POST", body, ..get(&base) };
        assert_eq!(client(&Trust::nobody()).request(&call).unwrap().status, 200);
        let (head, received) = server.join().unwrap();
        assert_eq!(received, body);
        assert!(head.to_ascii_lowercase().contains(&format!("content-length: {}\r\n", body.len())), "{head}");
    }
}

#[test]
fn https_needs_a_trusted_certificate() {
    let (trust, config) = certificate();
    let serve_once = |config: std::sync::Arc<rustls::ServerConfig>| {
        serve(move |tcp| {
            let mut tls = server_tls(tcp, config);
            let mut byte = [0; 1];
            if tls.read(&mut byte).is_ok() {
                let _ = tls.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
                let _ = tls.flush();
                let _ = tls.read(&mut [0; 4096]);
            }
        })
    };
    let (address, server) = serve_once(config.clone());
    assert_eq!(client(&trust).request(&get(&format!("https://{address}"))).unwrap().body, b"ok");
    server.join().unwrap();
    let (address, server) = serve_once(config);
    let error = fails(&client(&certificate().0), &get(&format!("https://{address}")));
    assert!(matches!(error, HttpError::Tls { .. }), "{error:?}");
    server.join().unwrap();
}

#[test]
fn failures_say_whether_the_request_may_have_been_executed() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let refused = fails(&client(&Trust::nobody()), &get(&format!("http://{free}")));
    assert!(matches!(refused, HttpError::Connect { .. }) && refused.not_sent(), "{refused:?}");
    let unknown = fails(&client(&Trust::nobody()), &get("http://no-such-host.invalid"));
    assert!(unknown.not_sent(), "{unknown:?}");
    let (base, server) = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut".to_vec(), 0);
    let cut = fails(&client(&Trust::nobody()), &get(&base));
    assert!(matches!(cut, HttpError::Broken { .. }) && !cut.not_sent(), "{cut:?}");
    server.join().unwrap();
    let (base, server) = answer(b"\x00\x01garbage\r\n\r\n".to_vec(), 0);
    assert!(matches!(fails(&client(&Trust::nobody()), &get(&base)), HttpError::Broken { .. }));
    server.join().unwrap();
}

#[test]
fn a_silent_server_runs_into_the_timeout() {
    let (address, server) = serve(|mut tcp| {
        let head = read_head(&mut tcp);
        let _ = tcp.read(&mut [0]);
        head
    });
    let impatient = HttpClient::new(&Trust::nobody(), Duration::from_millis(60));
    let error = fails(&impatient, &get(&format!("http://{address}")));
    assert!(matches!(error, HttpError::Timeout { .. }), "{error:?}");
    server.join().unwrap();
}

#[test]
fn an_endless_body_is_cut_off() {
    let (address, server) = serve(|mut tcp| {
        read_head(&mut tcp);
        let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
        let block = vec![b'x'; 1 << 20];
        while tcp.write_all(&block).is_ok() {}
    });
    let error = fails(&client(&Trust::nobody()), &get(&format!("http://{address}")));
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
    server.join().unwrap();
}

#[test]
fn requests_that_cannot_be_expressed_are_not_sent() {
    let base = "http://127.0.0.1:1";
    let client = client(&Trust::nobody());
    assert!(fails(&client, &HttpCall { path_and_query: "fapi?CANARY", ..get(base) }).not_sent());
    assert!(fails(&client, &HttpCall { path_and_query: "/a b?CANARY", ..get(base) }).not_sent());
    assert!(fails(&client, &HttpCall { headers: &[("X", "CANARY\r\nY: z")], ..get(base) }).not_sent());
    assert!(fails(&client, &get("ftp://127.0.0.1")).not_sent());
}

#[test]
fn a_request_that_is_no_longer_wanted_when_its_connection_stands_is_not_written() {
    let (asked, more) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let gate: Gate = {
        let (asked, more) = (Rc::clone(&asked), Rc::clone(&more));
        Rc::new(move || {
            asked.set(asked.get() + 1);
            asked.get() <= more.get()
        })
    };
    let (address, server) = serve(|mut tcp| tcp.read(&mut [0; 64]).unwrap_or(0));
    let base = format!("http://{address}");
    let client = client(&Trust::nobody());
    let refused = client.request_if(&get(&base), &gate).unwrap_err();
    assert!(matches!(refused, HttpError::Withdrawn { .. }) && refused.not_sent());
    assert_eq!(asked.get(), 1, "closed already: no connection is made");
    // Open at first, closed when the connection stands.
    more.set(2);
    let refused = client.request_if(&get(&base), &gate).unwrap_err();
    assert!(matches!(refused, HttpError::Withdrawn { .. }), "{refused}");
    assert_eq!(asked.get(), 3);
    assert_eq!(server.join().unwrap(), 0, "not a byte was written");
    // The gate is the request's, not the thread's for ever.
    let (base, server) = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}".to_vec(), 0);
    assert_eq!(client.request(&get(&base)).unwrap().status, 200);
    server.join().unwrap();
}
