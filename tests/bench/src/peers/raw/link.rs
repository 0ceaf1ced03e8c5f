//! A blocking connection that knows as little as possible.

use std::{
    io::{self, Read, Write},
    net::TcpStream,
};

use crate::frames::{self, BODY, Fields, METHOD, OVERHEAD};

/// Read at once at most.
const INPUT: usize = 256 * 1024;

pub struct Link {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    /// Bytes of a body frame that are still to come, and to be skipped.
    skip: usize,
}

impl Link {
    pub fn connect(port: u16) -> io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        let mut link = Link { stream, input: vec![0; INPUT], filled: 0, skip: 0 };
        link.send(b"AMQP\0\0\x09\x01")?;
        link.await_method(0, (10, 10))?;
        let mut out = Vec::new();
        frames::method(&mut out, 0, (10, 11), |out| {
            frames::long(out, b"");
            frames::short(out, "PLAIN");
            frames::long(out, b"\0guest\0guest");
            frames::short(out, "en_US");
        });
        link.send(&out)?;
        let tune = link.await_method(0, (10, 30))?;
        out.clear();
        frames::method(&mut out, 0, (10, 31), |out| {
            out.extend(tune.get(..6).unwrap_or_default());
            out.extend([0, 0]); // no heartbeats
        });
        frames::method(&mut out, 0, (10, 40), |out| {
            frames::short(out, "/");
            out.extend([0, 0]);
        });
        link.send(&out)?;
        link.await_method(0, (10, 41))?;
        Ok(link)
    }

    pub fn with_channel(port: u16) -> io::Result<Self> {
        let mut link = Link::connect(port)?;
        link.open_channel(1)?;
        Ok(link)
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a method and awaits its answer, the next method of its class.
    pub fn call(
        &mut self,
        channel: u16,
        id: (u16, u16),
        arguments: impl FnOnce(&mut Vec<u8>),
    ) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        frames::method(&mut out, channel, id, arguments);
        self.send(&out)?;
        self.await_method(channel, (id.0, id.1 + 1))
    }

    pub fn open_channel(&mut self, channel: u16) -> io::Result<()> {
        self.call(channel, (20, 10), |out| out.push(0)).map(drop)
    }

    /// Declares an exclusive queue.
    pub fn declare(&mut self, channel: u16, queue: &str) -> io::Result<()> {
        let arguments = |out: &mut Vec<u8>| {
            out.extend([0, 0]);
            frames::short(out, queue);
            out.push(0b100);
            frames::long(out, b"");
        };
        self.call(channel, (50, 10), arguments).map(drop)
    }

    pub fn prefetch(&mut self, channel: u16, count: u16) -> io::Result<()> {
        let arguments = |out: &mut Vec<u8>| {
            out.extend([0; 4]);
            out.extend(count.to_be_bytes());
            out.push(0);
        };
        self.call(channel, (60, 10), arguments).map(drop)
    }

    /// Consumes; gives how many deliveries came with the answer.
    pub fn consume(&mut self, channel: u16, queue: &str, automatic: bool) -> io::Result<u64> {
        let mut out = Vec::new();
        frames::method(&mut out, channel, (60, 20), |out| {
            out.extend([0, 0]);
            frames::short(out, queue);
            frames::short(out, "raw");
            out.push(u8::from(automatic) << 1);
            frames::long(out, b"");
        });
        self.send(&out)?;
        let (mut answered, mut deliveries) = (false, 0);
        while !answered {
            let complaint = self.read(|_, id, _| {
                answered |= id == (60, 21);
                deliveries += u64::from(id == (60, 60));
            });
            complaint?;
        }
        Ok(deliveries)
    }

    pub fn close(mut self) -> io::Result<()> {
        let mut out = Vec::new();
        frames::method(&mut out, 0, (10, 50), |out| {
            out.extend(200_u16.to_be_bytes());
            out.extend([0; 5]);
        });
        self.send(&out)?;
        self.await_method(0, (10, 51)).map(drop)
    }

    /// Waits for a method, and gives its arguments.
    fn await_method(&mut self, channel: u16, wanted: (u16, u16)) -> io::Result<Vec<u8>> {
        let mut arguments = None;
        while arguments.is_none() {
            self.read(|on, id, fields| {
                if (on, id) == (channel, wanted) {
                    arguments = Some(fields.0.to_vec());
                }
            })?;
        }
        Ok(arguments.unwrap_or_default())
    }

    /// Reads once, and shows every whole method frame. Content is stepped over.
    pub fn read(&mut self, mut method: impl FnMut(u16, (u16, u16), Fields<'_>)) -> io::Result<()> {
        self.read_frames(|kind, channel, payload| {
            if kind == METHOD {
                let mut fields = Fields(payload);
                let id = (fields.number(2) as u16, fields.number(2) as u16);
                method(channel, id, fields);
            }
        })
    }

    /// Reads once, and shows every whole frame but bodies.
    pub fn read_frames(&mut self, mut frame: impl FnMut(u8, u16, &[u8])) -> io::Result<()> {
        let read = self.stream.read(&mut self.input[self.filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        let mut at = self.skip.min(self.filled);
        self.skip -= at;
        while let Some((kind, channel, length)) = frames::head(&self.input[at..self.filled]) {
            let end = at + OVERHEAD + length;
            if kind == BODY {
                self.skip = end.saturating_sub(self.filled);
                at = end.min(self.filled);
                continue;
            }
            if end > self.filled {
                break;
            }
            let payload = &self.input[at + 7..end - 1];
            if kind == METHOD
                && (payload.starts_with(&[0, 10, 0, 50]) || payload.starts_with(&[0, 20, 0, 40]))
            {
                let why = String::from_utf8_lossy(payload).into_owned();
                return Err(io::Error::other(why));
            }
            frame(kind, channel, payload);
            at = end;
        }
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
        Ok(())
    }
}
