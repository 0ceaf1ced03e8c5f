//! librabbitmq, the C client: blocking, one thread.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr, thread,
    time::{Duration, Instant},
};

use crate::{
    job::{CONFIRM_SINGLY, Failure, Job, Peer, QUEUE, STALL_MS, WINDOW, Workload, task_count},
    meter::Meter,
};

type State = *mut c_void;

// See librabbitmq.c.
unsafe extern "C" {
    fn bench_version() -> *const c_char;
    fn bench_connect(port: c_int) -> State;
    fn bench_close(conn: State) -> c_int;
    fn bench_open_channel(conn: State, channel: c_int) -> c_int;
    fn bench_confirm_select(conn: State, channel: c_int) -> c_int;
    fn bench_declare(conn: State, channel: c_int, queue: *const c_char) -> c_int;
    fn bench_consume(
        conn: State,
        channel: c_int,
        queue: *const c_char,
        automatic: c_int,
        prefetch: c_int,
    ) -> c_int;
    fn bench_publish(
        conn: State,
        channel: c_int,
        key: *const c_char,
        key_length: usize,
        reply_to: *const c_char,
        body: *const c_void,
        size: usize,
    ) -> c_int;
    fn bench_wait_ack(conn: State) -> i64;
    fn bench_take(conn: State, reply_to: *mut c_char, acked: *mut i64) -> i64;
    fn bench_ack(conn: State, channel: c_int, tag: u64) -> c_int;
    fn bench_wait_two(first: State, second: State) -> c_int;
}

pub struct LibRabbitMq;

impl Peer for LibRabbitMq {
    fn name(&self) -> &'static str {
        "librabbitmq"
    }

    fn version(&self) -> String {
        // SAFETY: it gives a constant.
        unsafe { CStr::from_ptr(bench_version()) }.to_string_lossy().into_owned()
    }

    fn offers(&self, _: Workload) -> bool {
        true
    }

    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        match job.workload {
            Workload::Publish => publish(job, meter),
            Workload::Confirm | Workload::ConfirmSingly | Workload::RabbitConfirm => {
                confirm(job, meter)
            }
            Workload::RoundTrip => round_trip(job, meter),
            Workload::Consume | Workload::ConsumeAck => consume(job, meter),
            Workload::Tasks => tasks(job, meter),
            Workload::Connect => connect(job, meter),
            Workload::OpenChannel => open_channels(job, meter),
            Workload::IdleConnection => idle_connections(job, meter),
            Workload::IdleChannel => idle_channels(job, meter),
            Workload::Stall => stall(job, meter),
            Workload::EndToEnd => end_to_end(job, meter),
            Workload::Rpc | Workload::RpcPlain => rpc(job, meter),
        }
    }
}

/// A connection, used by one thread at a time.
struct Connection(State);

// SAFETY (all of `impl Connection`): the pointer came from `bench_connect` and was not closed, for
// `close` takes the connection by value; strings outlive the calls; a body is only read.
impl Connection {
    fn connect(job: &Job) -> Result<Self, Failure> {
        let state = unsafe { bench_connect(c_int::from(job.port)) };
        if state.is_null() { Err("could not connect".into()) } else { Ok(Connection(state)) }
    }

    fn with_channel(job: &Job) -> Result<Self, Failure> {
        let conn = Connection::connect(job)?;
        conn.open_channel(1)?;
        Ok(conn)
    }

    fn close(self) -> Result<(), Failure> {
        done(unsafe { bench_close(self.0) }, "close")
    }

    fn open_channel(&self, channel: u16) -> Result<(), Failure> {
        done(unsafe { bench_open_channel(self.0, channel.into()) }, "channel.open")
    }

    fn confirm_select(&self, channel: u16) -> Result<(), Failure> {
        done(unsafe { bench_confirm_select(self.0, channel.into()) }, "confirm.select")
    }

    fn declare(&self, queue: &str) -> Result<(), Failure> {
        let queue = CString::new(queue)?;
        done(unsafe { bench_declare(self.0, 1, queue.as_ptr()) }, "queue.declare")
    }

    fn consume(&self, queue: &str, automatic: bool, prefetch: u16) -> Result<(), Failure> {
        let queue = CString::new(queue)?;
        let result =
            unsafe { bench_consume(self.0, 1, queue.as_ptr(), automatic.into(), prefetch.into()) };
        done(result, "basic.consume")
    }

    fn publish(&self, channel: u16, key: &str, body: &[u8]) -> Result<(), Failure> {
        self.publish_with(channel, key, ptr::null(), body)
    }

    fn publish_with(
        &self,
        channel: u16,
        key: &str,
        reply_to: *const c_char,
        body: &[u8],
    ) -> Result<(), Failure> {
        let result = unsafe {
            let (key, length) = (key.as_ptr().cast(), key.len());
            let (body, size) = (body.as_ptr().cast(), body.len());
            bench_publish(self.0, channel.into(), key, length, reply_to, body, size)
        };
        done(result, "basic.publish")
    }

    fn wait_ack(&self) -> Result<u64, Failure> {
        u64::try_from(unsafe { bench_wait_ack(self.0) }).map_err(|_| "no ack".into())
    }

    fn take(&self) -> Result<u64, Failure> {
        let tag = unsafe { bench_take(self.0, ptr::null_mut(), ptr::null_mut()) };
        u64::try_from(tag).map_err(|_| "no message".into())
    }

    /// A message's tag and reply-to.
    fn take_request(&self) -> Result<(u64, String), Failure> {
        let mut reply_to = [0_u8; 256];
        let tag = unsafe { bench_take(self.0, reply_to.as_mut_ptr().cast(), ptr::null_mut()) };
        let reply_to = CStr::from_bytes_until_nul(&reply_to)?.to_str()?.to_owned();
        Ok((u64::try_from(tag).map_err(|_| "no message")?, reply_to))
    }

    /// Takes a message, and tells of an ack that comes before it.
    fn take_reply(&self) -> Result<bool, Failure> {
        let mut acked = 0;
        let tag = unsafe { bench_take(self.0, ptr::null_mut(), &raw mut acked) };
        if tag < 0 { Err("no message".into()) } else { Ok(acked > 0) }
    }

    fn ack(&self, tag: u64) -> Result<(), Failure> {
        done(unsafe { bench_ack(self.0, 1, tag) }, "basic.ack")
    }
}

fn done(result: c_int, what: &'static str) -> Result<(), Failure> {
    if result == 0 { Ok(()) } else { Err(what.into()) }
}

fn publish(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (conn, body) = (Connection::with_channel(job)?, job.body());
    meter.start();
    for _ in 0..job.count {
        conn.publish(1, "bench", &body)?;
    }
    conn.declare(&job.expect_published())?;
    meter.stop();
    Ok(())
}

/// Fills the window, then reads acks until half of it is free.
fn confirm(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (conn, body) = (Connection::with_channel(job)?, job.body());
    if job.workload == Workload::ConfirmSingly {
        conn.declare(CONFIRM_SINGLY)?;
    }
    conn.confirm_select(1)?;
    let key = if job.workload == Workload::RabbitConfirm { "hopmq-bench-nowhere" } else { "bench" };
    let (mut sent, mut confirmed) = (0, 0);
    meter.start();
    while confirmed < job.count {
        while sent < job.count && sent - confirmed < u64::from(WINDOW) {
            conn.publish(1, key, &body)?;
            sent += 1;
        }
        while confirmed < sent && sent - confirmed > u64::from(WINDOW / 2).min(job.count - sent) {
            confirmed = confirmed.max(conn.wait_ack()?);
        }
    }
    meter.stop();
    Ok(())
}

fn round_trip(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (conn, body) = (Connection::with_channel(job)?, job.body());
    conn.confirm_select(1)?;
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        conn.publish(1, "bench", &body)?;
        conn.wait_ack()?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

fn consume(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = Connection::with_channel(job)?;
    let automatic = job.workload == Workload::Consume;
    meter.start();
    conn.consume(&job.flood(), automatic, if automatic { 0 } else { WINDOW })?;
    for _ in 0..job.count {
        let tag = conn.take()?;
        if !automatic {
            conn.ack(tag)?;
        }
    }
    if !automatic {
        conn.declare(&job.expect_settled())?;
    }
    meter.stop();
    Ok(())
}

/// It has no tasks: one message on each channel, then an ack from each.
fn tasks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (conn, body) = (Connection::connect(job)?, job.body());
    for channel in 1..=task_count() {
        conn.open_channel(channel)?;
        conn.confirm_select(channel)?;
    }
    meter.start();
    for _ in 0..job.per_task() {
        for channel in 1..=task_count() {
            conn.publish(channel, "bench", &body)?;
        }
        for _ in 1..=task_count() {
            conn.wait_ack()?;
        }
    }
    meter.stop();
    Ok(())
}

fn connect(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        Connection::connect(job)?.close()?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

fn open_channels(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = Connection::connect(job)?;
    meter.start();
    for channel in 1..=job.count as u16 {
        let begun = Instant::now();
        conn.open_channel(channel)?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

fn idle_connections(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    Connection::connect(job)?.close()?;
    meter.memory_before();
    let mut held = Vec::new();
    for _ in 0..job.count {
        held.push(Connection::connect(job)?);
    }
    meter.memory_after();
    Ok(())
}

fn idle_channels(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = Connection::with_channel(job)?;
    meter.memory_before();
    for channel in 2..=job.count as u16 + 1 {
        conn.open_channel(channel)?;
    }
    meter.memory_after();
    Ok(())
}

fn stall(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let conn = Connection::with_channel(job)?;
    meter.memory_before();
    conn.consume(&job.flood(), true, 0)?;
    thread::sleep(Duration::from_millis(STALL_MS));
    meter.memory_after();
    Ok(())
}

fn end_to_end(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let (consumer, body) = (Connection::with_channel(job)?, job.body());
    consumer.declare(QUEUE)?;
    consumer.consume(QUEUE, false, WINDOW)?;
    let publisher = Connection::with_channel(job)?;
    publisher.confirm_select(1)?;
    let (mut sent, mut confirmed, mut taken) = (0, 0, 0);
    meter.start();
    while taken < job.count || confirmed < job.count {
        while sent < job.count && sent - confirmed < u64::from(WINDOW) {
            publisher.publish(1, QUEUE, &body)?;
            sent += 1;
        }
        // SAFETY: both connections are open.
        let ready = unsafe { bench_wait_two(publisher.0, consumer.0) };
        if ready & 1 != 0 {
            confirmed = confirmed.max(publisher.wait_ack()?);
        }
        if ready & 2 != 0 {
            consumer.ack(consumer.take()?)?;
            taken += 1;
        }
    }
    meter.stop();
    Ok(())
}

fn rpc(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    const REPLY_TO: &CStr = c"amq.rabbitmq.reply-to";
    let (server, body) = (Connection::with_channel(job)?, job.body());
    server.declare(QUEUE)?;
    let sure = job.workload == Workload::Rpc;
    server.consume(QUEUE, !sure, 0)?;
    let client = Connection::with_channel(job)?;
    client.consume(REPLY_TO.to_str()?, true, 0)?;
    if sure {
        client.confirm_select(1)?;
        server.confirm_select(1)?;
    }
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        client.publish_with(1, QUEUE, REPLY_TO.as_ptr(), &body)?;
        let (tag, reply_to) = server.take_request()?;
        server.publish(1, &reply_to, &body)?;
        if sure {
            server.ack(tag)?;
        }
        let confirmed = client.take_reply()?;
        if sure {
            if !confirmed {
                client.wait_ack()?;
            }
            server.wait_ack()?;
        }
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}
