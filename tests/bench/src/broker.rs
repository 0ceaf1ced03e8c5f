//! A broker that costs nothing, so that the client is what is measured: it shakes hands, swallows
//! publishes, confirms them in batches or singly, floods deliveries from pre-encoded blocks and counts
//! acks. What it is to do it reads from queue names (see `job.rs`). One thread per connection.

mod flood;

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsRawFd,
    thread,
};

use crate::{
    broker::flood::Flood,
    frames::{self, BODY, FRAME_MAX, Fields, HEADER, METHOD, OVERHEAD},
    job::CONFIRM_SINGLY,
};

/// What is read at once at most. Untouched it costs an idle connection nothing.
const INPUT: usize = 1 << 20;

const CHANNEL_MAX: u16 = 2047;
const HEARTBEAT: u16 = 60;

/// Serves connections until the process ends.
pub fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let session = move || {
            // A client that goes away ends its session; nobody wants to know why.
            let _ = Session::new(stream).run();
        };
        thread::Builder::new().stack_size(256 * 1024).spawn(session)?;
    }
}

struct Session {
    stream: TcpStream,
    input: Vec<u8>,
    filled: usize,
    output: Vec<u8>,
    greeted: bool,
    closing: bool,
    singly: bool,
    channels: Vec<Channel>,
    /// Channels with publishes to confirm.
    unconfirmed: Vec<u16>,
    flood: Option<Flood>,
    published: u64,
}

#[derive(Clone, Copy, Default)]
struct Channel {
    confirming: bool,
    /// Of the message that is coming in.
    missing: u64,
    published: u64,
    confirmed: u64,
    prefetch: u16,
}

impl Session {
    fn new(stream: TcpStream) -> Self {
        Session {
            stream,
            input: vec![0; INPUT],
            filled: 0,
            output: Vec::new(),
            greeted: false,
            closing: false,
            singly: false,
            channels: Vec::new(),
            unconfirmed: Vec::new(),
            flood: None,
            published: 0,
        }
    }

    fn run(mut self) -> io::Result<()> {
        loop {
            let mid_block = self.flood.as_ref().is_some_and(Flood::is_mid_block);
            if !mid_block && !self.output.is_empty() {
                self.stream.write_all(&self.output)?;
                self.output.clear();
                if self.closing {
                    return Ok(());
                }
            }
            if !self.receive()? {
                return Ok(());
            }
            self.scan();
            self.confirm();
        }
    }

    /// Reads what there is; floods meanwhile. False at the end.
    fn receive(&mut self) -> io::Result<bool> {
        let room = &mut self.input[self.filled..];
        let flooding = match &mut self.flood {
            Some(flood) => flood.fill(),
            None => false,
        };
        let read = if !flooding {
            self.stream.read(room)
        } else {
            self.stream.set_nonblocking(true)?;
            let blocked = match self.flood.as_mut().map(|flood| flood.send(&mut self.stream)) {
                Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => true,
                Some(Err(error)) => return Err(error),
                _ => false,
            };
            if blocked {
                wait(&self.stream)?;
            }
            let read = self.stream.read(room);
            self.stream.set_nonblocking(false)?;
            read
        };
        match read {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.filled += count;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Takes all whole frames out of the input.
    fn scan(&mut self) {
        let input = std::mem::take(&mut self.input);
        let mut at = 0;
        if !self.greeted && self.filled >= 8 {
            self.greeted = true;
            at = 8;
            start(&mut self.output);
        }
        while let Some((kind, channel, length)) = frames::head(&input[at..self.filled]) {
            let end = at + OVERHEAD + length;
            if end > self.filled {
                break;
            }
            let payload = &input[at + 7..end - 1];
            match kind {
                METHOD => self.method(channel, payload),
                HEADER => {
                    let size = Fields(&payload[4..]).number(8);
                    self.body(channel, |_| size);
                }
                BODY => self.body(channel, |missing| missing.saturating_sub(length as u64)),
                _ => {}
            }
            at = end;
        }
        self.input = input;
        self.input.copy_within(at..self.filled, 0);
        self.filled -= at;
    }

    fn channel(&mut self, id: u16) -> &mut Channel {
        let index = usize::from(id);
        if self.channels.len() <= index {
            self.channels.resize(index + 1, Channel::default());
        }
        &mut self.channels[index]
    }

    fn body(&mut self, id: u16, missing: impl FnOnce(u64) -> u64) {
        let channel = self.channel(id);
        channel.missing = missing(channel.missing);
        if channel.missing > 0 {
            return;
        }
        let first = channel.published == channel.confirmed;
        channel.published += 1;
        if !channel.confirming {
            channel.confirmed += 1;
        } else if first {
            self.unconfirmed.push(id);
        }
        self.published += 1;
    }

    fn confirm(&mut self) {
        for id in self.unconfirmed.drain(..) {
            let channel = &mut self.channels[usize::from(id)];
            let new = channel.confirmed + 1..=channel.published;
            channel.confirmed = channel.published;
            if self.singly {
                new.for_each(|tag| frames::ack(&mut self.output, id, tag, false));
            } else {
                let multiple = new.start() < new.end();
                frames::ack(&mut self.output, id, *new.end(), multiple);
            }
        }
    }

    fn method(&mut self, id: u16, payload: &[u8]) {
        let mut fields = Fields(payload);
        let (class, method) = (fields.number(2) as u16, fields.number(2) as u16);
        let out = &mut self.output;
        match (class, method) {
            (60, 40) => {} // basic.publish: counted when its content is there
            (60, 80 | 120 | 90) => {
                let tag = fields.number(8);
                // basic.reject has no `multiple`; bit 0 of its octet is `requeue`.
                let multiple = method != 90 && fields.number(1) & 1 == 1;
                if let Some(flood) = &mut self.flood {
                    flood.settle(tag, multiple);
                }
            }
            (10, 11) => frames::method(out, 0, (10, 30), |out| {
                out.extend(CHANNEL_MAX.to_be_bytes());
                out.extend((FRAME_MAX as u32).to_be_bytes());
                out.extend(HEARTBEAT.to_be_bytes());
            }),
            (10, 40) => frames::method(out, 0, (10, 41), |out| out.push(0)),
            (10, 50) => {
                frames::method(out, 0, (10, 51), |_| {});
                self.closing = true;
            }
            (20, 10) => {
                frames::method(out, id, (20, 11), |out| frames::long(out, b""));
                *self.channel(id) = Channel::default();
            }
            (20, 40) => frames::method(out, id, (20, 41), |_| {}),
            (50, 10) => {
                fields.number(2);
                self.declare(id, fields.short());
            }
            (60, 10) => {
                fields.number(4);
                let prefetch = fields.number(2) as u16;
                frames::method(out, id, (60, 11), |_| {});
                self.channel(id).prefetch = prefetch;
            }
            (60, 20) => {
                fields.number(2);
                let (queue, tag, bits) = (fields.short(), fields.short(), fields.number(1));
                self.consume(id, queue, tag, bits & 0b10 != 0);
            }
            (60, 30) => {
                let tag = fields.short();
                self.flood = None;
                frames::method(out, id, (60, 31), |out| frames::short(out, tag));
            }
            (85, 10) => {
                frames::method(out, id, (85, 11), |_| {});
                self.channel(id).confirming = true;
            }
            (40, 10) => frames::method(out, id, (40, 11), |_| {}),
            (50, 20) => frames::method(out, id, (50, 21), |_| {}),
            (10, 31) | (20, 41) | (10, 51) => {} // tune-ok, close-ok
            _ => refuse(out, id, &format!("not implemented: {class}.{method}")),
        }
    }

    /// Queues are commands; declaring any other is simply answered.
    fn declare(&mut self, id: u16, queue: &str) {
        let seen = |what: &str, seen: u64| match queue.strip_prefix(what)?.parse::<u64>() {
            Ok(wanted) if seen == wanted => None,
            _ => Some(format!("{queue}: there were {seen}")),
        };
        let settled = self.flood.as_ref().map_or(0, Flood::settled);
        self.singly |= queue == CONFIRM_SINGLY;
        let complaint =
            seen("expect.published.", self.published).or(seen("expect.settled.", settled));
        match complaint {
            Some(complaint) => refuse(&mut self.output, id, &complaint),
            None => frames::method(&mut self.output, id, (50, 11), |out| {
                frames::short(out, queue);
                out.extend([0; 8]);
            }),
        }
    }

    fn consume(&mut self, id: u16, queue: &str, tag: &str, automatic: bool) {
        let tag = if tag.is_empty() { "consumer-1" } else { tag };
        let prefetch = self.channel(id).prefetch;
        match Flood::new(queue, id, tag, if automatic { 0 } else { prefetch }) {
            Some(flood) => {
                frames::method(&mut self.output, id, (60, 21), |out| frames::short(out, tag));
                // The answer goes out first: a flood begins when there is no output.
                let _ = self.stream.write_all(&self.output);
                self.output.clear();
                self.flood = Some(flood);
            }
            None => refuse(&mut self.output, id, &format!("no such queue: {queue}")),
        }
    }
}

fn start(out: &mut Vec<u8>) {
    let mut capabilities = Vec::new();
    for name in ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "connection.blocked"]
    {
        frames::short(&mut capabilities, name);
        capabilities.extend(b"t\x01");
    }
    let mut properties = Vec::new();
    frames::short(&mut properties, "capabilities");
    properties.push(b'F');
    frames::long(&mut properties, &capabilities);
    frames::method(out, 0, (10, 10), |out| {
        out.extend([0, 9]);
        frames::long(out, &properties);
        frames::long(out, b"PLAIN");
        frames::long(out, b"en_US");
    });
}

fn refuse(out: &mut Vec<u8>, channel: u16, why: &str) {
    frames::method(out, channel, (20, 40), |out| {
        out.extend(406_u16.to_be_bytes());
        frames::short(out, why);
        out.extend([0; 4]);
    });
}

/// Until the socket takes or gives something.
fn wait(stream: &TcpStream) -> io::Result<()> {
    let mut poll =
        libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN | libc::POLLOUT, revents: 0 };
    // SAFETY: one struct, and it says so.
    if unsafe { libc::poll(&raw mut poll, 1, -1) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
