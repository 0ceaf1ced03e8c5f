//! The `raw` peer on RabbitMQ: two connections in one thread.

use std::{io, os::fd::AsRawFd, time::Instant};

use crate::{
    frames::{self, Fields, HEADER},
    job::{Failure, Job, QUEUE, WINDOW, Workload},
    meter::Meter,
    peers::raw::{acknowledged, block_of, link::Link},
};

const REPLY_TO: &str = "amq.rabbitmq.reply-to";

pub fn confirm(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let link = Link::with_channel(job.port)?;
    // A key without a queue: RabbitMQ drops the message and confirms it.
    super::confirm(job, meter, link, "hopmq-bench-nowhere")
}

pub fn end_to_end(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let mut consumer = Link::with_channel(job.port)?;
    consumer.declare(1, QUEUE)?;
    consumer.prefetch(1, WINDOW)?;
    consumer.consume(1, QUEUE, false)?;
    let mut publisher = Link::with_channel(job.port)?;
    publisher.call(1, (85, 10), |out| out.push(0))?;
    let mut message = Vec::new();
    frames::publish(&mut message, 1, QUEUE, &job.body());
    let (block, length) = block_of(&message);
    let (mut sent, mut confirmed, mut taken, mut acked) = (0, 0, 0, 0);
    let mut acks = Vec::new();
    meter.start();
    while acked < job.count || confirmed < job.count {
        let room = u64::from(WINDOW) - (sent - confirmed);
        if sent < job.count && room >= u64::from(WINDOW / 2) {
            let count = room.min(job.count - sent).min((block.len() / length) as u64);
            publisher.send(&block[..count as usize * length])?;
            sent += count;
        }
        let (confirms, deliveries) = wait(&publisher, &consumer)?;
        if confirms {
            publisher
                .read(|_, id, mut fields| confirmed = acknowledged(confirmed, id, &mut fields))?;
        }
        if deliveries {
            consumer.read(|_, id, _| taken += u64::from(id == (60, 60)))?;
            acks.clear();
            (acked + 1..=taken).for_each(|tag| frames::ack(&mut acks, 1, tag, false));
            acked = taken;
            consumer.send(&acks)?;
        }
    }
    meter.stop();
    Ok(())
}

pub fn rpc(job: &Job, meter: &mut Meter) -> Result<(), Failure> {
    let sure = job.workload == Workload::Rpc;
    let mut server = Link::with_channel(job.port)?;
    server.declare(1, QUEUE)?;
    server.consume(1, QUEUE, !sure)?;
    let mut client = Link::with_channel(job.port)?;
    client.consume(1, REPLY_TO, true)?;
    if sure {
        client.call(1, (85, 10), |out| out.push(0))?;
        server.call(1, (85, 10), |out| out.push(0))?;
    }
    let (mut confirmed, mut answers_confirmed) = (0, 0);
    let mut request = Vec::new();
    let mut properties = vec![0b0000_0010, 0]; // reply-to, bit 9
    frames::short(&mut properties, REPLY_TO);
    frames::publish_with(&mut request, 1, QUEUE, &properties, &job.body());
    let body = job.body();
    meter.start();
    for sent in 1..=job.count {
        let begun = Instant::now();
        client.send(&request)?;
        let mut reply_to = String::new();
        while reply_to.is_empty() {
            server.read_frames(|kind, _, payload| {
                if kind == HEADER {
                    // Class, weight, size, then flags; reply-to is the one property here.
                    let mut fields = Fields(payload.get(14..).unwrap_or_default());
                    reply_to = fields.short().to_owned();
                }
            })?;
        }
        let mut reply = Vec::new();
        frames::publish(&mut reply, 1, &reply_to, &body);
        if sure {
            frames::ack(&mut reply, 1, sent, false);
        }
        server.send(&reply)?;
        let mut answered = false;
        while !answered || sure && confirmed < sent {
            client.read(|_, id, mut fields| {
                answered |= id == (60, 60);
                confirmed = acknowledged(confirmed, id, &mut fields);
            })?;
        }
        while sure && answers_confirmed < sent {
            server.read(|_, id, mut fields| {
                answers_confirmed = acknowledged(answers_confirmed, id, &mut fields);
            })?;
        }
        meter.latency(begun);
    }
    meter.stop();
    Ok(())
}

/// Which of the two has something to read.
fn wait(first: &Link, second: &Link) -> io::Result<(bool, bool)> {
    let mut polls = [first, second].map(|link| libc::pollfd {
        fd: link.stream().as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    });
    // SAFETY: two structs, and it says so.
    if unsafe { libc::poll(polls.as_mut_ptr(), 2, -1) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok((polls[0].revents != 0, polls[1].revents != 0))
}
