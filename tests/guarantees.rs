//! What a user may rely on of the types: handles are one pointer, states nothing, futures movable.
//! That every public type is `Send`, `Sync` and `Unpin` is checked in `tests/public_api.rs`.

use std::mem::size_of;

use hopmq::{
    AnyChan, AutomaticConsumer, Batch, Call, Chan, Classic, Closed, Confirm, ConfirmError,
    Confirming, Confirms, Conn, Connected, Consumer, Delivery, Disconnected, Error, Exchange,
    Failed, Message, Open, Publish, Publisher, Queue, Quorum, Receipt, Received, Request,
    Responder, RpcCall, RpcClient, Stream, Topic, Transactional, Uri,
    broker::{self, Broker},
};

/// A pointer's size.
const POINTER: usize = size_of::<usize>();

#[test]
fn handles_are_one_pointer() {
    assert_eq!(size_of::<Conn<Disconnected>>(), POINTER);
    assert_eq!(size_of::<Conn<Connected>>(), POINTER);
    assert_eq!(size_of::<Chan<Open>>(), POINTER);
    assert_eq!(size_of::<Chan<Confirming>>(), POINTER);
    assert_eq!(size_of::<Chan<Transactional>>(), POINTER);
    assert_eq!(size_of::<Chan<Closed>>(), POINTER);
    assert_eq!(size_of::<Publisher>(), POINTER);
    assert_eq!(size_of::<RpcClient>(), POINTER);
    assert_eq!(size_of::<Queue<Quorum>>(), POINTER);
    assert_eq!(size_of::<Broker<broker::Unbound>>(), POINTER);
    assert_eq!(size_of::<Broker<broker::Listening>>(), POINTER);
    // And none of them grows in an `Option`.
    assert_eq!(size_of::<Option<Conn<Connected>>>(), POINTER);
    assert_eq!(size_of::<Option<Chan<Confirming>>>(), POINTER);
    // Erased: the state beside the pointer.
    assert_eq!(size_of::<AnyChan>(), 2 * POINTER);
}

#[test]
fn states_and_kinds_are_nothing() {
    assert_eq!(size_of::<Open>() + size_of::<Confirming>() + size_of::<Transactional>(), 0);
    assert_eq!(size_of::<Closed>() + size_of::<Connected>() + size_of::<Disconnected>(), 0);
    assert_eq!(size_of::<Topic>() + size_of::<Classic>() + size_of::<Stream>(), 0);
}

/// What exists once per message stays within a few cache lines.
#[test]
fn what_there_is_of_each_message_is_small() {
    assert!(size_of::<Receipt>() <= 4 * POINTER, "{}", size_of::<Receipt>());
    assert!(size_of::<Delivery>() <= 18 * POINTER, "{}", size_of::<Delivery>());
    assert!(size_of::<Confirm>() <= 14 * POINTER, "{}", size_of::<Confirm>());
    assert!(size_of::<Message>() <= 8 * POINTER, "{}", size_of::<Message>());
    assert!(size_of::<Publish<'_>>() <= 40 * POINTER, "{}", size_of::<Publish<'_>>());
    // Results stay small beside what they carry.
    assert!(size_of::<Error>() <= 8 * POINTER, "{}", size_of::<Error>());
    assert!(size_of::<Failed<Message>>() <= 9 * POINTER, "{}", size_of::<Failed<Message>>());
    assert!(size_of::<ConfirmError>() <= 10 * POINTER, "{}", size_of::<ConfirmError>());
}

fn shared<T: Send + Sync + 'static>() {}
fn movable<T: Send + Sync + Unpin>() {}

#[test]
fn handles_go_to_tasks_and_futures_move() {
    shared::<Conn<Disconnected>>();
    shared::<Conn<Connected>>();
    shared::<Chan<Confirming>>();
    shared::<AnyChan>();
    shared::<Exchange<Topic>>();
    shared::<Consumer>();
    shared::<AutomaticConsumer>();
    shared::<Delivery>();
    shared::<Received>();
    shared::<Batch>();
    shared::<Confirms>();
    shared::<Responder>();
    shared::<Request>();
    movable::<hopmq::Connecting>();
    movable::<hopmq::ConfirmSelect>();
    movable::<hopmq::Reopen>();
    movable::<Call<Chan<Open>>>();
    movable::<Publish<'_>>();
    movable::<Confirm>();
    movable::<hopmq::PublishAll<'_, std::vec::IntoIter<Message>>>();
    movable::<hopmq::PublishAllUnconfirmed<'_, std::vec::IntoIter<Message>>>();
    shared::<hopmq::PartlyPublished<Confirms, std::vec::IntoIter<Message>>>();
    movable::<RpcCall<'_>>();
}

fn sent<F: Future + Send>(future: F) -> F {
    future
}

/// The futures that are not named are `Send` too, and borrow no more than they say: a whole
/// service runs in spawned tasks.
#[tokio::test]
async fn whole_programs_can_be_spawned() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let broker = Broker::bind("127.0.0.1:0").await?;
    let uri: Uri = broker.uri().parse()?;
    let program = sent(async move {
        let conn = Conn::new(uri).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let inbox = chan.declare(Queue::classic("guarantees")).await?;
        let responder = Responder::new(chan.consume(&inbox).await?, chan.publisher());
        tokio::spawn(responder.serve(|request| async move { request.into_body().into() }));
        let rpc = conn.open_channel().await?.confirm_select().await?.rpc_client().await?;
        let default = Exchange::default_exchange();
        let reply = rpc.call(&default, &inbox, b"ping").await?;
        Ok(reply.body().into_bytes())
    });
    let reply: Result<_, Box<dyn std::error::Error + Send + Sync>> = tokio::spawn(program).await?;
    assert_eq!(reply?, b"ping"[..]);
    Ok(())
}
