//! Peers that find each other by name in this process, without a port and without a broker.

use hopmq::peer::{End, ListenError, Peer, Refused, Settings};

use crate::{Outcome, number, receive_in_order, send_all, soon, unique};

#[tokio::test]
async fn both_sides_talk_and_close() -> Outcome {
    soon(async {
        let shop = Peer::new(unique("shop"));
        shop.listen_in_process()?;
        let till = Peer::new(unique("till"));
        let ours = till.connect(shop.name()).in_process().await?;
        let theirs = shop.accept().await;
        assert_eq!((ours.peer(), theirs.peer()), (shop.name(), till.name()));
        assert_eq!(ours.id(), theirs.id());
        tokio::try_join!(
            send_all(&ours, 0, 5_000),
            send_all(&theirs, 0, 5_000),
            receive_in_order(&ours, 0, 5_000),
            receive_in_order(&theirs, 0, 5_000),
        )?;
        let last = ours.send(number(1)).await?;
        let closing = tokio::spawn(ours.close());
        receive_in_order(&theirs, 1, 1).await?;
        assert!(theirs.receive().await.is_none());
        last.await?;
        assert!(matches!(closing.await?.end(), Some(End::Closed)));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn dropping_one_side_ends_the_other_and_gives_back() -> Outcome {
    soon(async {
        let shop = Peer::new(unique("shop"));
        shop.listen_in_process()?;
        let till = Peer::new(unique("till"));
        let ours = till.connect(shop.name()).in_process().await?;
        let not_taken = ours.send(number(1)).await?;
        drop(shop.accept().await);
        assert!(!not_taken.await.expect_err("nobody took it").may_have_arrived());
        assert!(matches!(ours.ended().await, End::AbortedByPeer));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_window_is_the_lower_of_both_sides() -> Outcome {
    soon(async {
        let mut small = Settings::default();
        small.window_messages = 3;
        let mut impatient = Settings::default();
        impatient.send_timeout = std::time::Duration::from_millis(200);
        let shop = Peer::with_settings(unique("shop"), small);
        shop.listen_in_process()?;
        let till = Peer::with_settings(unique("till"), impatient);
        let ours = till.connect(shop.name()).in_process().await?;
        let theirs = shop.accept().await;
        for next in 0..3 {
            drop(ours.send(number(next)).await?);
        }
        assert!(ours.send(number(3)).await.is_err());
        receive_in_order(&theirs, 0, 3).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_name_is_taken_while_its_peer_lives() -> Outcome {
    let shop = Peer::new(unique("shop"));
    shop.listen_in_process()?;
    let second = Peer::new(shop.name());
    assert!(matches!(second.listen_in_process(), Err(ListenError::NameTaken { .. })));
    drop(shop);
    let refused = Peer::new("till").connect(second.name()).in_process().await;
    assert!(matches!(refused, Err(Refused::NoSuchPeer { .. })), "{refused:?}");
    second.listen_in_process()?;
    Ok(())
}
