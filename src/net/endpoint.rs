//! Base addresses such as `wss://host:port`, taken apart once. Knows the schemes and their default ports,
//! resolves nothing and connects nowhere.

use std::fmt;
use thiserror::Error;

/// Where to connect, without path and query (which may hold secrets and never get here).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the scheme asks for TLS.
    pub tls: bool,
    /// Host name or address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// A base address that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EndpointError {
    /// Not one of the four schemes.
    #[error("address {0:?} has no usable scheme: write ws://, wss://, http:// or https:// before the host")]
    Scheme(String),
    /// No host.
    #[error("address {0:?} names no host: write it as scheme://host or scheme://host:port")]
    Host(String),
    /// The port is not a number from 1 to 65535.
    #[error("address {0:?} has a port that is not a number from 1 to 65535")]
    Port(String),
    /// Something stands behind host and port.
    #[error("the address of {0:?} must end after host and port: path, query and credentials go elsewhere")]
    Tail(String),
}

impl Endpoint {
    /// Reads `scheme://host[:port][/]`; host may be a name, an IPv4 or a bracketed IPv6 address.
    ///
    /// # Errors
    /// [`EndpointError`]; a tail is refused without being repeated, for it may be secret.
    pub fn parse(base: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) = base.split_once("://").ok_or_else(|| EndpointError::Scheme(visible(base)))?;
        let (tls, default_port) = match scheme {
            "ws" | "http" => (false, 80),
            "wss" | "https" => (true, 443),
            _ => return Err(EndpointError::Scheme(visible(base))),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@', ' ', '\r', '\n']) {
            return Err(EndpointError::Tail(visible(base)));
        }
        let (host, port) = match rest.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) =
                    bracketed.split_once(']').ok_or_else(|| EndpointError::Host(visible(base)))?;
                (host, after.strip_prefix(':'))
            }
            None => match rest.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (rest, None),
            },
        };
        if host.is_empty() {
            return Err(EndpointError::Host(visible(base)));
        }
        let port = match port {
            None => default_port,
            Some(digits) => match digits.parse::<u16>() {
                Ok(port) if port > 0 => port,
                _ => return Err(EndpointError::Port(visible(base))),
            },
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }

    /// The value of a `Host` header: the port only where it is not the scheme's own.
    pub fn authority(&self) -> String {
        let bracket = self.host.contains(':');
        let (open, close) = if bracket { ("[", "]") } else { ("", "") };
        if self.port == if self.tls { 443 } else { 80 } {
            format!("{open}{}{close}", self.host)
        } else {
            format!("{open}{}{close}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// What of a base address may be shown: scheme and host, nothing behind or before them.
fn visible(base: &str) -> String {
    let (scheme, rest) = base.split_once("://").map_or(("", base), |(scheme, rest)| (scheme, rest));
    let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_hosts_and_ports() {
        let cases = [
            ("ws://127.0.0.1:1234", false, "127.0.0.1", 1234, "127.0.0.1:1234"),
            ("wss://fstream.binance.com", true, "fstream.binance.com", 443, "fstream.binance.com"),
            ("wss://ws.okx.com:8443/", true, "ws.okx.com", 8443, "ws.okx.com:8443"),
            ("http://[::1]:80", false, "::1", 80, "[::1]"),
            ("https://[::1]", true, "::1", 443, "[::1]"),
        ];
        for (text, tls, host, port, authority) in cases {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.tls, endpoint.host.as_str(), endpoint.port), (tls, host, port), "{text}");
            assert_eq!(endpoint.authority(), authority);
        }
    }

    #[test]
    fn refusals_name_the_fault_and_hide_the_tail() {
        assert!(matches!(Endpoint::parse("fstream.binance.com"), Err(EndpointError::Scheme(_))));
        assert!(matches!(Endpoint::parse("ftp://x"), Err(EndpointError::Scheme(_))));
        assert!(matches!(Endpoint::parse("ws://"), Err(EndpointError::Host(_))));
        assert!(matches!(Endpoint::parse("ws://:9"), Err(EndpointError::Host(_))));
        assert!(matches!(Endpoint::parse("ws://h:0"), Err(EndpointError::Port(_))));
        assert!(matches!(Endpoint::parse("ws://h:65536"), Err(EndpointError::Port(_))));
        for secret in
            ["wss://host/ws/CANARY", "wss://host?listenKey=CANARY", "wss://user:CANARY@host", "CANARY/x y"]
        {
            let error = Endpoint::parse(secret).unwrap_err().to_string();
            assert!(!error.contains("CANARY") || !secret.contains("://"), "{error}");
        }
    }
}
