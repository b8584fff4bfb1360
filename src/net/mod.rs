//! Bytes in and out: dialling, TLS, WebSocket framing, HTTP and back-off, as a client.
//!
//! Knows no venue and imports nothing of the domain; what a message means is decided elsewhere. Blocking
//! work ([`mod@dial`], [`http`]) belongs on housekeeping threads; a [`socket::WsSocket`] never blocks and is
//! polled by the gateway. Start at [`dial::dial`], whose result becomes a socket.

pub mod backoff;
pub mod dial;
pub mod endpoint;
pub mod frame;
pub mod http;
mod last_look;
pub mod proxy;
pub mod socket;
pub mod stream;
pub mod tls;
mod tunnel;

#[cfg(test)]
mod testing;

pub use backoff::Backoff;
pub use dial::{DialError, DialRequest, Established, dial};
pub use frame::Fault;
pub use http::{HttpCall, HttpClient, HttpError, Reply};
pub use last_look::Gate;
pub use proxy::{Proxy, ProxyFault};
pub use socket::{Handed, Message, MessageKind, NetError, SendError, SocketLimits, WsSocket};
pub use stream::{Stream, Transport};
pub use tls::Trust;
