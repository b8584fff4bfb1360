//! HTTP/1.1 as far as a venue's REST service and WebSocket upgrades need it: requests in, replies out.
//!
//! Pure functions over bytes with hard limits; whatever is not understood becomes a status and the end of the
//! connection, never a guess. RFC 9112, RFC 6455 §4.2.

use crate::sim::{HttpReply, HttpRequest};

/// Longest request line plus headers, bytes.
pub(super) const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Longest request body, bytes.
pub(super) const BODY_BYTES_MAX: usize = 1024 * 1024;
const HEADERS_MAX: usize = 64;

/// What the bytes received so far amount to.
#[derive(Debug)]
pub(super) enum Parsed {
    /// Not a whole request yet. `expects_continue`: the client waits for leave to send the body.
    Partial { expects_continue: bool },
    /// A request; `length` bytes of the input belong to it.
    Request { request: HttpRequest, length: usize, keep_alive: bool, upgrade: Option<Upgrade> },
    /// Not acceptable: reply with this status and close.
    Refused { status: u16, reason: &'static str },
}

/// A WebSocket upgrade request.
#[derive(Debug)]
pub(super) struct Upgrade {
    /// `Sec-WebSocket-Key`.
    pub(super) key: String,
}

/// Reads one request from the front of `input`.
pub(super) fn parse(input: &[u8]) -> Parsed {
    let refused = |status, reason| Parsed::Refused { status, reason };
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let head_length = match head.parse(input) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_BYTES_MAX => length,
        Ok(httparse::Status::Partial) if input.len() < HEAD_BYTES_MAX => {
            return Parsed::Partial { expects_continue: false };
        }
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return refused(431, "request head too large"),
        Err(_) => return refused(400, "malformed request"),
    };
    let (Some(method), Some(target), Some(version)) = (head.method, head.path, head.version) else {
        return refused(400, "malformed request line");
    };
    let mut request = HttpRequest { method: method.to_owned(), ..HttpRequest::default() };
    for header in head.headers.iter() {
        let Ok(value) = std::str::from_utf8(header.value) else {
            return refused(400, "header is not text");
        };
        request.headers.push((header.name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    // Absolute form ("GET http://host/path") is what proxies send.
    let target = target
        .strip_prefix("http://")
        .or_else(|| target.strip_prefix("https://"))
        .map_or(target, |rest| rest.find('/').map_or("/", |at| &rest[at..]));
    if !target.starts_with('/') {
        return refused(400, "malformed request target");
    }
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    request.path = path.to_owned();
    request.query = query.to_owned();

    let has_token = |name: &str, token: &str| {
        let mut values = request.headers.iter().filter(|(header, _)| header == name);
        values.any(|(_, value)| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    let header = |name: &str| {
        request.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    };
    if header("transfer-encoding").is_some() {
        return refused(411, "a body needs Content-Length");
    }
    let mut lengths =
        request.headers.iter().filter(|(name, _)| name == "content-length").map(|(_, value)| value);
    let body_length = match (lengths.next(), lengths.next()) {
        (None, _) => 0,
        (Some(text), None) if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => {
            match text.parse::<usize>() {
                Ok(length) if length <= BODY_BYTES_MAX => length,
                _ => return refused(413, "body too large"),
            }
        }
        _ => return refused(400, "malformed Content-Length"),
    };
    let length = head_length + body_length;
    let keep_alive =
        if version == 1 { !has_token("connection", "close") } else { has_token("connection", "keep-alive") };
    let expects_continue = header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"));
    let upgrade = if has_token("upgrade", "websocket") && has_token("connection", "upgrade") {
        match (method, header("sec-websocket-version"), header("sec-websocket-key")) {
            ("GET", Some("13"), Some(key)) if key.len() == 24 => Some(Upgrade { key: key.to_owned() }),
            ("GET", Some("13"), _) => return refused(400, "malformed Sec-WebSocket-Key"),
            ("GET", _, _) => return refused(426, "WebSocket version 13 is needed"),
            _ => return refused(400, "a WebSocket upgrade must be a GET"),
        }
    } else {
        None
    };
    let Some(body) = input.get(head_length..length) else {
        return Parsed::Partial { expects_continue };
    };
    request.body = body.to_vec();
    Parsed::Request { request, length, keep_alive, upgrade }
}

/// Appends a reply to `output`. `with_body` is false for `HEAD`.
pub(super) fn render(reply: &HttpReply, keep_alive: bool, with_body: bool, output: &mut Vec<u8>) {
    let mut head = format!("HTTP/1.1 {} {}\r\n", reply.status, reason(reply.status));
    let stated = |name: &str| reply.headers.iter().any(|(header, _)| header.eq_ignore_ascii_case(name));
    if !stated("content-type") {
        head.push_str("Content-Type: application/json; charset=utf-8\r\n");
    }
    for (name, value) in &reply.headers {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    }
    head.push_str(if keep_alive { "Connection: keep-alive\r\n" } else { "Connection: close\r\n" });
    head.push_str(&format!("Content-Length: {}\r\n\r\n", reply.body.len()));
    output.extend_from_slice(head.as_bytes());
    if with_body {
        output.extend_from_slice(&reply.body);
    }
}

/// The refusal of a request that never reached the venue.
pub(super) fn refusal(status: u16, reason: &str) -> HttpReply {
    let mut headers = Vec::new();
    if status == 426 {
        headers.push(("Sec-WebSocket-Version".to_owned(), "13".to_owned()));
    }
    HttpReply { status, headers, body: format!("{{\"error\":\"{reason}\"}}").into_bytes() }
}

/// Appends `101 Switching Protocols`. No extension is offered: frames go uncompressed.
pub(super) fn render_upgrade(upgrade: &Upgrade, output: &mut Vec<u8>) {
    let accept = tungstenite::handshake::derive_accept_key(upgrade.key.as_bytes());
    output.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
    );
    output.extend_from_slice(format!("Sec-WebSocket-Accept: {accept}\r\n\r\n").as_bytes());
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        411 => "Length Required",
        413 => "Content Too Large",
        418 => "I'm a teapot",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(input: &[u8]) -> (HttpRequest, usize, bool, Option<Upgrade>) {
        match parse(input) {
            Parsed::Request { request, length, keep_alive, upgrade } => {
                (request, length, keep_alive, upgrade)
            }
            other => panic!("{other:?}"),
        }
    }

    fn status(input: &[u8]) -> u16 {
        match parse(input) {
            Parsed::Refused { status, .. } => status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_is_read_with_query_headers_and_body_and_leaves_the_next_one() {
        let input =
            b"POST /a/b?x=1&y=%20 HTTP/1.1\r\nX-Key: Abc \r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n";
        let (request, length, keep_alive, upgrade) = request(input);
        assert_eq!(
            (request.method.as_str(), request.path.as_str(), request.query.as_str()),
            ("POST", "/a/b", "x=1&y=%20")
        );
        assert_eq!(request.headers[0], ("x-key".to_owned(), "Abc".to_owned()));
        assert_eq!(request.body, b"abc");
        assert_eq!(&input[length..], b"GET / HTTP/1.1\r\n");
        assert!(keep_alive && upgrade.is_none());
    }

    #[test]
    fn every_prefix_of_a_request_is_partial() {
        let input = b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..input.len() {
            assert!(matches!(parse(&input[..end]), Parsed::Partial { .. }), "{end}");
        }
        request(input);
    }

    #[test]
    fn malformed_and_oversized_requests_get_their_status() {
        assert_eq!(status(b"\x16\x03\x01\x02\x00\x01\x00"), 400);
        assert_eq!(status(b"GET / HTTP/1.1\r\nbad header\r\n\r\n"), 400);
        assert_eq!(status(b"GET nowhere HTTP/1.1\r\n\r\n"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400);
        assert_eq!(status(b"POST / HTTP/1.1\r\nContent-Length: 1048577\r\n\r\n"), 413);
        assert_eq!(status(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"), 411);
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(HEAD_BYTES_MAX));
        assert_eq!(status(long.as_bytes()), 431);
    }

    #[test]
    fn an_upgrade_needs_version_13_and_a_key() {
        let head = "GET /ws HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n";
        let good =
            format!("{head}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
        let (_, _, _, upgrade) = request(good.as_bytes());
        let mut output = Vec::new();
        render_upgrade(&upgrade.expect("an upgrade"), &mut output);
        // The example of RFC 6455 §1.3.
        assert!(
            String::from_utf8(output)
                .unwrap()
                .contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n")
        );
        assert_eq!(status(format!("{head}Sec-WebSocket-Version: 8\r\n\r\n").as_bytes()), 426);
        assert_eq!(status(format!("{head}Sec-WebSocket-Version: 13\r\n\r\n").as_bytes()), 400);
    }
}
