//! Remote procedure calls over direct reply-to.

use std::time::Duration;

use hopmq::{
    Classic, Conn, Connected, Consumer, Exchange, Message, Queue, Replied, Responder, RpcClient,
    RpcError, Unconfirmed,
};

use super::{LONG, Result, on_both_brokers};

async fn client(conn: &Conn<Connected>) -> Result<RpcClient> {
    Ok(conn.open_channel().await?.confirm_select().await?.rpc_client().await?)
}

/// A queue, and who answers the requests in it.
async fn responder(conn: &Conn<Connected>) -> Result<(Queue<Classic>, Responder)> {
    let chan = conn.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::server_named()).await?;
    let requests = chan.consume(&queue).await?;
    Ok((queue, Responder::new(requests, chan.publisher())))
}

async fn many_calls_at_once_get_their_own_replies(conn: Conn<Connected>) -> Result {
    let (queue, responder) = responder(&conn).await?;
    let serving = tokio::spawn(responder.serve(|request| async move {
        Message::new(request.into_body().into_bytes()).kind("echo")
    }));
    let client = client(&conn).await?;
    let calls = (0..50u8).map(|number| {
        let (client, queue) = (client.clone(), queue.clone());
        tokio::spawn(async move {
            let default = Exchange::default_exchange();
            let reply = client.call(&default, &queue, [number]).within(LONG).await?;
            assert_eq!(reply.body().into_bytes(), [number][..]);
            assert_eq!(reply.properties().kind(), Some("echo"));
            Result::Ok(())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await??;
    }
    assert_eq!((client.outstanding(), client.ignored_replies()), (0, 0));
    serving.abort();
    Ok(())
}

async fn replies_may_come_in_any_order(conn: Conn<Connected>) -> Result {
    let (queue, mut responder) = responder(&conn).await?;
    let client = client(&conn).await?;
    let default = Exchange::default_exchange();
    let first = client.call(&default, &queue, *b"first");
    let second = client.call(&default, &queue, *b"second");
    let answering = async {
        let one = responder.next().await.ok_or("the consumer ended")??;
        let two = responder.next().await.ok_or("the consumer ended")??;
        let body = two.body().into_bytes();
        assert_eq!(two.reply(body).await?, Replied::Taken);
        let body = one.body().into_bytes();
        assert_eq!(one.reply(body).await?, Replied::Taken);
        Result::Ok(())
    };
    let (first, second, answered) = tokio::join!(first, second, answering);
    answered?;
    assert_eq!(first?.body().into_bytes(), b"first"[..]);
    assert_eq!(second?.body().into_bytes(), b"second"[..]);
    Ok(())
}

async fn an_answered_request_is_settled_also_where_the_reply_takes_the_ack_along(
    conn: Conn<Connected>,
) -> Result {
    let asking = client(&conn).await?;
    let default = Exchange::default_exchange();
    // On the channel that the request came on, and on another.
    for is_same in [true, false] {
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::server_named()).await?;
        let replies = match is_same {
            true => chan.publisher(),
            false => conn.open_channel().await?.confirm_select().await?.publisher(),
        };
        let mut responder = Responder::new(chan.consume(&queue).await?, replies);
        let call = asking.call(&default, &queue, *b"?").within(LONG);
        let answering = async {
            let request = responder.next().await.ok_or("the consumer ended")??;
            Result::Ok(request.reply(*b"!").await?)
        };
        let (reply, replied) = tokio::join!(call, answering);
        assert_eq!(reply?.body().into_bytes(), b"!"[..]);
        assert_eq!(replied?, Replied::Taken);

        // What is unsettled when its channel closes goes back to the queue.
        drop(responder);
        chan.close().await?;
        let other = conn.open_channel().await?;
        assert_eq!(other.counts(&queue).await?.messages, 0, "on the same channel: {is_same}");
    }
    Ok(())
}

async fn a_request_that_no_queue_takes_fails_at_once(conn: Conn<Connected>) -> Result {
    let client = client(&conn).await?;
    let default = Exchange::default_exchange();
    let call = client.call(&default, "surface.no.such.queue", *b"?").within(LONG * 2);
    let error = call.await.unwrap_err();
    assert!(matches!(error, RpcError::Unconfirmed(Unconfirmed::Returned { .. })), "{error:?}");
    assert_eq!(client.outstanding(), 0);
    Ok(())
}

async fn a_late_reply_is_ignored_and_counted(conn: Conn<Connected>) -> Result {
    let (queue, mut responder) = responder(&conn).await?;
    let client = client(&conn).await?;
    let default = Exchange::default_exchange();
    let after = Duration::from_millis(50);
    let error = client.call(&default, &queue, *b"slow").within(after).await.unwrap_err();
    assert!(matches!(error, RpcError::NoReply { after: said } if said == after), "{error:?}");
    let slow = responder.next().await.ok_or("the consumer ended")??;
    assert_eq!(slow.reply(*b"late").await?, Replied::Taken, "the client is still there");

    // The client goes on, and a later reply tells that the late one was seen.
    let next = client.call(&default, &queue, *b"quick");
    let answering = async {
        let quick = responder.next().await.ok_or("the consumer ended")??;
        Result::Ok(quick.reply(*b"in time").await?)
    };
    let (reply, answered) = tokio::join!(next, answering);
    answered?;
    assert_eq!(reply?.body().into_bytes(), b"in time"[..]);
    assert_eq!(client.ignored_replies(), 1);
    Ok(())
}

async fn further_calls_wait_for_a_place(conn: Conn<Connected>) -> Result {
    let (queue, responder) = responder(&conn).await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let client = chan.rpc_client().max_calls(1).await?;
    let default = Exchange::default_exchange();
    let mut first = client.call(&default, &queue, *b"1");
    let pending = tokio::time::timeout(Duration::from_millis(50), &mut first).await;
    assert!(pending.is_err(), "nobody answers yet");

    let crowded = client.call(&default, &queue, *b"2").within(Duration::from_millis(50));
    assert!(matches!(crowded.await.unwrap_err(), RpcError::NoReply { .. }));
    assert_eq!(client.outstanding(), 1);

    let third = client.call(&default, &queue, *b"3");
    let serving = tokio::spawn(responder.serve(|request| async move { request.body().into() }));
    let (first, third) = tokio::join!(first, third);
    assert_eq!(first?.body().into_bytes(), b"1"[..]);
    assert_eq!(third?.body().into_bytes(), b"3"[..]);
    serving.abort();
    Ok(())
}

async fn a_dropped_call_frees_its_place(conn: Conn<Connected>) -> Result {
    let (queue, _responder) = responder(&conn).await?;
    let client = client(&conn).await?;
    let default = Exchange::default_exchange();
    let mut call = client.call(&default, &queue, *b"?");
    let pending = tokio::time::timeout(Duration::from_millis(20), &mut call).await;
    assert!(pending.is_err());
    assert_eq!(client.outstanding(), 1);
    drop(call);
    assert_eq!(client.outstanding(), 0);
    Ok(())
}

async fn a_reply_to_a_queue_that_is_gone_says_so(conn: Conn<Connected>) -> Result {
    let (queue, mut responder) = responder(&conn).await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let replies = chan.declare(Queue::server_named()).await?;
    let request = Message::new(b"?").reply_to(&replies);
    chan.publish(&Exchange::default_exchange(), &queue, request).await?.await?;
    chan.delete_queue(&replies).await?;
    let request = responder.next().await.ok_or("the consumer ended")??;
    assert_eq!(request.reply(*b"too late").await?, Replied::NobodyWaits);
    assert_eq!(chan.counts(&queue).await?.messages, 0, "it is settled all the same");
    Ok(())
}

async fn a_reply_to_a_client_that_is_gone_harms_nobody(conn: Conn<Connected>) -> Result {
    let (queue, mut responder) = responder(&conn).await?;
    let asking = client(&conn).await?;
    let default = Exchange::default_exchange();
    let after = Duration::from_millis(20);
    asking.call(&default, &queue, *b"?").within(after).await.unwrap_err();
    let request = responder.next().await.ok_or("the consumer ended")??;
    drop(asking);
    request.reply(*b"too late").await?;
    let asking = client(&conn).await?;
    let next = asking.call(&default, &queue, *b"again");
    let answering = async {
        let request = responder.next().await.ok_or("the consumer ended")??;
        Result::Ok(request.reply(*b"in time").await?)
    };
    let (reply, answered) = tokio::join!(next, answering);
    answered?;
    assert_eq!(reply?.body().into_bytes(), b"in time"[..]);
    Ok(())
}

async fn what_asks_for_no_reply_is_rejected(conn: Conn<Connected>) -> Result {
    let (queue, mut responder) = responder(&conn).await?;
    let chan = conn.open_channel().await?.confirm_select().await?;
    let default = Exchange::default_exchange();
    chan.publish(&default, &queue, *b"no address").await?.await?;
    let replies = chan.declare(Queue::server_named()).await?;
    let request = Message::new(b"with one").reply_to(&replies).correlation_id("mine");
    chan.publish(&default, &queue, request).await?.await?;

    let request = responder.next().await.ok_or("the consumer ended")??;
    assert_eq!(request.body().into_bytes(), b"with one"[..]);
    let (request, pending) = request.into_parts();
    // Whatever the handler sets, the reply belongs to its request.
    let reply = Message::from(request).correlation_id("another");
    assert_eq!(pending.reply(reply).await?, Replied::Taken);
    let mut replies: Consumer = chan.consume(&replies).await?;
    let reply = replies.next().await.ok_or("the consumer ended")??;
    assert_eq!(reply.properties().correlation_id(), Some("mine"));
    reply.ack()?;
    Ok(())
}

async fn the_end_of_the_channel_ends_every_call(conn: Conn<Connected>) -> Result {
    let (queue, _responder) = responder(&conn).await?;
    let client = client(&conn).await?;
    let default = Exchange::default_exchange();
    let mut call = client.call(&default, &queue, *b"?").within(LONG * 2);
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut call).await.is_err());
    drop(conn.close().await?);
    let error = call.await.unwrap_err();
    assert!(matches!(error, RpcError::Ended(_) | RpcError::Unconfirmed(_)), "{error:?}");
    let error = client.call(&default, &queue, *b"?").await.unwrap_err();
    assert!(matches!(error, RpcError::Ended(_) | RpcError::NotSent(_)), "{error:?}");
    Ok(())
}

/// The reply consumer comes back with its channel; what was in flight ends with a reason or at its
/// deadline, and the next call gets its reply.
#[tokio::test]
async fn a_client_lives_through_a_cut() -> Result {
    let broker = hopmq::broker::Broker::bind("127.0.0.1:0").await?;
    let (asking, answering) =
        (crate::connect(&broker.uri()).await?, crate::connect(&broker.uri()).await?);
    let chan = answering.open_channel().await?.confirm_select().await?;
    let queue = chan.declare(Queue::classic("surface.cut")).await?;
    let mut responder = Responder::new(chan.consume(&queue).await?, chan.publisher());
    let client = client(&asking).await?;
    let default = Exchange::default_exchange();

    let in_flight = client.call(&default, &queue, *b"cut").within(Duration::from_millis(300));
    let cutting = async {
        let request = responder.next().await.ok_or("the consumer ended")??;
        broker.faults().cut_connections();
        // Stale, and requeued by the broker, or replied to nobody.
        let _ = request.reply(*b"lost").await;
        Result::Ok(())
    };
    let (outcome, cut) = tokio::join!(in_flight, cutting);
    cut?;
    assert!(outcome.is_err(), "{outcome:?}");

    // Served in a loop, with another cut while the first handler runs.
    let faults = broker.faults();
    let mut cut = false;
    let serving = tokio::spawn(responder.serve(move |request| {
        if !std::mem::replace(&mut cut, true) {
            faults.cut_connections();
        }
        async move { request.body().into() }
    }));
    let after = Duration::from_millis(300);
    client.call(&default, &queue, *b"cut").within(after).await.unwrap_err();
    let reply = tokio::time::timeout(LONG, client.call(&default, &queue, *b"again")).await??;
    assert_eq!(reply.body().into_bytes(), b"again"[..]);
    assert!(!serving.is_finished(), "it serves on");
    assert_eq!(client.outstanding(), 0);
    serving.abort();
    Ok(())
}

on_both_brokers!(
    many_calls_at_once_get_their_own_replies,
    replies_may_come_in_any_order,
    an_answered_request_is_settled_also_where_the_reply_takes_the_ack_along,
    a_request_that_no_queue_takes_fails_at_once,
    a_late_reply_is_ignored_and_counted,
    further_calls_wait_for_a_place,
    a_dropped_call_frees_its_place,
    a_reply_to_a_queue_that_is_gone_says_so,
    a_reply_to_a_client_that_is_gone_harms_nobody,
    what_asks_for_no_reply_is_rejected,
    the_end_of_the_channel_ends_every_call,
);
