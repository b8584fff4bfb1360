//! Proxies: HTTP CONNECT and SOCKS5, as a client, for WebSockets and HTTP requests alike.
//!
//! A proxy gets host and port of the venue, never more: TLS and names are settled inside the tunnel. Credentials are
//! shown nowhere; errors name proxy, target and cause.

use super::endpoint::Endpoint;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use thiserror::Error;

/// The longest reply of an HTTP proxy, bytes.
const REPLY_MAX: usize = 8 * 1024;

/// How a proxy is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Connect,
    Socks5,
}

/// A proxy.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    kind: Kind,
    /// Where it is.
    at: Endpoint,
    login: Option<(String, String)>,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.kind == Kind::Connect { "http" } else { "socks5" };
        write!(f, "{scheme}://{}:{}", self.at.host, self.at.port)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Why an address is no proxy's; the address is not repeated, for it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a proxy is written as http://[user:password@]host:port or socks5://[user:password@]host:port: {0}")]
pub struct ProxyAddressError(&'static str);

/// Why a proxy gave no tunnel. Nothing was sent to the target.
#[derive(Debug, Error)]
pub enum ProxyFault {
    /// It wants other credentials.
    #[error("the proxy {proxy} refused our credentials (or wants some)")]
    Login {
        /// Which.
        proxy: String,
    },
    /// It does not connect to the target.
    #[error("the proxy {proxy} refused to connect to {target}: {what}")]
    Refused {
        /// Which.
        proxy: String,
        /// Host and port.
        target: String,
        /// Status or reason.
        what: String,
    },
    /// The connection to it broke, or it speaks something else.
    #[error("the proxy {proxy} broke off: {source}")]
    Broken {
        /// Which.
        proxy: String,
        /// Why.
        source: io::Error,
    },
}

impl Proxy {
    /// From its address.
    ///
    /// # Errors
    /// [`ProxyAddressError`].
    pub fn parse(text: &str) -> Result<Self, ProxyAddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(ProxyAddressError("the scheme is missing"))?;
        let kind = match scheme {
            "http" => Kind::Connect,
            "socks5" | "socks5h" => Kind::Socks5,
            _ => return Err(ProxyAddressError("its scheme is another one")),
        };
        let (login, place) =
            rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let at = Endpoint::parse(&format!("http://{place}"))
            .map_err(|_| ProxyAddressError("host or port is wrong"))?;
        if !place.trim_end_matches('/').rsplit(']').next().is_some_and(|tail| tail.contains(':')) {
            return Err(ProxyAddressError("the port is missing"));
        }
        let login = match login {
            None => None,
            Some(login) => {
                let (user, password) = login.split_once(':').unwrap_or((login, ""));
                let pair = decoded(user).zip(decoded(password));
                let (user, password) =
                    pair.ok_or(ProxyAddressError("its credentials are not percent-encoded text"))?;
                if user.is_empty() || user.len() > 255 || password.len() > 255 {
                    return Err(ProxyAddressError("user and password have 1 to 255 bytes"));
                }
                Some((user, password))
            }
        };
        Ok(Self { kind, at, login })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.at
    }

    /// Whether it has credentials.
    pub fn has_login(&self) -> bool {
        self.login.is_some()
    }

    /// Asks on a fresh connection for a tunnel to `host` and `port`. Reads not a byte of what follows.
    ///
    /// # Errors
    /// [`ProxyFault`].
    pub fn tunnel(&self, wire: &mut (impl Read + Write), host: &str, port: u16) -> Result<(), ProxyFault> {
        match self.kind {
            Kind::Connect => self.connect(wire, host, port),
            Kind::Socks5 => self.socks5(wire, host, port),
        }
    }

    fn broken(&self, source: io::Error) -> ProxyFault {
        ProxyFault::Broken { proxy: self.to_string(), source }
    }

    fn refused(&self, host: &str, port: u16, what: String) -> ProxyFault {
        ProxyFault::Refused { proxy: self.to_string(), target: format!("{host}:{port}"), what }
    }

    /// RFC 9110 §9.3.6.
    fn connect(&self, wire: &mut (impl Read + Write), host: &str, port: u16) -> Result<(), ProxyFault> {
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
        if let Some((user, password)) = &self.login {
            request += &format!(
                "Proxy-Authorization: Basic {}\r\n",
                base64(format!("{user}:{password}").as_bytes())
            );
        }
        request += "\r\n";
        wire.write_all(request.as_bytes()).and_then(|()| wire.flush()).map_err(|error| self.broken(error))?;
        let mut reply = Vec::with_capacity(256);
        let mut byte = [0];
        // Byte by byte: what stands behind the reply belongs to the tunnel.
        while !reply.ends_with(b"\r\n\r\n") {
            wire.read_exact(&mut byte).map_err(|error| self.broken(error))?;
            reply.push(byte[0]);
            if reply.len() > REPLY_MAX {
                return Err(self.broken(io::Error::new(ErrorKind::InvalidData, "its reply does not end")));
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(&reply).ok().and(parsed.code) {
            Some(200..=299) => Ok(()),
            Some(407) => Err(ProxyFault::Login { proxy: self.to_string() }),
            Some(status) => Err(self.refused(host, port, format!("HTTP status {status}"))),
            None => Err(self.broken(io::Error::new(ErrorKind::InvalidData, "its reply is not HTTP"))),
        }
    }

    /// RFC 1928 and 1929.
    fn socks5(&self, wire: &mut (impl Read + Write), host: &str, port: u16) -> Result<(), ProxyFault> {
        let strange = || self.broken(io::Error::new(ErrorKind::InvalidData, "its reply is not SOCKS5"));
        let hello: &[u8] = if self.login.is_some() { &[5, 2, 0, 2] } else { &[5, 1, 0] };
        let mut answer = [0; 2];
        self.ask(wire, hello, &mut answer)?;
        match (answer, &self.login) {
            ([5, 0], _) => {}
            ([5, 2], Some((user, password))) => {
                let mut login = vec![1, user.len() as u8];
                login.extend_from_slice(user.as_bytes());
                login.push(password.len() as u8);
                login.extend_from_slice(password.as_bytes());
                self.ask(wire, &login, &mut answer)?;
                if answer[1] != 0 {
                    return Err(ProxyFault::Login { proxy: self.to_string() });
                }
            }
            ([5, 0xFF], _) => return Err(ProxyFault::Login { proxy: self.to_string() }),
            _ => return Err(strange()),
        }
        // The name is resolved by the proxy: only it sees the network on the other side.
        let name =
            u8::try_from(host.len()).map_err(|_| self.refused(host, port, "the name is too long".into()))?;
        let mut request = vec![5, 1, 0, 3, name];
        request.extend_from_slice(host.as_bytes());
        request.extend_from_slice(&port.to_be_bytes());
        let mut head = [0; 4];
        self.ask(wire, &request, &mut head)?;
        if head[0] != 5 {
            return Err(strange());
        }
        if head[1] != 0 {
            let what = match head[1] {
                2 => "not allowed by its rules",
                3 => "network unreachable",
                4 => "host unreachable",
                5 => "connection refused",
                _ => "general failure",
            };
            return Err(self.refused(host, port, what.to_owned()));
        }
        let length = match head[3] {
            1 => 4,
            4 => 16,
            3 => {
                let mut length = [0];
                wire.read_exact(&mut length).map_err(|error| self.broken(error))?;
                usize::from(length[0])
            }
            _ => return Err(strange()),
        };
        wire.read_exact(&mut [0; 257][..length + 2]).map_err(|error| self.broken(error))
    }

    fn ask(
        &self,
        wire: &mut (impl Read + Write),
        request: &[u8],
        answer: &mut [u8],
    ) -> Result<(), ProxyFault> {
        wire.write_all(request)
            .and_then(|()| wire.flush())
            .and_then(|()| wire.read_exact(answer))
            .map_err(|error| self.broken(error))
    }
}

/// Percent-decoded text.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(['\r', '\n', '\0']))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let word =
            group.iter().enumerate().fold(0u32, |word, (i, byte)| word | u32::from(*byte) << (16 - 8 * i));
        for i in 0..4 {
            let digit = char::from(DIGITS[(word >> (18 - 6 * i)) as usize & 63]);
            text.push(if i <= group.len() { digit } else { '=' });
        }
    }
    text
}

#[cfg(test)]
#[path = "proxy_tests.rs"]
mod tests;
