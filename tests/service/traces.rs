//! Traces go through messages: what a handler does belongs to the trace of whoever published its message.

use std::{
    fmt,
    future::{Future, ready},
    sync::{Arc, LazyLock, Mutex},
};

use hopmq::{
    Chan, Confirming, Queue, Quorum, Responder,
    service::{
        CallServer, Caller, Failure, MemoryOutbox, Message, Publisher, Raw, Relay, Text,
        TraceContext, Worker,
    },
};
use opentelemetry::{
    Value,
    trace::{SpanId, SpanKind, TracerProvider as _},
};
use opentelemetry_sdk::{
    error::OTelSdkResult,
    trace::{SdkTracerProvider, SpanData, SpanExporter},
};
use tracing::{Dispatch, Instrument, info_span, subscriber::NoSubscriber};
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    kit::taken,
    place::{Outcome, Place, default_exchange, until},
};

on_both_brokers!(
    a_trace_goes_through_publish_handler_and_nested_publish,
    a_trace_outlives_the_outbox,
    a_trace_goes_through_questions_and_answers,
    without_a_layer_messages_say_nothing_of_a_trace,
    a_loop_of_ones_own_goes_on_with_a_trace,
    a_state_of_the_trace_is_passed_on,
    a_failed_handler_says_so_in_its_span,
);

/// Keeps the spans that have ended.
#[derive(Clone, Default)]
struct Ended(Arc<Mutex<Vec<SpanData>>>);

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ended")
    }
}

impl SpanExporter for Ended {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().expect("unpoisoned").extend(batch);
        ready(Ok(()))
    }
}

impl Ended {
    fn named(&self, name: &str) -> Option<SpanData> {
        self.0.lock().expect("unpoisoned").iter().find(|span| span.name == name).cloned()
    }

    async fn wait(&self, name: &str) -> Outcome<SpanData> {
        until(async || Ok(self.named(name).is_some())).await?;
        Ok(self.named(name).ok_or("it was there")?)
    }
}

/// With a single subscriber `tracing` asks that of whichever thread comes by a span first, and remembers
/// that nobody wants it if that one runs a test without any. Two are all asked.
static ANOTHER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::default()));

/// Runs a test in which spans are recorded.
async fn recorded(test: impl AsyncFnOnce(&Ended) -> Outcome) -> Outcome {
    LazyLock::force(&ANOTHER);
    let ended = Ended::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(ended.clone()).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    // Of this thread, on which all tasks of the test run.
    let _recording = tracing::subscriber::set_default(subscriber);
    test(&ended).await
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| match &attribute.value {
        Value::String(text) => text.to_string(),
        other => other.to_string(),
    })
}

async fn inbox(at: &Place, chan: &Chan<Confirming>, name: &str) -> Outcome<Queue<Quorum>> {
    Ok(chan.declare(Queue::quorum(at.name(name))).await?)
}

async fn a_trace_goes_through_publish_handler_and_nested_publish(at: Place) -> Outcome {
    recorded(async |ended| {
        let chan = at.publisher().await?;
        let (first, second) =
            (inbox(&at, &chan, "first").await?, inbox(&at, &chan, "second").await?);
        let publisher = Publisher::new(chan.publisher(), default_exchange(), Text);
        let order = Message::new("12 apples".to_owned()).correlation_id("basket-7");
        let request = info_span!("request");
        publisher.publish(&first, &order).instrument(request).await?;

        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = Worker::new(chan.consume(&first).await?, Text);
        let handler = {
            let (publisher, second) = (publisher.clone(), second.clone());
            move |order: Message<String>| {
                let (publisher, second) = (publisher.clone(), second.clone());
                async move {
                    publisher.publish(&second, &Message::new(order.payload)).await?;
                    Ok::<_, Failure>(())
                }
            }
        };
        let worker = worker.run_until(handler, async { drop(stopped.await) });
        let looking = async {
            let delivery = taken(&chan, &second).await?;
            let sent = TraceContext::of(&delivery.properties().headers()?).ok_or("no context")?;
            delivery.ack()?;
            until(async || Ok(chan.counts(&first).await?.messages == 0)).await?;
            drop(stop);
            Outcome::Ok(sent)
        };
        let (worked, sent) = tokio::join!(worker, looking);
        worked?;

        let (first, second) = (first.name().to_string(), second.name().to_string());
        let request = ended.wait("request").await?;
        let publish = ended.wait(&format!("publish {first}")).await?;
        let process = ended.wait(&format!("process {first}")).await?;
        let nested = ended.wait(&format!("publish {second}")).await?;
        let trace = request.span_context.trace_id();
        for (span, parent) in [(&publish, &request), (&process, &publish), (&nested, &process)] {
            assert_eq!(span.span_context.trace_id(), trace, "{}", span.name);
            assert_eq!(span.parent_span_id, parent.span_context.span_id(), "{}", span.name);
        }
        assert!(process.parent_span_is_remote);
        let sent = sent?;
        assert_eq!(sent.trace_id(), trace.to_bytes());
        assert_eq!(SpanId::from_bytes(sent.span_id()), nested.span_context.span_id());
        assert!(sent.is_sampled());

        assert_eq!(
            (publish.span_kind.clone(), process.span_kind.clone()),
            (SpanKind::Producer, SpanKind::Consumer)
        );
        let id = order.id.to_string();
        for span in [&publish, &process] {
            for (name, value) in [
                ("messaging.system", "rabbitmq"),
                ("messaging.destination.name", &*first),
                ("messaging.rabbitmq.destination.routing_key", &first),
                ("messaging.message.id", &id),
                ("messaging.message.conversation_id", "basket-7"),
            ] {
                assert_eq!(
                    attribute(span, name).as_deref(),
                    Some(value),
                    "{name} of {}",
                    span.name
                );
            }
        }
        let operation =
            |span, which: &str| attribute(span, &format!("messaging.operation.{which}"));
        assert_eq!(operation(&publish, "type").as_deref(), Some("send"));
        assert_eq!(operation(&process, "type").as_deref(), Some("process"));
        assert_eq!(operation(&publish, "name").as_deref(), Some("publish"));
        for (name, number) in
            [("messaging.rabbitmq.message.delivery_tag", 1), ("messaging.message.body.size", 9)]
        {
            let found = process.attributes.iter().find(|found| found.key.as_str() == name);
            assert_eq!(found.map(|found| &found.value), Some(&Value::I64(number)), "{name}");
        }
        Ok(())
    })
    .await
}

async fn a_trace_outlives_the_outbox(at: Place) -> Outcome {
    recorded(async |ended| {
        let chan = at.publisher().await?;
        let queue = inbox(&at, &chan, "inbox").await?;
        let outbox = Arc::new(MemoryOutbox::new(10));
        info_span!("business").in_scope(|| {
            let message = Message::new("12 apples".to_owned()).to_bytes(&Text)?;
            outbox.push(queue.name().to_string(), message)?;
            Outcome::Ok(())
        })?;
        let relay =
            Relay::new(outbox.clone(), Publisher::new(chan.publisher(), default_exchange(), Raw));
        relay
            .run_until(async {
                while !outbox.is_empty() {
                    tokio::task::yield_now().await
                }
            })
            .await?;
        let delivery = taken(&chan, &queue).await?;
        let sent = TraceContext::of(&delivery.properties().headers()?).ok_or("no context")?;
        delivery.ack()?;
        let business = ended.wait("business").await?;
        assert_eq!(sent.trace_id(), business.span_context.trace_id().to_bytes());
        let publish = ended.wait(&format!("publish {}", queue.name())).await?;
        assert_eq!(publish.parent_span_id, business.span_context.span_id());
        Ok(())
    })
    .await
}

async fn a_trace_goes_through_questions_and_answers(at: Place) -> Outcome {
    recorded(async |ended| {
        let conn = at.conn().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic(at.name("questions"))).await?;
        let responder = Responder::new(chan.consume(&queue).await?, chan.publisher());
        let server = CallServer::new(responder, Text);
        let client = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
        let caller = Caller::new(client, Text);
        let question = Message::new("how many?".to_owned());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let answer = |_: Message<String>| async { Ok::<_, Failure>("12".to_owned()) };
        let serving = server.run_until(answer, async { drop(stopped.await) });
        let asking = async {
            let exchange = default_exchange();
            let asked = caller.call::<_, _, _, String>(&exchange, &queue, &question);
            let answer = asked.instrument(info_span!("asking")).await;
            drop(stop);
            answer
        };
        let (served, answer) = tokio::join!(serving, asking);
        served?;
        assert_eq!(answer?.payload, "12");
        let asking = ended.wait("asking").await?;
        let process = ended.wait(&format!("process {}", queue.name())).await?;
        assert_eq!(process.span_context.trace_id(), asking.span_context.trace_id());
        Ok(())
    })
    .await
}

async fn without_a_layer_messages_say_nothing_of_a_trace(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let queue = inbox(&at, &chan, "inbox").await?;
    let publisher = Publisher::new(chan.publisher(), default_exchange(), Text);
    publisher.publish(&queue, &Message::new("12 apples".to_owned())).await?;
    let delivery = taken(&chan, &queue).await?;
    assert_eq!(delivery.properties().header(hopmq::service::TRACEPARENT), None);
    delivery.ack()?;
    Ok(())
}

async fn a_loop_of_ones_own_goes_on_with_a_trace(at: Place) -> Outcome {
    recorded(async |ended| {
        let chan = at.publisher().await?;
        let queue = inbox(&at, &chan, "inbox").await?;
        let sender = info_span!("sender");
        let context = TraceContext::of_span(&sender).ok_or("it is recorded")?;
        let message = Message::new("12 apples".to_owned()).trace(&context).encode(&Text)?;
        chan.publish(&default_exchange(), &queue, message).await?.await?;
        drop(sender);

        let delivery = taken(&chan, &queue).await?;
        let span = info_span!("receiver");
        let came = TraceContext::of(&delivery.properties().headers()?).ok_or("it says so")?;
        came.set_parent_of(&span);
        span.in_scope(|| delivery.ack())?;
        drop(span);
        let (sender, receiver) = (ended.wait("sender").await?, ended.wait("receiver").await?);
        assert_eq!(receiver.span_context.trace_id(), sender.span_context.trace_id());
        assert_eq!(receiver.parent_span_id, sender.span_context.span_id());
        Ok(())
    })
    .await
}

async fn a_state_of_the_trace_is_passed_on(at: Place) -> Outcome {
    recorded(async |_| {
        let chan = at.publisher().await?;
        let queue = inbox(&at, &chan, "inbox").await?;
        let context = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context =
            TraceContext::parse(context, Some("vendor=1")).ok_or("as the standard has it")?;
        let span = info_span!("within");
        context.set_parent_of(&span);
        let publisher = Publisher::new(chan.publisher(), default_exchange(), Text);
        let message = Message::new("12 apples".to_owned());
        publisher.publish_all([(&queue, &message)]).instrument(span).await?;
        let delivery = taken(&chan, &queue).await?;
        let sent = TraceContext::of(&delivery.properties().headers()?).ok_or("no context")?;
        delivery.ack()?;
        assert_eq!((sent.trace_id(), sent.tracestate()), (context.trace_id(), Some("vendor=1")));
        assert_ne!(sent.span_id(), context.span_id());
        Ok(())
    })
    .await
}

async fn a_failed_handler_says_so_in_its_span(at: Place) -> Outcome {
    recorded(async |ended| {
        let chan = at.publisher().await?;
        let queue = inbox(&at, &chan, "inbox").await?;
        let publisher = Publisher::new(chan.publisher(), default_exchange(), Text);
        publisher.publish(&queue, &Message::new("12 pears".to_owned())).await?;
        let name = format!("process {}", queue.name());
        let worker = Worker::new(chan.consume(&queue).await?, Text);
        let handler = |_: Message<String>| async { Err(Failure::permanent("no pears")) };
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let worker = worker.run_until(handler, async { drop(stopped.await) });
        let looking = async {
            let process = ended.wait(&name).await;
            drop(stop);
            process
        };
        let (worked, process) = tokio::join!(worker, looking);
        worked?;
        let process = process?;
        assert_eq!(attribute(&process, "error.type").as_deref(), Some("permanent"));
        assert!(matches!(process.status, opentelemetry::trace::Status::Error { .. }));
        Ok(())
    })
    .await
}
