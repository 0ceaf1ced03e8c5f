//! Typed questions get typed answers, or are told why there is none.

use std::time::Duration;

use hopmq::{
    Chan, Classic, Confirming, Queue, Responder, RpcError,
    service::{CallError, CallServer, Caller, Failure, Json, Message, Text},
};

use crate::place::{Outcome, Place, default_exchange};

on_both_brokers!(
    a_question_gets_its_answer,
    many_questions_get_their_own_answers,
    whoever_asks_is_told_why_there_is_no_answer,
    a_question_that_cannot_be_read_is_answered_so,
    a_question_to_nobody_fails_at_once,
    a_stopped_server_answers_what_it_began,
);

async fn questions(at: &Place) -> Outcome<(Chan<Confirming>, Queue<Classic>, Responder)> {
    let chan = at.publisher().await?;
    let queue = chan.declare(Queue::classic(at.name("questions"))).await?;
    let responder = Responder::new(chan.consume(&queue).await?, chan.publisher());
    Ok((chan, queue, responder))
}

async fn caller<C: hopmq::service::Codec>(at: &Place, codec: C) -> Outcome<Caller<C>> {
    Ok(Caller::new(at.publisher().await?.rpc_client().await?, codec))
}

async fn a_question_gets_its_answer(at: Place) -> Outcome {
    let (_chan, queue, responder) = questions(&at).await?;
    let server = CallServer::new(responder, Json);
    let server = tokio::spawn(server.run(async |question: Message<(u32, u32)>| {
        let (one, other) = question.payload;
        Ok::<u32, Failure>(one * other)
    }));
    let caller = caller(&at, Json).await?;
    let question = Message::new((6, 7));
    let answer: Message<u32> = caller.call(&default_exchange(), &queue, &question).await?;
    assert_eq!(answer.payload, 42);
    server.abort();
    Ok(())
}

async fn many_questions_get_their_own_answers(at: Place) -> Outcome {
    let (_chan, queue, responder) = questions(&at).await?;
    let server = CallServer::new(responder, Json).concurrency(4);
    let server = tokio::spawn(server.run(async |question: Message<u32>| {
        for _ in 0..question.payload % 7 {
            tokio::task::yield_now().await;
        }
        Ok::<u32, Failure>(question.payload + 1)
    }));
    let caller = caller(&at, Json).await?;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (caller, queue) = (caller.clone(), queue.clone());
        asking.spawn(async move {
            let question = Message::new(number);
            let default = default_exchange();
            let answer: Message<u32> = caller.call(&default, &queue, &question).await?;
            assert_eq!(answer.payload, number + 1);
            Outcome::Ok(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    server.abort();
    Ok(())
}

async fn whoever_asks_is_told_why_there_is_no_answer(at: Place) -> Outcome {
    let (chan, queue, responder) = questions(&at).await?;
    let server = CallServer::new(responder, Text).deadline(Duration::from_millis(50));
    let server =
        tokio::spawn(server.run(
            async |question: Message<String>| match question.payload.as_str() {
                "fail" => Err(Failure::retry("no stock")),
                "panic" => panic!("oh"),
                "hang" => std::future::pending().await,
                other => Ok(other.to_owned()),
            },
        ));
    let caller = caller(&at, Text).await?;
    let told = [
        ("fail", "no stock"),
        ("panic", "the handler panicked: oh"),
        ("hang", "the handler took longer than 50ms"),
    ];
    for (question, expected) in told {
        let question = Message::new(question.to_owned());
        let answer = caller.call::<_, _, _, String>(&default_exchange(), &queue, &question).await;
        let CallError::Failed { error } = answer.expect_err("there is none") else {
            panic!("it was told")
        };
        assert_eq!(error, expected);
    }
    assert_eq!(chan.counts(&queue).await?.messages, 0, "none comes again");
    server.abort();
    Ok(())
}

async fn a_question_that_cannot_be_read_is_answered_so(at: Place) -> Outcome {
    let (_chan, queue, responder) = questions(&at).await?;
    let server = CallServer::new(responder, Json);
    let server =
        tokio::spawn(server.run(async |question: Message<u32>| Ok::<_, Failure>(question.payload)));
    let caller = caller(&at, Text).await?;
    let question = Message::new("seven".to_owned());
    let answer = caller.call::<_, _, _, String>(&default_exchange(), &queue, &question).await;
    let error = answer.expect_err("it is no JSON").to_string();
    assert!(error.contains("which is not application/json"), "{error}");
    server.abort();
    Ok(())
}

async fn a_question_to_nobody_fails_at_once(at: Place) -> Outcome {
    let caller = caller(&at, Text).await?.within(Duration::from_secs(200));
    let nowhere = at.name("nowhere");
    let question = Message::new(String::new());
    let answer = caller.call::<_, _, _, String>(&default_exchange(), &nowhere, &question).await;
    let error = answer.expect_err("no queue is there");
    assert!(matches!(error, CallError::Rpc(RpcError::Unconfirmed(_))), "{error}");
    Ok(())
}

async fn a_stopped_server_answers_what_it_began(at: Place) -> Outcome {
    let (_chan, queue, responder) = questions(&at).await?;
    let (begun, is_begun) = tokio::sync::oneshot::channel::<()>();
    let begun = std::sync::Mutex::new(Some(begun));
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let held = gate.clone();
    let handler = move |question: Message<String>| {
        drop(begun.lock().expect("unpoisoned").take());
        let held = held.clone();
        async move {
            held.acquire().await.map_err(Failure::retry)?.forget();
            Ok::<_, Failure>(question.payload)
        }
    };
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let server = CallServer::new(responder, Text);
    let server = tokio::spawn(server.run_until(handler, async { drop(stopped.await) }));
    let caller = caller(&at, Text).await?;
    let asking = tokio::spawn(async move {
        let question = Message::new("a".to_owned());
        caller.call::<_, _, _, String>(&default_exchange(), &queue, &question).await
    });
    let _ = is_begun.await;
    drop(stop);
    gate.add_permits(1);
    server.await??;
    assert_eq!(asking.await??.payload, "a");
    Ok(())
}
