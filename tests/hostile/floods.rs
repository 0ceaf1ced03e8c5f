//! Floods of what costs the peer nothing: memory stays where it was, and the rest of the program gets its turn.

use hopmq::{
    Blame, Error, Queue,
    wire::{ShortStr, method},
};

use crate::peer::{Peer, WATCHDOG, connected, deliver, end, frame, header, method_frame};

/// What this process holds in memory now, in bytes; 0 where the system does not say.
pub(crate) fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096
}

/// Floods an idle client with so many of these: the client hangs up on it, and has not grown.
async fn is_refused(unit: impl AsRef<[u8]> + Send + 'static, what: &str) {
    let error = flood(unit, 1_000_000).await;
    assert_eq!(error.blame(), Blame::Peer, "{error:?}");
    let Error::Peer(violation) = error else { panic!("{error:?}") };
    assert_eq!(violation.to_string(), format!("a flood of {what}"));
}

/// Floods an idle client with so many of these, and hangs up; it ends, and has not grown.
async fn flood(unit: impl AsRef<[u8]> + Send + 'static, times: usize) -> Error {
    let before = resident();
    let (conn, _chan) = connected(async move |mut peer: Peer| {
        let block = unit.as_ref().repeat(1_000);
        for _ in 0..times / 1_000 {
            peer.send(&block).await;
        }
    })
    .await;
    let error = end(&conn).await;
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
    error
}

#[tokio::test]
async fn heartbeats() {
    is_refused(frame(8, 0, &[]), "heartbeats").await;
}

#[tokio::test]
async fn blocked_and_unblocked() {
    let reason = ShortStr::new("low on memory").expect("short");
    let mut unit = method_frame(0, &method::connection::Blocked { reason });
    unit.extend_from_slice(&method_frame(0, &method::connection::Unblocked {}));
    is_refused(unit, "connection.blocked").await;
}

#[tokio::test]
async fn flow_off_and_on() {
    let mut unit = method_frame(1, &method::channel::Flow { active: false });
    unit.extend_from_slice(&method_frame(1, &method::channel::Flow { active: true }));
    is_refused(unit, "channel.flow").await;
}

#[tokio::test]
async fn cancels_of_nobody() {
    let consumer_tag = ShortStr::new("hopmq-9").expect("short");
    let cancel = method::basic::Cancel { consumer_tag, no_wait: false };
    is_refused(method_frame(1, &cancel), "basic.cancel").await;
}

#[tokio::test]
async fn returns_that_nobody_reads() {
    let returned = method::basic::Return {
        reply_code: 312,
        reply_text: ShortStr::new("NO_ROUTE").expect("short"),
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
    };
    let mut unit = method_frame(1, &returned);
    unit.extend_from_slice(&header(0));
    flood(unit, 100_000).await;
}

#[tokio::test]
async fn empty_bodies() {
    let returned = method::basic::Return {
        reply_code: 312,
        reply_text: ShortStr::new("NO_ROUTE").expect("short"),
        exchange: ShortStr::empty(),
        routing_key: ShortStr::empty(),
    };
    let mut start = method_frame(1, &returned);
    start.extend_from_slice(&header(1));
    let before = resident();
    let (conn, _chan) = connected(async move |mut peer: Peer| {
        peer.send(start).await;
        let block = frame(3, 1, &[]).repeat(1_000);
        for _ in 0..300 {
            peer.send(&block).await;
        }
    })
    .await;
    assert!(matches!(end(&conn).await, Error::Peer(_)));
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 << 20, "grown by {grown} bytes");
}

/// Deliveries beyond all prefetch for a consumer that takes none: the peer is no longer read.
#[tokio::test]
async fn deliveries_that_nobody_takes() {
    let before = resident();
    let (held, is_held) = tokio::sync::oneshot::channel();
    let (conn, chan) = connected(async move |mut peer: Peer| {
        crate::open::consume(&mut peer).await;
        let mut tag = 0;
        // What fits into the buffers of two sockets and of one consumer is far less than this.
        let all = async {
            for _ in 0..2_000 {
                let mut block = deliver("hopmq-1", tag + 1);
                block.extend_from_slice(&header(60_000));
                block.extend_from_slice(&frame(3, 1, &[0; 60_000]));
                peer.send(block).await;
                tag += 1;
            }
        };
        // It is held back, so that it does not come to its end while nobody takes anything.
        let held_back = tokio::time::timeout(std::time::Duration::from_secs(1), all).await.is_err();
        let _ = held.send(held_back);
    })
    .await;
    let queue = chan.declare(Queue::server_named()).within(WATCHDOG).await.expect("declared");
    let consumer = chan.consume(&queue).await.expect("consuming");
    assert!(is_held.await.expect("the peer tells"), "the client reads on for ever");
    let grown = resident().saturating_sub(before);
    assert!(grown < 32 << 20, "grown by {grown} bytes");
    drop(consumer);
    end(&conn).await;
}
