//! What a service measures: each metric that is documented is reported, with the labels that are documented.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use ::metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use hopmq::{
    Conn, ConnectionState, Exchange, Queue,
    broker::Broker,
    service::{
        Caller, Failure, Message, PublishError, Publisher, Text, Worker,
        health::Health,
        metrics::{self, ALL, Kind, PoolReporter, Reporter},
        pool::ChanPool,
    },
};

use crate::{
    kit::{Seen, send},
    place::{Outcome, default_exchange, until},
};

/// Keeps what is reported: per name and labels a number, of a histogram how many there were.
#[derive(Clone, Default)]
struct Kept {
    values: Arc<Mutex<BTreeMap<String, f64>>>,
    described: Arc<Mutex<BTreeSet<String>>>,
}

impl Kept {
    /// The sum over all labels that say that.
    fn sum(&self, name: &str, label: &str) -> f64 {
        let values = self.values.lock().expect("unpoisoned");
        let fits = |key: &&String| key.split(' ').next() == Some(name) && key.contains(label);
        values.keys().filter(fits).map(|key| values[key]).sum()
    }

    /// Each name, with its labels.
    fn names(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut names = BTreeMap::<_, BTreeSet<_>>::new();
        for key in self.values.lock().expect("unpoisoned").keys() {
            let mut words = key.split(' ').map(str::to_owned);
            let labels = names.entry(words.next().expect("a name")).or_default();
            labels.extend(words.map(|word| word.split('=').next().unwrap_or("").to_owned()));
        }
        names
    }

    fn describe(&self, name: &KeyName) {
        self.described.lock().expect("unpoisoned").insert(name.as_str().to_owned());
    }
}

struct One {
    kept: Kept,
    key: String,
}

impl One {
    fn change(&self, change: impl FnOnce(f64) -> f64) {
        let mut values = self.kept.values.lock().expect("unpoisoned");
        let value = values.entry(self.key.clone()).or_default();
        *value = change(*value);
    }
}

impl CounterFn for One {
    fn increment(&self, by: u64) {
        self.change(|value| value + by as f64);
    }

    fn absolute(&self, value: u64) {
        self.change(|_| value as f64);
    }
}

impl GaugeFn for One {
    fn increment(&self, by: f64) {
        self.change(|value| value + by);
    }

    fn decrement(&self, by: f64) {
        self.change(|value| value - by);
    }

    fn set(&self, value: f64) {
        self.change(|_| value);
    }
}

impl HistogramFn for One {
    fn record(&self, _: f64) {
        self.change(|count| count + 1.0);
    }
}

impl Kept {
    fn one(&self, key: &Key) -> Arc<One> {
        let labels: Vec<_> =
            key.labels().map(|label| format!(" {}={}", label.key(), label.value())).collect();
        Arc::new(One { kept: self.clone(), key: format!("{}{}", key.name(), labels.concat()) })
    }
}

impl Recorder for Kept {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(&name);
    }

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

/// The recorder is this thread's, and so is the runtime.
fn measured(test: impl AsyncFnOnce(Kept) -> Outcome) -> Outcome {
    let kept = Kept::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    ::metrics::with_local_recorder(&kept, || {
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(240), test(kept.clone())).await
        })
    })?
}

#[test]
fn each_documented_metric_is_reported_and_no_other() -> Outcome {
    measured(async |kept| {
        metrics::describe();
        let broker = Broker::bind("127.0.0.1:0").await?;
        let conn = Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
        let reporter = Reporter::new(conn.state_changes(), "shop").every(Duration::from_millis(5));
        let reporter = tokio::spawn(reporter.run());
        until(async || Ok(kept.sum("hopmq_connection_up", "=shop") == 1.0)).await?;

        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::quorum("orders")).await?;
        let exchange = chan.declare(Exchange::direct("in")).await?;
        chan.bind(&queue, &exchange, "order").await?;
        let publisher = Publisher::new(chan.publisher(), exchange, Text);
        let texts = ["good", "bad", "worse"].map(|text| Message::new(text.to_owned()));
        publisher.publish_all(texts.iter().map(|text| ("order", text))).await?;
        let lost = publisher.publish("nowhere", &texts[0]).await;
        assert!(matches!(lost, Err(PublishError::Returned { .. })), "{lost:?}");
        // Not text.
        let raw = hopmq::Message::new(b"\xff").content_type("text/plain; charset=utf-8");
        chan.publish(&default_exchange(), &queue, raw).await?.await?;

        let (seen, stop) = (Seen::default(), Seen::default());
        let worker = Worker::new(chan.consume(&queue).await?, Text);
        let handler = {
            let seen = seen.clone();
            move |message: Message<String>| {
                let seen = seen.clone();
                async move {
                    seen.push(message.payload.clone());
                    match message.payload.as_str() {
                        "good" => Ok(()),
                        "bad" => Err(Failure::retry("bad")),
                        _ => Err(Failure::permanent("worse")),
                    }
                }
            }
        };
        let stopped = stop.clone();
        let worker =
            tokio::spawn(worker.run_until(handler, async move { drop(stopped.wait(1).await) }));
        until(async || Ok(kept.sum("hopmq_messages_processed_total", "queue=orders") == 4.0))
            .await?;
        let processed = |outcome| kept.sum("hopmq_messages_processed_total", outcome);
        assert_eq!((processed("outcome=completed"), processed("outcome=rejected")), (1.0, 3.0));
        let handled = |outcome| kept.sum("hopmq_handler_seconds", outcome);
        assert_eq!(handled("queue=orders outcome=ok"), 1.0);
        assert_eq!((handled("outcome=transient"), handled("outcome=permanent")), (1.0, 1.0));
        assert_eq!(kept.sum("hopmq_messages_undecodable_total", "queue=orders"), 1.0);
        assert_eq!(kept.sum("hopmq_handlers_running", ""), 0.0);
        assert_eq!(kept.sum("hopmq_confirm_seconds", "exchange=in"), 3.0);
        assert_eq!(kept.sum("hopmq_publish_errors_total", "kind=returned"), 1.0);

        let caller = Caller::new(
            conn.open_channel().await?.confirm_select().await?.rpc_client().await?,
            Text,
        );
        let asked = caller.within(Duration::from_millis(20));
        let answer: Result<Message<String>, _> =
            asked.call(&default_exchange(), &queue, &texts[0]).await;
        answer.expect_err("nobody answers");
        assert_eq!(kept.sum("hopmq_call_seconds", "outcome=failed"), 1.0);

        broker.faults().cut_connections();
        until(async || Ok(kept.sum("hopmq_reconnects_total", "connection=shop") == 1.0)).await?;
        assert_eq!(kept.sum("hopmq_connection_errors_total", "kind=network"), 1.0);
        stop.push("stop");
        worker.await??;
        let published = kept.sum("hopmq_messages_published_total", "");
        drop((chan, publisher, queue));
        conn.close().await?;
        reporter.await?;
        assert!(published >= 5.0, "{published}");
        assert_eq!(kept.sum("hopmq_connection_up", ""), 0.0);
        assert_eq!(kept.sum("hopmq_connection_state", "state=closed"), 1.0);

        let pool = ChanPool::publishing(broker.uri().parse::<hopmq::Config>()?).build()?;
        let mut reporter = PoolReporter::new(&pool, "pool");
        let chan = pool.get().await?;
        chan.publish(&default_exchange(), "nowhere", b"lost").await?.await?;
        reporter.report();
        assert_eq!(kept.sum("hopmq_pool_channels", "pool=pool"), 1.0);
        assert_eq!(kept.sum("hopmq_pool_channels_in_use", "pool=pool"), 1.0);
        assert_eq!(kept.sum("hopmq_connection_up", "connection=pool"), 1.0);
        drop(chan);
        pool.check().await;
        let reporting = tokio::spawn(reporter.every(Duration::from_millis(5)).run());
        until(async || Ok(kept.sum("hopmq_pool_channels_in_use", "") == 0.0)).await?;
        assert!(kept.sum("hopmq_pool_round_trip_seconds", "") > 0.0);
        pool.close().await;
        reporting.await?;
        assert_eq!(kept.sum("hopmq_messages_published_total", "connection=pool"), 1.0);
        assert_eq!(kept.sum("hopmq_pool_channels_max", ""), 0.0, "nobody looks any more");

        let conn = Arc::new(Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?);
        let health = Health::builder().connection("orders", &conn);
        let health = health.within(Duration::from_millis(50)).build();
        assert!(health.check().await.is_ready());
        broker.faults().stop_reading();
        assert!(!health.check().await.is_ready());
        assert_eq!(kept.sum("hopmq_health_failures_total", "source=orders"), 1.0);

        let documented = ALL.iter().map(|metric| {
            let labels = metric.labels.iter().map(|label| (*label).to_owned()).collect();
            (metric.name.to_owned(), labels)
        });
        assert_eq!(kept.names(), documented.collect());
        let described = kept.described.lock().expect("unpoisoned").clone();
        assert_eq!(described, ALL.iter().map(|metric| metric.name.to_owned()).collect());
        assert!(ALL.iter().any(|metric| metric.kind == Kind::Histogram));
        Ok(())
    })
}

#[test]
fn what_a_connection_counts_is_not_counted_twice() -> Outcome {
    measured(async |kept| {
        let broker = Broker::bind("127.0.0.1:0").await?;
        let conn = Conn::new(broker.uri().parse::<hopmq::Uri>()?).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic("orders")).await?;
        let mut reporter = Reporter::new(conn.state_changes(), "shop");
        for _ in 0..3 {
            send(&chan, &queue, &["one", "two"]).await?;
            reporter.report();
        }
        assert_eq!(kept.sum("hopmq_messages_published_total", ""), 6.0);
        assert_eq!(kept.sum("hopmq_published_body_bytes_total", ""), 18.0);
        assert_eq!(kept.sum("hopmq_messages_confirmed_total", ""), 6.0);
        assert_eq!(conn.state(), ConnectionState::Connected);
        drop(reporter);
        assert_eq!(kept.sum("hopmq_connection_up", ""), 0.0, "nobody looks any more");
        assert_eq!(kept.sum("hopmq_connection_state", ""), 0.0);
        Ok(())
    })
}
