//! Calls and their answers: each caller gets its own, and a question that was not answered is asked again.

use hopmq::{Chan, Classic, Confirming, Message, Queue, Responder, RpcClient};

use super::{Bench, Point};
use crate::place::{Outcome, Place, default_exchange, until};

dropped_at_each_point!(
    on_both_brokers:
    starting_an_rpc_client,
    calling,
    waiting_for_requests,
    replying,
    replying_later,
    serving,
);

async fn client(at: &Place) -> Outcome<RpcClient> {
    Ok(at.publisher().await?.rpc_client().await?)
}

async fn questions(at: &Place) -> Outcome<(Chan<Confirming>, Queue<Classic>)> {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("questions"))).await?;
    Ok((chan, queue))
}

async fn responder(chan: &Chan<Confirming>, queue: &Queue<Classic>) -> Outcome<Responder> {
    Ok(Responder::new(chan.consume(queue).await?, chan.publisher()))
}

async fn echo(request: hopmq::Received) -> Message {
    Message::new(request.into_body().into_bytes())
}

/// A question gets its own answer.
async fn is_answered(client: &RpcClient, queue: &Queue<Classic>, question: &str) -> Outcome {
    let answer = client.call(&default_exchange(), queue, Message::text(question)).await?;
    assert_eq!(answer.body().into_bytes(), question.as_bytes());
    Ok(())
}

async fn starting_an_rpc_client(at: Place) -> Outcome {
    let bench = Bench::new(&at).await?;
    let (chan, queue) = questions(&at).await?;
    let serving = tokio::spawn(responder(&chan, &queue).await?.serve(echo));
    for point in Point::all() {
        let chan = bench.conn.open_channel().await?.confirm_select().await?;
        let client = point.reach(chan.rpc_client()).await;
        bench.works().await?;
        if let Some(client) = client {
            is_answered(&client?, &queue, "?").await?;
            serving.abort();
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn calling(at: Place) -> Outcome {
    let (chan, queue) = questions(&at).await?;
    let serving = tokio::spawn(responder(&chan, &queue).await?.serve(echo));
    let (client, default) = (client(&at).await?, default_exchange());
    for (number, point) in Point::all().enumerate() {
        let answer = point.reach(client.call(&default, &queue, b"dropped")).await;
        is_answered(&client, &queue, &number.to_string()).await?;
        assert_eq!(client.outstanding(), 0, "{point:?}");
        if let Some(answer) = answer {
            assert_eq!(answer?.body().into_bytes(), b"dropped"[..]);
            serving.abort();
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn waiting_for_requests(at: Place) -> Outcome {
    let (chan, queue) = questions(&at).await?;
    let mut responder = responder(&chan, &queue).await?;
    let (client, default) = (client(&at).await?, default_exchange());
    for point in Point::all().take(7) {
        let asking = client.call(&default, &queue, b"?");
        let answering = async {
            let request = match point.reach(responder.next()).await {
                Some(request) => request,
                None => responder.next().await,
            };
            request.ok_or("it goes on")??.reply(b"!").await?;
            Outcome::Ok(())
        };
        let (answer, answered) = tokio::join!(asking, answering);
        answered?;
        assert_eq!(answer?.body().into_bytes(), b"!"[..]);
    }
    Ok(())
}

/// Replies to the first question, up to a point, and to what comes then until the caller has its answer.
async fn replying_with<R: Future<Output = Result<hopmq::Replied, hopmq::ReplyError>>>(
    at: Place,
    reply: impl Fn(hopmq::Request) -> R,
) -> Outcome {
    let (chan, queue) = questions(&at).await?;
    let mut responder = responder(&chan, &queue).await?;
    let (client, default) = (client(&at).await?, default_exchange());
    for point in Point::all() {
        let mut done = false;
        let asking = client.call(&default, &queue, b"?");
        let answering = async {
            let request = responder.next().await.ok_or("it goes on")??;
            done = point.reach(reply(request)).await.transpose()?.is_some();
            // Where the reply was not sent the question comes again.
            while let Some(request) = responder.next().await {
                request?.reply(b"!").await?;
            }
            Outcome::Ok(())
        };
        tokio::select! {
            answer = asking => assert_eq!(answer?.body().into_bytes(), b"!"[..]),
            ended = answering => { ended?; return Err("it goes on".into()) }
        }
        if done {
            drop(responder);
            until(async || Ok(chan.counts(&queue).await?.consumers == 0)).await?;
            chan.close().await?;
            let left = at.chan().await?.counts(&queue).await?.messages;
            assert_eq!(left, 0, "the question is settled");
            return Ok(());
        }
    }
    Err("it never ends".into())
}

async fn replying(at: Place) -> Outcome {
    replying_with(at, |request| request.reply(b"!")).await
}

async fn replying_later(at: Place) -> Outcome {
    replying_with(at, |request| request.into_parts().1.reply(b"!")).await
}

async fn serving(at: Place) -> Outcome {
    let (chan, queue) = questions(&at).await?;
    let (client, default) = (client(&at).await?, default_exchange());
    for point in Point::all().take(9) {
        let call = client.call(&default, &queue, b"?");
        let serving = async {
            let dropped = responder(&chan, &queue).await?.serve(echo);
            assert!(point.reach(dropped).await.is_none(), "it ends with its consumer");
            // Another takes over.
            responder(&chan, &queue).await?.serve(echo).await?;
            Outcome::Ok(())
        };
        tokio::select! {
            answer = call => assert_eq!(answer?.body().into_bytes(), b"?"[..]),
            ended = serving => { ended?; return Err("it ends with its consumer".into()) }
        }
        // Of the one that was dropped last.
        until(async || Ok(chan.counts(&queue).await?.consumers == 0)).await?;
        chan.purge(&queue).await?;
    }
    Ok(())
}
