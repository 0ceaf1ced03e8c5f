//! The limit of the socket: pre-encoded frames in large blocks out, and in only frame boundaries.

mod link;
mod rabbitmq;

use std::time::Instant;

use crate::{
    frames::{self, Fields},
    job::{CONFIRM_SINGLY, Failure, Job, Peer, WINDOW, Workload, task_count},
    meter::Meter,
    peers::raw::link::Link,
};

/// Bytes written at once at most, unless a single message is larger.
const BLOCK: usize = 256 * 1024;

pub struct Raw;

impl Peer for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn version(&self) -> String {
        String::new()
    }

    fn offers(&self, workload: Workload) -> bool {
        // It has nothing to weigh.
        !workload.is_memory()
    }

    fn run(&self, job: &Job, meter: &mut Meter) -> Result<(), Failure> {
        match job.workload {
            Workload::Publish => publish(job, meter),
            Workload::Confirm | Workload::ConfirmSingly => {
                let mut link = Link::with_channel(job.port)?;
                if job.workload == Workload::ConfirmSingly {
                    link.declare(1, CONFIRM_SINGLY)?;
                }
                confirm(job, meter, link, "bench")
            }
            Workload::RabbitConfirm => rabbitmq::confirm(job, meter),
            Workload::RoundTrip => round_trip(job, meter),
            Workload::Consume => consume(job, meter),
            Workload::ConsumeAck => consume_ack(job, meter),
            Workload::Tasks => tasks(job, meter),
            Workload::Connect => connect(job, meter),
            Workload::OpenChannel => open_channels(job, meter),
            Workload::EndToEnd => rabbitmq::end_to_end(job, meter),
            Workload::Rpc | Workload::RpcPlain => rabbitmq::rpc(job, meter),
            Workload::IdleConnection | Workload::IdleChannel | Workload::Stall => Ok(()),
        }
    }
}

/// As many copies of a message as a block holds, and the length of one.
fn block_of(message: &[u8]) -> (Vec<u8>, usize) {
    (message.repeat((BLOCK / message.len()).max(1)), message.len())
}

fn publish(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut link = Link::with_channel(job.port)?;
    let mut message = Vec::new();
    frames::publish(&mut message, 1, "bench", &job.body());
    let (block, length) = block_of(&message);
    meter.start();
    let mut left = job.count as usize;
    while left > 0 {
        let count = left.min(block.len() / length);
        link.send(&block[..count * length])?;
        left -= count;
    }
    link.declare(1, &job.expect_published())?;
    meter.stop();
    Ok(())
}

/// Writes when half the window is free, else reads acks.
fn confirm(job: &Job, meter: &mut Meter, mut link: Link, key: &str) -> Result<(), Failure> {
    link.call(1, (85, 10), |out| out.push(0))?;
    let mut message = Vec::new();
    frames::publish(&mut message, 1, key, &job.body());
    let (block, length) = block_of(&message);
    let (mut sent, mut confirmed) = (0, 0);
    meter.start();
    while confirmed < job.count {
        let room = u64::from(WINDOW) - (sent - confirmed);
        if sent < job.count && room >= u64::from(WINDOW / 2) {
            let count = room.min(job.count - sent).min((block.len() / length) as u64);
            link.send(&block[..count as usize * length])?;
            sent += count;
        } else {
            link.read(|_, id, mut fields| confirmed = acknowledged(confirmed, id, &mut fields))?;
        }
    }
    meter.stop();
    Ok(())
}

/// How many are confirmed after this method; a broker confirms in order, singly or up to a tag.
fn acknowledged(confirmed: u64, id: (u16, u16), fields: &mut Fields<'_>) -> u64 {
    if id == (60, 80) { confirmed.max(fields.number(8)) } else { confirmed }
}

fn round_trip(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut link = Link::with_channel(job.port)?;
    link.call(1, (85, 10), |out| out.push(0))?;
    let mut message = Vec::new();
    frames::publish(&mut message, 1, "bench", &job.body());
    meter.start();
    for sent in 1..=job.count {
        let begun = Instant::now();
        link.send(&message)?;
        let mut confirmed = sent - 1;
        while confirmed < sent {
            link.read(|_, id, mut fields| confirmed = acknowledged(confirmed, id, &mut fields))?;
        }
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

fn consume(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut link = Link::with_channel(job.port)?;
    meter.start();
    let mut taken = link.consume(1, &job.flood(), true)?;
    while taken < job.count {
        link.read(|_, id, _| taken += u64::from(id == (60, 60)))?;
    }
    meter.stop();
    Ok(())
}

fn consume_ack(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut link = Link::with_channel(job.port)?;
    link.prefetch(1, WINDOW)?;
    let mut acks = Vec::new();
    meter.start();
    let mut taken = link.consume(1, &job.flood(), false)?;
    let mut acked = 0;
    loop {
        acks.clear();
        (acked + 1..=taken).for_each(|tag| frames::ack(&mut acks, 1, tag, false));
        acked = taken;
        link.send(&acks)?;
        if acked == job.count {
            break;
        }
        link.read(|_, id, _| taken += u64::from(id == (60, 60)))?;
    }
    link.declare(1, &job.expect_settled())?;
    meter.stop();
    Ok(())
}

/// One message on each channel in one write, then all their acks.
fn tasks(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut link = Link::connect(job.port)?;
    let mut block = Vec::new();
    for channel in 1..=task_count() {
        link.open_channel(channel)?;
        link.call(channel, (85, 10), |out| out.push(0))?;
        frames::publish(&mut block, channel, "bench", &job.body());
    }
    meter.start();
    for _ in 0..job.per_task() {
        link.send(&block)?;
        let mut confirmed = 0;
        while confirmed < task_count() {
            link.read(|_, id, _| confirmed += u16::from(id == (60, 80)))?;
        }
    }
    meter.stop();
    Ok(())
}

fn connect(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    meter.start();
    for _ in 0..job.count {
        let begun = Instant::now();
        Link::connect(job.port)?.close()?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

fn open_channels(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut link = Link::connect(job.port)?;
    meter.start();
    for channel in 1..=job.count as u16 {
        let begun = Instant::now();
        link.open_channel(channel)?;
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}
