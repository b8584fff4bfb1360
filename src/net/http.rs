//! Blocking HTTP for the housekeeping thread: one request, one reply, everything bounded.
//!
//! Statuses are answers, not errors; no cookies or redirects, and no proxy but the one that is given. Errors name host and cause, never
//! path, query, headers or body, which may hold keys and signatures.

use super::endpoint::{Endpoint, EndpointError};
use super::last_look::{self, Gate, LastLook};
use super::proxy::{Proxy, ProxyFault};
use super::tls::Trust;
use super::tunnel::{NoResolver, TunnelConnector};
use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use ureq::http as wire;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector, DefaultConnector, RustlsConnector};

/// The largest reply body, bytes (instrument lists run to several megabytes).
pub const BODY_MAX: u64 = 32 << 20;

/// A request.
#[derive(Clone, Copy)]
pub struct HttpCall<'a> {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub method: &'a str,
    /// `http://host[:port]` or `https://host[:port]`.
    pub base: &'a str,
    /// Path and query, such as `/fapi/v1/exchangeInfo`; may hold secrets and is never shown.
    pub path_and_query: &'a str,
    /// Header names and values; may hold secrets and are never shown.
    pub headers: &'a [(&'a str, &'a str)],
    /// Body; empty = none for `GET` and `DELETE`.
    pub body: &'a [u8],
}

impl fmt::Debug for HttpCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCall")
            .field("method", &self.method)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// A reply, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After` in seconds, when the server gave it as a number.
    pub retry_after_s: Option<u32>,
    /// Headers with names in lower case, such as the venues' used-weight counters.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

/// Why there is no reply. For a request that changes something, only the variants up to
/// [`HttpError::Withdrawn`] prove that it was not executed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The base address is unusable; nothing was sent.
    #[error(transparent)]
    Address(#[from] EndpointError),
    /// The request cannot be put into HTTP; nothing was sent.
    #[error("the request to {host} cannot be expressed in HTTP ({what}); nothing was sent")]
    Request {
        /// Host and port.
        host: String,
        /// Which part.
        what: &'static str,
    },
    /// No connection; nothing was sent.
    #[error("cannot connect to {host}: {what}; nothing was sent. Is it running and reachable from here?")]
    Connect {
        /// Host and port.
        host: String,
        /// The cause.
        what: String,
    },
    /// It was no longer wanted when it could have been written; nothing was sent.
    #[error("the request to {host} was no longer wanted when its turn came; nothing was sent")]
    Withdrawn {
        /// Host and port.
        host: String,
    },
    /// TLS failed.
    #[error("no secure connection to {host}: {what}; check its certificate and our roots")]
    Tls {
        /// Host and port.
        host: String,
        /// The cause.
        what: String,
    },
    /// The time ran out; the request may have been executed.
    #[error("{host} did not answer within {limit_ms} ms; the request may have been executed")]
    Timeout {
        /// Host and port.
        host: String,
        /// The limit.
        limit_ms: u128,
    },
    /// The connection broke or the reply is not HTTP; the request may have been executed.
    #[error("the exchange with {host} broke: {what}; the request may have been executed")]
    Broken {
        /// Host and port.
        host: String,
        /// The cause.
        what: String,
    },
    /// The reply is larger than [`BODY_MAX`]; the request may have been executed.
    #[error("{host} sent a reply of more than {BODY_MAX} bytes, which was not read to its end")]
    TooLarge {
        /// Host and port.
        host: String,
    },
}

impl HttpError {
    /// Whether the request certainly did not reach the venue.
    pub fn not_sent(&self) -> bool {
        matches!(
            self,
            Self::Address(_) | Self::Request { .. } | Self::Connect { .. } | Self::Withdrawn { .. }
        )
    }
}

/// Keeps connections alive between requests. Cheap to clone; clones share them.
#[derive(Clone)]
pub struct HttpClient {
    agent: ureq::Agent,
    timeout: Duration,
}

impl HttpClient {
    /// Trusts these roots; each request may take up to `timeout`, reply included.
    pub fn new(trust: &Trust, timeout: Duration) -> Self {
        Self::through(trust, timeout, None)
    }

    /// The same through a proxy.
    pub fn through(trust: &Trust, timeout: Duration, proxy: Option<Arc<Proxy>>) -> Self {
        let config = ureq::Agent::config_builder()
            .tls_config(trust.http_config())
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("perpring/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .timeout_connect(Some(timeout))
            .build();
        let agent = match proxy {
            None => {
                let direct = DefaultConnector::default().chain(LastLook);
                ureq::Agent::with_parts(config, direct, DefaultResolver::default())
            }
            Some(proxy) => {
                let tunnel = TunnelConnector { proxy, timeout };
                ureq::Agent::with_parts(
                    config,
                    tunnel.chain(RustlsConnector::default()).chain(LastLook),
                    NoResolver,
                )
            }
        };
        Self { agent, timeout }
    }

    /// The same, unless `gate` is closed when the request could be written: on a connection that stands already
    /// or on a new one.
    ///
    /// # Errors
    /// [`HttpError::Withdrawn`] then, else as [`HttpClient::request`].
    pub fn request_if(&self, call: &HttpCall<'_>, gate: &Gate) -> Result<Reply, HttpError> {
        let host = Endpoint::parse(call.base)?.to_string();
        last_look::within(gate, || self.request(call)).unwrap_or(Err(HttpError::Withdrawn { host }))
    }

    /// Sends a request and waits for its whole reply.
    ///
    /// # Errors
    /// [`HttpError`]; a status such as 429 or 500 is a [`Reply`].
    pub fn request(&self, call: &HttpCall<'_>) -> Result<Reply, HttpError> {
        let endpoint = Endpoint::parse(call.base)?;
        let host = endpoint.to_string();
        let refuse = |what| HttpError::Request { host: host.clone(), what };
        if !call.path_and_query.starts_with('/') {
            return Err(refuse("the path must begin with '/'"));
        }
        let method = wire::Method::from_bytes(call.method.as_bytes()).map_err(|_| refuse("its method"))?;
        let base = call.base.strip_suffix('/').unwrap_or(call.base);
        let uri: wire::Uri =
            format!("{base}{}", call.path_and_query).parse().map_err(|_| refuse("its path or query"))?;
        let mut request = wire::Request::builder().method(&method).uri(uri);
        for (name, value) in call.headers {
            request = request.header(*name, *value);
        }
        let bodiless = call.body.is_empty() && matches!(call.method, "GET" | "DELETE" | "HEAD");
        let sent = if bodiless {
            self.agent.run(request.body(()).map_err(|_| refuse("its headers"))?)
        } else {
            self.agent.run(request.body(call.body).map_err(|_| refuse("its headers"))?)
        };
        let mut response = sent.map_err(|error| self.explain(&host, error))?;
        let body = response.body_mut().with_config().limit(BODY_MAX).read_to_vec();
        Ok(Reply {
            status: response.status().as_u16(),
            retry_after_s: header(&response, "retry-after").and_then(|seconds| seconds.trim().parse().ok()),
            headers: response
                .headers()
                .iter()
                .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
                .collect(),
            body: body.map_err(|error| self.explain(&host, error))?,
        })
    }

    /// Says what went wrong without repeating what the library may quote of the request.
    fn explain(&self, host: &str, error: ureq::Error) -> HttpError {
        let host = host.to_owned();
        match error {
            ureq::Error::HostNotFound => {
                HttpError::Connect { host, what: "its name has no address".to_owned() }
            }
            ureq::Error::ConnectionFailed => {
                HttpError::Connect { host, what: "no address accepted".to_owned() }
            }
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => HttpError::Connect {
                host,
                what: format!("no connection within {} ms", self.timeout.as_millis()),
            },
            ureq::Error::Timeout(_) => HttpError::Timeout { host, limit_ms: self.timeout.as_millis() },
            ureq::Error::Io(error) => explain_io(host, &error),
            ureq::Error::Rustls(error) => HttpError::Tls { host, what: error.to_string() },
            ureq::Error::Tls(what) => HttpError::Tls { host, what: what.to_owned() },
            ureq::Error::BodyExceedsLimit(_) => HttpError::TooLarge { host },
            ureq::Error::Http(_) | ureq::Error::BadUri(_) => {
                HttpError::Request { host, what: "its path, query or headers" }
            }
            ureq::Error::Protocol(_) => {
                HttpError::Broken { host, what: "the reply is not valid HTTP".to_owned() }
            }
            ureq::Error::LargeResponseHeader(..) => {
                HttpError::Broken { host, what: "its headers are too long".to_owned() }
            }
            _ => HttpError::Broken { host, what: "the HTTP client gave up".to_owned() },
        }
    }
}

/// An I/O error, told apart by whether there was a connection at all.
fn explain_io(host: String, error: &io::Error) -> HttpError {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return HttpError::Tls { host, what: tls.to_string() };
    }
    if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<ProxyFault>()) {
        return HttpError::Connect { host, what: fault.to_string() };
    }
    if last_look::is_closed(error) {
        return HttpError::Withdrawn { host };
    }
    // The standard library has no error kind for a failed name lookup, only this text.
    let lookup = error.to_string().starts_with("failed to lookup address");
    match error.kind() {
        _ if lookup => HttpError::Connect { host, what: "its name has no address".to_owned() },
        kind @ (ErrorKind::ConnectionRefused
        | ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::AddrNotAvailable) => HttpError::Connect { host, what: kind.to_string() },
        kind => HttpError::Broken { host, what: kind.to_string() },
    }
}

fn header<'a>(response: &'a wire::Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
