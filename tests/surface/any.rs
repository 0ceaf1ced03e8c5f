//! `AnyChan`: nothing is lost on the way in and out.

use hopmq::{AnyChan, Chan, Closed, Confirming, Open, Transactional};

use super::{Result, embedded};

#[tokio::test]
async fn every_state_goes_in_and_comes_out() -> Result {
    let (_broker, conn) = embedded().await?;
    let open: AnyChan = conn.open_channel().await?.into();
    let confirming: AnyChan = conn.open_channel().await?.confirm_select().await?.into();
    let transactional: AnyChan = conn.open_channel().await?.tx_select().await?.into();
    let closed: AnyChan = conn.open_channel().await?.close().await?.into();
    assert!(open.close_reason().is_none() && closed.close_reason().is_some());

    let _: Chan<Open> = open.try_into()?;
    let _: Chan<Confirming> = confirming.try_into()?;
    let _: Chan<Transactional> = transactional.try_into()?;
    let reopened = Chan::<Closed>::try_from(closed)?.reopen().await?;
    assert!(reopened.close_reason().is_none());
    Ok(())
}

#[tokio::test]
async fn the_wrong_state_gives_the_channel_back() -> Result {
    let (_broker, conn) = embedded().await?;
    let any = AnyChan::from(conn.open_channel().await?);
    let error = Chan::<Transactional>::try_from(any).unwrap_err();
    assert_eq!(error.to_string(), "this is a Chan<Open>, not a Chan<Transactional>");
    assert_eq!(error.wanted(), "Transactional");
    let AnyChan::Open(chan) = error.into_chan() else { panic!("it was open") };
    chan.tx_select().await?;
    Ok(())
}
