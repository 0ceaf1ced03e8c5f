//! One broker after another on the same file.

use std::{
    error::Error,
    fs,
    io::{self, Write},
    time::Duration,
};

use hopmq::{
    Exchange, Message, Queue,
    broker::{Broker, StoreError},
};

use crate::{File, Result, broker, connect};

#[tokio::test]
async fn queues_exchanges_bindings_and_persistent_messages_come_back() -> Result {
    let file = File::new();
    let first = broker(&file).await?;
    let (_conn, chan) = connect(&first.uri()).await?;
    let orders = chan.declare(Exchange::topic("orders")).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    chan.bind(&inbox, &orders, "order.*").await?;
    for n in 0..10_u8 {
        chan.publish(&orders, "order.eu", Message::new(vec![n; 1000])).await?.await?;
    }
    chan.publish(&orders, "order.eu", Message::new(b"gone").transient()).await?.await?;
    for _ in 0..3 {
        chan.get(&inbox).await?.expect("a message").ack()?;
    }
    // Delivered and not acknowledged: it comes again.
    let held = chan.get(&inbox).await?.expect("a message");
    assert_eq!(held.body().len(), 1000);
    // The acks are on their way: what is asked behind them is answered behind them.
    assert_eq!(chan.counts(&inbox).await?.messages, 7);
    drop(first);

    let second = broker(&file).await?;
    assert_eq!(second.exchanges("/").iter().filter(|found| found.name == "orders").count(), 1);
    assert_eq!(second.bindings("/").len(), 1);
    assert_eq!(second.queue_depth("/", "inbox"), Some(7));
    let (_conn, chan) = connect(&second.uri()).await?;
    let orders = chan.declare(Exchange::topic("orders")).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    chan.publish(&orders, "order.us", Message::new(b"new")).await?.await?;
    for n in 3..10_u8 {
        let got = chan.get(&inbox).await?.expect("a message");
        assert_eq!(got.body().into_bytes(), vec![n; 1000]);
        assert!(got.is_redelivered());
        got.ack()?;
    }
    let got = chan.get(&inbox).await?.expect("a message");
    assert_eq!(got.body().into_bytes(), "new");
    assert!(!got.is_redelivered());
    got.ack()?;
    assert!(chan.get(&inbox).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn what_is_deleted_stays_deleted() -> Result {
    let file = File::new();
    let first = broker(&file).await?;
    let (_conn, chan) = connect(&first.uri()).await?;
    let default = Exchange::default_exchange();
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let purged = chan.declare(Queue::quorum("purged")).await?;
    chan.publish(&default, &inbox, b"one").await?.await?;
    chan.publish(&default, &purged, b"two").await?.await?;
    drop(first);

    let second = broker(&file).await?;
    let (_conn, chan) = connect(&second.uri()).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let purged = chan.declare(Queue::quorum("purged")).await?;
    assert_eq!(chan.purge(&purged).await?, 1);
    chan.delete_queue(&inbox).await?;
    drop(second);

    let third = broker(&file).await?;
    assert_eq!(third.queue("/", "inbox"), None);
    assert_eq!(third.queue_depth("/", "purged"), Some(0));
    Ok(())
}

#[tokio::test]
async fn a_stream_keeps_its_offsets_and_a_dead_letter_its_history() -> Result {
    let file = File::new();
    let first = broker(&file).await?;
    let (_conn, chan) = connect(&first.uri()).await?;
    let default = Exchange::default_exchange();
    let log = chan.declare(Queue::stream("log")).await?;
    let dead = chan.declare(Queue::classic("dead")).await?;
    let work = Queue::classic("work").dead_letter(hopmq::queue::DeadLetter::to_queue(&dead));
    let work = chan.declare(work).await?;
    for n in 0..5_u8 {
        chan.publish(&default, &log, vec![n]).await?.await?;
    }
    chan.publish(&default, &work, b"late").await?.await?;
    chan.get(&work).await?.expect("a message").reject()?;
    while first.queue_depth("/", "dead") != Some(1) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(first);

    let second = broker(&file).await?;
    assert_eq!(second.queue_depth("/", "work"), Some(0));
    let (_conn, chan) = connect(&second.uri()).await?;
    let dead = chan.declare(Queue::classic("dead")).await?;
    let got = chan.get(&dead).await?.expect("a message");
    assert!(got.properties().header("x-death").is_some(), "{got:?}");
    got.ack()?;
    let log = chan.declare(Queue::stream("log")).await?;
    chan.publish(&default, &log, vec![5]).await?.await?;
    let from = hopmq::queue::Offset::First;
    let mut read = chan.consume(&log).prefetch(10).offset(from).await?;
    for n in 0..6_u8 {
        let delivery = read.next().await.expect("a delivery")?;
        assert_eq!(delivery.body().into_bytes(), vec![n]);
        delivery.ack()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_transaction_is_stored_when_its_commit_is_answered() -> Result {
    let file = File::new();
    let first = broker(&file).await?;
    let (conn, chan) = connect(&first.uri()).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    let tx = conn.open_channel().await?.tx_select().await?;
    let default = Exchange::default_exchange();
    tx.publish_in_tx(&default, &inbox, b"kept").await?;
    tx.commit().await?;
    tx.publish_in_tx(&default, &inbox, b"not committed").await?;
    drop(first);
    assert_eq!(broker(&file).await?.queue_depth("/", "inbox"), Some(1));
    Ok(())
}

#[tokio::test]
async fn two_brokers_cannot_share_a_file_and_a_stopped_one_leaves_it() -> Result {
    let file = File::new();
    let first = broker(&file).await?;
    let refused = broker(&file).await.unwrap_err();
    assert!(matches!(why(&refused), Some(StoreError::InUse)), "{refused:?}");
    let stopped = first.drain().stopped(Duration::from_secs(5)).await;
    let second = broker(&file).await?;
    drop(second);
    stopped.into_unbound().listen("127.0.0.1:0").await?;
    Ok(())
}

#[allow(clippy::borrowed_box)] // It is what the tests have.
fn why(error: &Box<dyn Error>) -> Option<&StoreError> {
    error.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
}

/// Where the disk itself is torn is in the unit tests of the store.
#[tokio::test]
async fn a_torn_tail_is_cut_and_what_is_damaged_or_no_store_is_refused_in_words() -> Result {
    let file = File::new();
    let first = broker(&file).await?;
    let (_conn, chan) = connect(&first.uri()).await?;
    let inbox = chan.declare(Queue::classic("inbox")).await?;
    for _ in 0..20 {
        let default = Exchange::default_exchange();
        chan.publish(&default, &inbox, vec![1; 10_000]).await?.await?;
    }
    // As a crash leaves it: nothing was closed.
    let crashed = fs::read(&file.0)?;
    drop(first);
    let closed = fs::read(&file.0)?;
    for whole in [&crashed, &closed] {
        for garbage in [1, 4096, 1_000_003] {
            fs::write(&file.0, whole)?;
            let mut tail = fs::OpenOptions::new().append(true).open(&file.0)?;
            tail.write_all(&vec![0xa5; garbage])?;
            drop(tail);
            let again = broker(&file).await?;
            assert_eq!(again.queue_depth("/", "inbox"), Some(20), "{garbage} octets of garbage");
        }
        fs::write(&file.0, &whole[..whole.len() - 1])?;
        assert_eq!(broker(&file).await?.queue_depth("/", "inbox"), Some(20), "cut by an octet");
        fs::write(&file.0, &whole[..100_000])?;
        let refused = broker(&file).await.unwrap_err();
        assert!(matches!(why(&refused), Some(StoreError::Damaged { .. })), "{refused:?}");
    }
    fs::write(&file.0, vec![0xa5; 100_000])?;
    let refused = broker(&file).await.unwrap_err();
    assert!(matches!(why(&refused), Some(StoreError::NotAStore)), "{refused:?}");
    fs::write(&file.0, &closed)?;
    assert_eq!(broker(&file).await?.queue_depth("/", "inbox"), Some(20));
    Ok(())
}

#[tokio::test]
async fn a_store_is_made_in_an_empty_file_and_leaves_nothing_beside_itself() -> Result {
    let file = File::new();
    let folder = file.0.with_extension("folder");
    fs::create_dir_all(&folder)?;
    let path = folder.join("store");
    drop(Broker::builder().durable(&path).bind("127.0.0.1:0").await?);
    fs::write(&path, "")?;
    drop(Broker::builder().durable(&path).bind("127.0.0.1:0").await?);
    let names: Vec<_> =
        fs::read_dir(&folder)?.map(|entry| entry.map(|entry| entry.file_name())).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    fs::remove_dir_all(folder)?;
    Ok(())
}
