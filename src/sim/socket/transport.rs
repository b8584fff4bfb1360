//! The byte stream of one client: TCP or TLS over TCP, never blocking, with replies queued in front.

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

/// A non-blocking stream. What is queued leaves before anything that is written.
pub(super) struct Transport {
    io: Io,
    queued: Vec<u8>,
    written: usize,
}

enum Io {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Transport {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> Result<Self, rustls::Error> {
        let io = match tls {
            None => Io::Plain(stream),
            Some(config) => {
                Io::Tls(Box::new(StreamOwned::new(ServerConnection::new(config.clone())?, stream)))
            }
        };
        Ok(Self { io, queued: Vec::new(), written: 0 })
    }

    /// The buffer whose content is sent before anything else; `flush` sends it.
    pub(super) fn queue(&mut self) -> &mut Vec<u8> {
        &mut self.queued
    }

    /// Bytes that wait in `queue`.
    pub(super) fn queued_bytes(&self) -> usize {
        self.queued.len() - self.written
    }

    /// Says goodbye to the peer after everything was flushed; reading goes on.
    pub(super) fn finish(&mut self) {
        if let Io::Tls(stream) = &mut self.io {
            stream.conn.send_close_notify();
            let _ = stream.flush(); // the peer may be gone: then there is nobody to tell
        }
        let _ = self.tcp().shutdown(Shutdown::Write);
    }

    fn tcp(&self) -> &TcpStream {
        match &self.io {
            Io::Plain(stream) => stream,
            Io::Tls(stream) => &stream.sock,
        }
    }

    fn flush_queue(&mut self) -> io::Result<()> {
        while self.written < self.queued.len() {
            let rest = &self.queued[self.written..];
            let sent = match &mut self.io {
                Io::Plain(stream) => stream.write(rest),
                Io::Tls(stream) => stream.write(rest),
            };
            match sent {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => self.written += sent,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.queued.clear();
        self.written = 0;
        Ok(())
    }
}

impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.io {
            Io::Plain(stream) => stream.read(buffer),
            Io::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.flush_queue()?;
        match &mut self.io {
            Io::Plain(stream) => stream.write(bytes),
            Io::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.flush_queue()?;
        match &mut self.io {
            Io::Plain(stream) => stream.flush(),
            Io::Tls(stream) => stream.flush(),
        }
    }
}
