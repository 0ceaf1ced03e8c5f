//! Connections are reset again and again while messages flow: none is lost, nothing stalls.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hopmq::{
    Chan, Classic, Config, Confirm, Confirming, Conn, Error, Exchange, Message, Queue,
    broker::Broker,
};

use crate::{Result, config, patiently, proxy::Proxy, shared_node};

const WINDOW: usize = 200;

/// What was seen of it.
struct Flow {
    messages: u64,
    again: u64,
    /// The longest time in which nothing arrived.
    stall: Duration,
}

/// Publishes numbered messages until told to stop, and at least so many; gives how many.
async fn publish(
    chan: Chan<Confirming>,
    queue: Queue<Classic>,
    least: u64,
    stop: Arc<AtomicBool>,
) -> Result<u64> {
    let default = Exchange::default_exchange();
    let mut outstanding = VecDeque::<Confirm>::new();
    let mut number = 0_u64;
    while number < least || !stop.load(Ordering::Relaxed) {
        let message = Message::new(number.to_be_bytes()).message_id(number.to_string());
        outstanding.push_back(chan.publish(&default, &queue, message).at_least_once().await?);
        number += 1;
        while outstanding.len() >= WINDOW {
            outstanding.pop_front().expect("not empty").await?;
        }
    }
    for confirm in outstanding {
        confirm.await?;
    }
    Ok(number)
}

/// Messages flow through the proxy, which resets all connections so often.
async fn flow(proxy: &Proxy, config: Config, resets: u32, least: u64) -> Result<Flow> {
    let name = format!("resets-{}", std::process::id());
    let consuming = Conn::new(config.clone()).connect().await?;
    let chan = consuming.open_channel().await?;
    let queue = chan.declare(Queue::classic(&name)).await?;
    let mut deliveries = chan.consume(&queue).prefetch(200).await?;
    let publishing = Conn::new(config).connect().await?;
    let publisher = publishing.open_channel().await?.confirm_select().await?;
    let stop = Arc::new(AtomicBool::new(false));
    let mut published = tokio::spawn(publish(publisher, queue.clone(), least, stop.clone()));

    let mut seen = BTreeMap::<u64, u64>::new();
    let (mut made, mut wanted) = (0, None);
    let (mut last, mut stall) = (Instant::now(), Duration::ZERO);
    // 0.3 to 1.2 s apart, by a sequence that looks irregular.
    let gap = |made: u32| Duration::from_millis(u64::from(300 + made * 379 % 900));
    let reset = tokio::time::sleep(gap(0));
    tokio::pin!(reset);
    while wanted.is_none_or(|wanted| (seen.len() as u64) < wanted) {
        tokio::select! {
            () = &mut reset, if made < resets => {
                proxy.reset();
                made += 1;
                stop.store(made == resets, Ordering::Relaxed);
                reset.as_mut().reset(tokio::time::Instant::now() + gap(made));
            }
            all = &mut published, if wanted.is_none() => wanted = Some(all??),
            next = patiently(deliveries.next()) => {
                let delivery = next.ok_or("the consumer ended")??;
                stall = stall.max(last.elapsed());
                last = Instant::now();
                let body: [u8; 8] = delivery.body().into_bytes()[..].try_into()?;
                let number = u64::from_be_bytes(body);
                assert_eq!(delivery.properties().message_id(), Some(number.to_string().as_str()));
                *seen.entry(number).or_default() += 1;
                match delivery.ack() {
                    Ok(()) | Err(Error::Stale) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    let messages = wanted.unwrap_or_default();
    assert!(seen.keys().copied().eq(0..messages), "every message, and no other");
    let again = seen.values().map(|times| times - 1).sum();
    drop(deliveries);
    chan.delete_queue(&queue).await?;
    println!(
        "{messages} messages, {made} resets: 0 lost, {again} seen again, the longest stall {stall:?}; \
         {} and {} recoveries, the longest {:?}",
        publishing.stats().machine.recoveries,
        consuming.stats().machine.recoveries,
        publishing.stats().machine.longest_recovery.max(consuming.stats().machine.longest_recovery),
    );
    Ok(Flow { messages, again, stall })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_while_connections_are_reset() -> Result<()> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let proxy = Proxy::to(broker.address()).await;
    let flow = flow(&proxy, config(&proxy.uri()), 6, 1_000).await?;
    assert!(
        flow.messages >= 1_000 && flow.again <= 6 * 2 * (WINDOW as u64 + 200),
        "{}",
        flow.again
    );
    Ok(())
}

mod long {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    #[ignore = "long: run tests/run --long"]
    async fn nothing_is_lost_in_a_hundred_resets_and_300_000_messages() -> Result<()> {
        let proxy = Proxy::to(shared_node()).await;
        let flow = flow(&proxy, config(&proxy.uri()), 100, 300_000).await?;
        assert!(flow.stall < Duration::from_millis(1500), "stalled for {:?}", flow.stall);
        assert!(flow.again <= flow.messages / 10, "{} of {}", flow.again, flow.messages);
        Ok(())
    }
}
