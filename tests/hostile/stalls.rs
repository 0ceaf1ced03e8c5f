//! A program that stalls altogether: what its peer said meanwhile counts.

use std::{thread, time::Duration};

use hopmq::{Address, Config, Conn, ConnectionState};
use tokio::net::TcpListener;

use crate::peer::{Peer, WATCHDOG};

const INTERVAL: Duration = Duration::from_secs(1);

/// A peer on a thread of its own that says it lives, and does not mind that the client does not.
fn patient_peer() -> Config {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    listener.set_nonblocking(true).expect("as tokio wants it");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let (stream, _) = listener.accept().await.expect("a client");
            let mut peer = Peer::over(stream);
            peer.shake_hands(131_072).await;
            peer.heartbeat_every(INTERVAL / 4).await;
        });
    });
    Config::new().host(Address::plain("127.0.0.1").port(port)).without_recovery()
}

/// All that runs is held up for three intervals, in the middle of which calls wait: the peer was
/// heard of, if late.
#[tokio::test]
async fn what_arrived_during_a_stall_is_read_before_the_peer_is_judged() {
    let config = patient_peer().connection_timeout(WATCHDOG).heartbeat(INTERVAL);
    let conn = Conn::new(config).connect().await.expect("the peer shakes hands");
    let chan = conn.open_channel().within(WATCHDOG);
    tokio::pin!(chan);
    for _ in 0..2 {
        // The connection's task is woken, and held up before it runs.
        let woken = tokio::time::timeout(Duration::ZERO, chan.as_mut()).await;
        assert!(woken.is_err(), "the peer opens no channel");
        thread::sleep(3 * INTERVAL + INTERVAL / 4);
        tokio::time::sleep(INTERVAL / 2).await;
        assert_eq!(conn.state(), ConnectionState::Connected);
    }
    assert_eq!(conn.stats().machine.losses, 0);
}
