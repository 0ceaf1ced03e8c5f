//! The socket of a connection, encrypted or not. Nothing here waits.

use std::{
    io::{self, IoSlice},
    task::Context,
};

use tokio::net::TcpStream;

#[cfg(feature = "tls")]
use super::tls;

/// A socket.
#[derive(Debug)]
pub(super) enum Socket {
    Plain(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<tls::Stream>),
}

impl Socket {
    pub(super) fn set_nodelay(&self) -> io::Result<()> {
        self.stream().set_nodelay(true)
    }

    pub(super) fn is_readable(&self, context: &mut Context<'_>) -> bool {
        #[cfg(feature = "tls")]
        if let Socket::Tls(tls) = self
            && tls.has_left()
        {
            return true;
        }
        self.stream().poll_read_ready(context).is_ready()
    }

    pub(super) fn is_writable(&self, context: &mut Context<'_>) -> bool {
        self.stream().poll_write_ready(context).is_ready()
    }

    /// Whether something that was written has not reached the socket.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Socket::Plain(_) => false,
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.wants_write(),
        }
    }

    pub(super) fn try_read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.try_read(into),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.try_read(into),
        }
    }

    pub(super) fn try_write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.try_write_vectored(slices),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.try_write_vectored(slices),
        }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.flush(),
        }
    }

    /// Says that nothing follows, where the socket's end alone does not say so.
    pub(super) fn say_goodbye(&mut self) {
        match self {
            Socket::Plain(_) => {}
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.say_goodbye(),
        }
    }

    /// Whom the client's certificate names, where it has shown one.
    pub(super) fn client(&self) -> Option<Vec<u8>> {
        match self {
            Socket::Plain(_) => None,
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => tls.client(),
        }
    }

    fn stream(&self) -> &TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            #[cfg(feature = "tls")]
            Socket::Tls(tls) => &tls.stream,
        }
    }
}
