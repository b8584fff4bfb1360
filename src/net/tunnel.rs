//! HTTP requests through a [`Proxy`]: the HTTP client's transport over a tunnelled connection.

use super::proxy::Proxy;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};

/// Connects through a proxy.
#[derive(Debug)]
pub(super) struct TunnelConnector {
    pub proxy: Arc<Proxy>,
    /// For each step of connecting.
    pub timeout: Duration,
}

impl Connector for TunnelConnector {
    type Out = Tunnel;

    fn connect(&self, details: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Tunnel>, Error> {
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let tls = details.uri.scheme_str() == Some("https");
        let port = details.uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let mut stream = self.reach()?;
        self.proxy
            .tunnel(&mut stream, host, port)
            .map_err(|fault| Error::Io(io::Error::new(ErrorKind::ConnectionRefused, fault)))?;
        let (input, output) = (details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(Tunnel { stream, buffers: LazyBuffers::new(input, output) }))
    }
}

impl TunnelConnector {
    /// A connection to the proxy itself.
    fn reach(&self) -> Result<TcpStream, Error> {
        let at = self.proxy.endpoint();
        let mut last = io::Error::new(ErrorKind::NotFound, "the proxy's name has no address");
        for address in (at.host.as_str(), at.port).to_socket_addrs().map_err(Error::Io)? {
            match TcpStream::connect_timeout(&address, self.timeout) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    stream.set_read_timeout(Some(self.timeout))?;
                    stream.set_write_timeout(Some(self.timeout))?;
                    return Ok(stream);
                }
                Err(error) => last = error,
            }
        }
        Err(Error::Io(last))
    }
}

/// A tunnelled connection.
#[derive(Debug)]
pub(super) struct Tunnel {
    stream: TcpStream,
    buffers: LazyBuffers,
}

impl Tunnel {
    fn failed(error: io::Error, timeout: NextTimeout) -> Error {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Error::Timeout(timeout.reason),
            _ => Error::Io(error),
        }
    }
}

impl Transport for Tunnel {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.stream.set_write_timeout(timeout.not_zero().map(|limit| *limit))?;
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output).map_err(|error| Self::failed(error, timeout))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        self.stream.set_read_timeout(timeout.not_zero().map(|limit| *limit))?;
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input).map_err(|error| Self::failed(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        // A closed peer, or bytes that nobody asked for: neither is fit for another request.
        let quiet = self.stream.set_nonblocking(true).is_ok()
            && matches!(self.stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.stream.set_nonblocking(false).is_ok() && quiet
    }
}

/// Leaves names to the proxy.
#[derive(Debug)]
pub(super) struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        Ok(self.empty())
    }
}
