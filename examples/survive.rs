//! Messages flow, the broker goes away and comes back, and at the end the account balances.
//!
//! `cargo run --example survive` plays both sides: it starts an embedded broker, refuses and cuts
//! connections, and lets them in again. With `AMQP_URL` it uses a real RabbitMQ: kill and restart
//! that yourself while it runs.

use std::{
    collections::{HashSet, VecDeque},
    env,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hopmq::{
    Chan, Config, Confirming, Conn, Connected, Consumer, Exchange, Message, Queue, Topic, Uri,
    broker::{Broker, Listening},
    fsm::supervisor::{Backoff, Policy},
};
use tokio::time::{interval, sleep};

const MESSAGES: u64 = 60_000;
const WINDOW: usize = 200;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What has happened so far.
#[derive(Default)]
struct Account {
    confirmed: AtomicU64,
    published_again: AtomicU64,
    seen: AtomicU64,
    seen_again: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let (uri, broker) = match env::var("AMQP_URL") {
        Ok(uri) => (uri, None),
        Err(_) => {
            let broker = Broker::bind("127.0.0.1:0").await?;
            (broker.uri(), Some(broker))
        }
    };
    let account = Arc::new(Account::default());

    // Publishing and consuming on connections of their own: an alarm that blocks publishers then
    // does not hold back acknowledgements.
    let consuming = connect(&uri, "consumer").await?;
    let chan = consuming.open_channel().await?;
    let orders = chan.declare(Exchange::topic("hopmq.survive")).await?;
    let inbox = chan.declare(Queue::classic("hopmq.survive.inbox")).await?;
    chan.bind(&inbox, &orders, "#").await?;
    let deliveries = chan.consume(&inbox).prefetch(100).await?;
    let consumer = tokio::spawn(consume(deliveries, account.clone()));

    let publishing = connect(&uri, "publisher").await?;
    let publisher = publishing.open_channel().await?.confirm_select().await?;
    let publisher = tokio::spawn(publish(publisher, orders.clone(), account.clone()));

    let printer = tokio::spawn(print(account.clone()));
    if let Some(broker) = broker {
        tokio::spawn(torment(broker));
    }
    publisher.await??;
    let seen = consumer.await??;
    printer.abort();

    let account = &*account;
    println!("{}", account.line());
    println!(
        "{} recoveries of the publisher, {} of the consumer",
        publishing.stats().machine.recoveries,
        consuming.stats().machine.recoveries
    );
    assert_eq!(account.confirmed.load(Ordering::Relaxed), MESSAGES);
    assert_eq!(seen, MESSAGES, "every confirmed message was seen");
    println!("the account balances: {MESSAGES} confirmed, {seen} seen, 0 lost");
    chan.delete_queue(&inbox).await?;
    chan.delete_exchange(&orders).await?;
    consuming.close().await?;
    publishing.close().await?;
    Ok(())
}

async fn connect(uri: &str, name: &'static str) -> Result<Conn<Connected>> {
    let millis = Duration::from_millis;
    let config = Config::from(uri.parse::<Uri>()?).connection_name(name).recovery(Policy {
        backoff: Backoff::exponential(millis(50), millis(1000)),
        ..Policy::default()
    });
    let conn = Conn::new(config).connect().await?;
    let mut changes = conn.state_changes();
    tokio::spawn(async move {
        while let Some(change) = changes.next().await {
            println!("{name:>9}: {change}");
        }
    });
    Ok(conn)
}

async fn publish(
    publisher: Chan<Confirming>,
    orders: Exchange<Topic>,
    account: Arc<Account>,
) -> Result<()> {
    let mut waiting: VecDeque<Message> = (0..MESSAGES)
        .map(|number| Message::new(number.to_be_bytes()).message_id(number.to_string()))
        .collect();
    let mut outstanding = Vec::with_capacity(WINDOW);
    // Slow enough to watch: two hundred messages every twenty milliseconds.
    let mut pace = interval(Duration::from_millis(20));
    loop {
        if outstanding.is_empty() {
            pace.tick().await;
        }
        while outstanding.len() < WINDOW
            && let Some(message) = waiting.pop_front()
        {
            match publisher.publish(&orders, "order", message).mandatory().await {
                Ok(confirm) => outstanding.push(confirm),
                // Not handed over: it comes back, and is tried again at the next tick.
                Err(failed) => {
                    let (error, message) = failed.into_parts();
                    if !error.is_transient() {
                        return Err(error.into());
                    }
                    waiting.push_front(message);
                    break;
                }
            }
        }
        if outstanding.is_empty() && waiting.is_empty() {
            return Ok(());
        }
        for confirm in outstanding.drain(..) {
            match confirm.await {
                Ok(()) => {
                    account.confirmed.fetch_add(1, Ordering::Relaxed);
                }
                Err(failed) => {
                    // Unknown: it may have arrived. It goes out again under the same message id.
                    account.published_again.fetch_add(1, Ordering::Relaxed);
                    waiting.push_front(failed.into_parts().1);
                }
            }
        }
    }
}

async fn consume(mut deliveries: Consumer, account: Arc<Account>) -> Result<u64> {
    let mut seen = HashSet::new();
    while seen.len() < MESSAGES as usize {
        let delivery = deliveries.next().await.ok_or("the consumer ended early")??;
        let id = delivery.properties().message_id().unwrap_or_default().to_owned();
        match seen.insert(id) {
            true => account.seen.fetch_add(1, Ordering::Relaxed),
            false => account.seen_again.fetch_add(1, Ordering::Relaxed),
        };
        // A stale delivery was requeued by the broker and comes again.
        let _ = delivery.ack();
    }
    Ok(seen.len() as u64)
}

/// Takes the broker away from its clients and gives it back, a few times.
async fn torment(broker: Broker<Listening>) {
    loop {
        sleep(Duration::from_millis(1500)).await;
        println!("   broker: gone");
        broker.faults().refuse_connections();
        broker.faults().cut_connections();
        sleep(Duration::from_millis(400)).await;
        println!("   broker: back");
        broker.faults().accept_connections();
    }
}

async fn print(account: Arc<Account>) {
    let mut tick = interval(Duration::from_millis(500));
    loop {
        tick.tick().await;
        println!("{}", account.line());
    }
}

impl Account {
    fn line(&self) -> String {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "  account: {} confirmed, {} published again, {} seen, {} seen again",
            of(&self.confirmed),
            of(&self.published_again),
            of(&self.seen),
            of(&self.seen_again)
        )
    }
}
