//! Exchanges of every type, and what is bound to them.

use hopmq::{
    Chan, Error, Exchange, Match, Message, Open, Queue, exchange::RouteTo, queue::Classic,
    wire::ReplyCode,
};

use crate::place::{Outcome, Place, default_exchange, text};

on_both_brokers!(
    a_direct_exchange_compares_keys,
    a_fanout_exchange_takes_all,
    a_topic_exchange_matches_patterns,
    a_headers_exchange_matches_headers,
    the_default_exchange_names_queues,
    the_brokers_own_exchanges_are_there,
    exchanges_are_bound_to_exchanges,
    bindings_are_removed,
    an_alternate_exchange_takes_the_rest,
    an_internal_exchange_is_fed_by_bindings,
    an_exchange_is_there_or_not,
    a_deleted_exchange_is_gone,
    another_type_is_refused,
);

/// A queue that the test alone uses.
async fn queue(chan: &Chan<Open>) -> Outcome<Queue<Classic>> {
    Ok(chan.declare(Queue::server_named()).await?)
}

/// Publishes on a channel; what was sent before on it takes effect before what is sent after.
async fn send<'a, X>(
    chan: &'a Chan<Open>,
    exchange: &'a Exchange<X>,
    route: impl RouteTo<'a, X>,
    body: &str,
) -> Outcome {
    Ok(chan.publish_unconfirmed(exchange, route, Message::text(body)).await?)
}

/// Takes out everything that a queue has.
async fn drain(chan: &Chan<Open>, queue: &Queue<Classic>) -> Outcome<Vec<String>> {
    let mut texts = Vec::new();
    while let Some(delivery) = chan.get(queue).await? {
        texts.push(text(&delivery));
        delivery.ack()?;
    }
    Ok(texts)
}

async fn a_direct_exchange_compares_keys(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let exchange = chan.declare(Exchange::direct(at.name("direct"))).await?;
    let (one, two) = (queue(&chan).await?, queue(&chan).await?);
    chan.bind(&one, &exchange, "a").await?;
    chan.bind(&two, &exchange, "a").await?;
    chan.bind(&two, &exchange, "b").await?;
    for key in ["a", "b", "c", "A", ""] {
        send(&chan, &exchange, key, key).await?;
    }
    assert_eq!(drain(&chan, &one).await?, ["a"]);
    assert_eq!(drain(&chan, &two).await?, ["a", "b"]);
    Ok(())
}

async fn a_fanout_exchange_takes_all(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let exchange = chan.declare(Exchange::fanout(at.name("fanout"))).await?;
    let (one, two) = (queue(&chan).await?, queue(&chan).await?);
    chan.bind(&one, &exchange, ()).await?;
    chan.bind(&two, &exchange, ()).await?;
    send(&chan, &exchange, (), "all").await?;
    assert_eq!(drain(&chan, &one).await?, ["all"]);
    assert_eq!(drain(&chan, &two).await?, ["all"]);
    Ok(())
}

async fn a_topic_exchange_matches_patterns(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let exchange = chan.declare(Exchange::topic(at.name("topic"))).await?;
    let patterns = [
        ("order.*.created", vec!["order.eu.created"]),
        ("order.#", vec!["order.eu.created", "order", "order.us"]),
        ("#.created", vec!["order.eu.created", "created"]),
        // An empty key has no word.
        ("*", vec!["order", "created"]),
        ("#", vec!["order.eu.created", "order", "order.us", "created", "", "a..b"]),
        ("a.*.b", vec!["a..b"]),
    ];
    let mut queues = Vec::new();
    for (pattern, _) in &patterns {
        let queue = queue(&chan).await?;
        chan.bind(&queue, &exchange, *pattern).await?;
        queues.push(queue);
    }
    for key in ["order.eu.created", "order", "order.us", "created", "", "a..b"] {
        send(&chan, &exchange, key, key).await?;
    }
    for ((pattern, expected), queue) in patterns.iter().zip(&queues) {
        assert_eq!(drain(&chan, queue).await?, *expected, "{pattern}");
    }
    Ok(())
}

async fn a_headers_exchange_matches_headers(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let exchange = chan.declare(Exchange::headers(at.name("headers"))).await?;
    let (all, any) = (queue(&chan).await?, queue(&chan).await?);
    chan.bind(&all, &exchange, Match::all([("format", "pdf"), ("type", "report")])).await?;
    chan.bind(&any, &exchange, Match::any([("priority", 9)]).header("type", "report")).await?;
    let messages = [
        Message::text("both").header("format", "pdf").header("type", "report"),
        Message::text("type").header("type", "report"),
        Message::text("priority").header("priority", 9),
        Message::text("other").header("priority", 1),
        Message::text("none"),
    ];
    for message in messages {
        chan.publish_unconfirmed(&exchange, (), message).await?;
    }
    assert_eq!(drain(&chan, &all).await?, ["both"]);
    assert_eq!(drain(&chan, &any).await?, ["both", "type", "priority"]);
    Ok(())
}

async fn the_default_exchange_names_queues(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let name = at.name("inbox");
    let queue = chan.declare(Queue::classic(&name).exclusive()).await?;
    let default = default_exchange();
    send(&chan, &default, &queue, "token").await?;
    send(&chan, &default, name.as_str(), "name").await?;
    send(&chan, &default, "nobody", "lost").await?;
    assert_eq!(drain(&chan, &queue).await?, ["token", "name"]);
    Ok(())
}

async fn the_brokers_own_exchanges_are_there(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let queue = queue(&chan).await?;
    let key = at.name("key");
    chan.bind(&queue, &Exchange::amq_direct(), &key).await?;
    chan.bind(&queue, &Exchange::amq_topic(), &key).await?;
    chan.bind(&queue, &Exchange::amq_headers(), Match::all([("id", key.as_str())])).await?;
    send(&chan, &Exchange::amq_direct(), &key, "direct").await?;
    send(&chan, &Exchange::amq_topic(), &key, "topic").await?;
    let message = Message::text("headers").header("id", key.as_str());
    chan.publish_unconfirmed(&Exchange::amq_headers(), (), message).await?;
    assert_eq!(drain(&chan, &queue).await?, ["direct", "topic", "headers"]);
    Ok(())
}

async fn exchanges_are_bound_to_exchanges(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let source = chan.declare(Exchange::topic(at.name("source"))).await?;
    let target = chan.declare(Exchange::fanout(at.name("target"))).await?;
    let queue = queue(&chan).await?;
    chan.bind(&target, &source, "order.#").await?;
    chan.bind(&queue, &target, ()).await?;
    // A way round is not a way for ever.
    let back = chan.declare(Exchange::topic(at.name("back"))).await?;
    chan.bind(&back, &target, ()).await?;
    chan.bind(&target, &back, "#").await?;
    send(&chan, &source, "order.eu", "through").await?;
    send(&chan, &source, "other", "not").await?;
    assert_eq!(drain(&chan, &queue).await?, ["through"]);
    chan.unbind(&target, &source, "order.#").await?;
    send(&chan, &source, "order.eu", "no longer").await?;
    assert_eq!(drain(&chan, &queue).await?, [""; 0]);
    Ok(())
}

async fn bindings_are_removed(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let exchange = chan.declare(Exchange::topic(at.name("topic"))).await?;
    let queue = queue(&chan).await?;
    chan.bind(&queue, &exchange, "a").await?;
    chan.bind(&queue, &exchange, "b").await?;
    // The same again is one binding, and gives one copy.
    chan.bind(&queue, &exchange, "a").await?;
    send(&chan, &exchange, "a", "once").await?;
    assert_eq!(drain(&chan, &queue).await?, ["once"]);
    chan.unbind(&queue, &exchange, "a").await?;
    chan.unbind(&queue, &exchange, "never bound").await?;
    send(&chan, &exchange, "a", "a").await?;
    send(&chan, &exchange, "b", "b").await?;
    assert_eq!(drain(&chan, &queue).await?, ["b"]);

    let headers = chan.declare(Exchange::headers(at.name("headers"))).await?;
    let wanted = Match::all([("k", 1)]);
    chan.bind(&queue, &headers, wanted.clone()).await?;
    chan.unbind(&queue, &headers, wanted).await?;
    chan.publish_unconfirmed(&headers, (), Message::text("k").header("k", 1)).await?;
    assert_eq!(drain(&chan, &queue).await?, [""; 0]);
    Ok(())
}

async fn an_alternate_exchange_takes_the_rest(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let rest = chan.declare(Exchange::fanout(at.name("rest"))).await?;
    let main = Exchange::direct(at.name("main")).alternate(&rest);
    let main = chan.declare(main).await?;
    let (known, unknown) = (queue(&chan).await?, queue(&chan).await?);
    chan.bind(&known, &main, "known").await?;
    chan.bind(&unknown, &rest, ()).await?;
    send(&chan, &main, "known", "known").await?;
    send(&chan, &main, "unknown", "unknown").await?;
    assert_eq!(drain(&chan, &known).await?, ["known"]);
    assert_eq!(drain(&chan, &unknown).await?, ["unknown"]);
    Ok(())
}

async fn an_internal_exchange_is_fed_by_bindings(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let name = at.name("inner");
    let inner = chan.declare(Exchange::fanout(&name).internal()).await?;
    let outer = chan.declare(Exchange::fanout(at.name("outer"))).await?;
    let queue = queue(&chan).await?;
    chan.bind(&inner, &outer, ()).await?;
    chan.bind(&queue, &inner, ()).await?;
    send(&chan, &outer, (), "in").await?;
    assert_eq!(drain(&chan, &queue).await?, ["in"]);

    // The escape gets round the type; the broker says no.
    let escape = Exchange::<hopmq::Fanout>::by_name(&name)?;
    let confirming = at.publisher().await?;
    confirming.publish(&escape, (), b"x").await?.await.unwrap_err();
    let reason = confirming.close_reason().ok_or("the channel is closed")?;
    assert_eq!(reason.reply_code(), Some(ReplyCode::ACCESS_REFUSED));
    Ok(())
}

async fn an_exchange_is_there_or_not(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let name = at.name("topic");
    chan.declare(Exchange::topic(&name)).await?;
    let found = chan.declare(Exchange::topic(&name).passive()).await?;
    assert_eq!(found.name(), name);
    let missing = at.name("missing");
    let error = chan.declare(Exchange::topic(&missing).passive()).await.unwrap_err();
    let text = format!("NOT_FOUND - no exchange '{missing}' in vhost '/'");
    assert_eq!(error.reply_text(), Some(text.as_str()));
    Ok(())
}

async fn a_deleted_exchange_is_gone(at: Place) -> Outcome {
    let chan = at.publisher().await?;
    let exchange = chan.declare(Exchange::fanout(at.name("fanout"))).await?;
    chan.publish(&exchange, (), b"x").await?.await?;
    chan.delete_exchange(&exchange).await?;
    chan.delete_exchange(&exchange).await?;
    chan.publish(&exchange, (), b"x").await?.await.unwrap_err();
    let reason = chan.close_reason().ok_or("the channel is closed")?;
    assert_eq!(reason.reply_code(), Some(ReplyCode::NOT_FOUND));
    let method = reason.method().map(|method| method.to_string());
    assert_eq!(method.as_deref(), Some("basic.publish"));
    Ok(())
}

async fn another_type_is_refused(at: Place) -> Outcome {
    let chan = at.chan().await?;
    let name = at.name("exchange");
    chan.declare(Exchange::topic(&name)).await?;
    let error = chan.declare(Exchange::direct(&name)).await.unwrap_err();
    assert_eq!(error.reply_code(), Some(ReplyCode::PRECONDITION_FAILED));
    let Error::Broker(exception) = error else { panic!("{error:?}") };
    assert!(exception.text.contains("inequivalent arg 'type'"), "{exception}");
    Ok(())
}
