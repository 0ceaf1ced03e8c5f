//! Several hosts of which some are no broker: connecting goes on to the next within its one deadline, and the error
//! lists which attempt failed how.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hopmq::{
    Address, AttemptError, Config, Conn, Connected, Error,
    proto::{Cause, Loss},
    wire::{ReplyCode, ShortStr, method},
};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use crate::peer::{Peer, WATCHDOG};

/// What a host does with each connection.
#[derive(Clone, Copy, Debug)]
enum Host {
    Down,
    Http,
    Silent,
    HangsUp,
    /// Ends the handshake with this code.
    Refuses(u16),
    Broker,
}

/// A host that is up, and how often it was connected to.
struct Up {
    address: Address,
    visits: Arc<AtomicUsize>,
}

async fn host(kind: Host) -> Up {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let visits = Arc::new(AtomicUsize::new(0));
    let count = visits.clone();
    if !matches!(kind, Host::Down) {
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    match kind {
                        Host::Http => {
                            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                        }
                        Host::HangsUp | Host::Down => return,
                        Host::Silent => {}
                        Host::Refuses(_) | Host::Broker => {
                            return serve(Peer::over(stream), kind).await;
                        }
                    }
                    Peer::over(stream).drain().await;
                });
            }
        });
    }
    Up { address: Address::plain("127.0.0.1").port(port), visits }
}

async fn serve(mut peer: Peer, kind: Host) {
    if let Host::Refuses(reply_code) = kind {
        peer.start().await;
        peer.expect("connection.start-ok").await;
        let reply_text = ShortStr::new("not here").expect("short");
        let close = method::connection::Close { reply_code, reply_text, class_id: 0, method_id: 0 };
        peer.send_method(0, &close).await;
    } else {
        peer.shake_hands(131_072).await;
        peer.answer("connection.close", 0, &method::connection::CloseOk {}).await;
    }
    peer.drain().await;
}

/// Connects to these, in whatever order.
async fn connect(hosts: &[Up], timeout: Duration) -> Result<Conn<Connected>, Error> {
    let config = Config::new()
        .hosts(hosts.iter().map(|host| host.address.clone()))
        .connection_timeout(timeout)
        .without_recovery();
    let connecting = tokio::time::timeout(WATCHDOG, Conn::new(config).connect());
    Ok(connecting.await.expect("it ends")?)
}

#[tokio::test]
async fn the_one_that_is_a_broker_is_found_among_the_others() {
    let kinds = [
        Host::Down,
        Host::Http,
        Host::HangsUp,
        Host::Silent,
        Host::Refuses(ReplyCode::CONNECTION_FORCED.0),
        Host::Refuses(ReplyCode::INTERNAL_ERROR.0),
        Host::Broker,
    ];
    let mut hosts = Vec::new();
    for kind in kinds {
        hosts.push(host(kind).await);
    }
    // In whatever order they come, the broker is reached: each of the others takes its share at most.
    for _ in 0..5 {
        let conn = connect(&hosts, Duration::from_secs(5)).await.expect("one is a broker");
        conn.close().await.expect("closed");
    }
}

#[tokio::test]
async fn the_error_lists_which_attempt_failed_how() {
    let (down, http) = (host(Host::Down).await, host(Host::Http).await);
    let (silent, gone) = (host(Host::Silent).await, host(Host::HangsUp).await);
    let forced = host(Host::Refuses(ReplyCode::CONNECTION_FORCED.0)).await;
    let hosts = [down, http, silent, gone, forced];
    let began = Instant::now();
    let error = connect(&hosts, Duration::from_secs(3)).await.expect_err("none is a broker");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());

    let Error::Network { loss: Loss::Unreachable, .. } = &error else { panic!("{error:?}") };
    assert!(error.is_transient());
    let failed = |host: &Up| {
        let mut of_host = error.attempts().iter().filter(|at| at.address == host.address);
        let attempt = of_host.next().expect("each host was tried");
        assert!(of_host.next().is_none(), "each once: {error:?}");
        &attempt.cause
    };
    let handshake = |host: &Up| match failed(host) {
        AttemptError::Handshake(cause) => {
            cause.downcast_ref::<Cause>().expect("the protocol's words").clone()
        }
        other => panic!("{other:?}"),
    };
    let [down, http, silent, gone, forced] = &hosts;
    assert!(matches!(failed(down), AttemptError::Connect(_)));
    assert!(matches!(handshake(http), Cause::Violation(_)));
    assert!(matches!(handshake(silent), Cause::Lost(Loss::HandshakeTimeout(_))));
    assert!(matches!(failed(gone), AttemptError::Handshake(_)));
    let Cause::Exception(exception) = handshake(forced) else { panic!("{error:?}") };
    assert_eq!(exception.code, ReplyCode::CONNECTION_FORCED);

    // All of it stands in the text too, for a log: the source of the error tells it in one line.
    let told = std::error::Error::source(&error).expect("what was tried").to_string();
    for words in ["refused", "HTTP", "did not complete the handshake within", "CONNECTION_FORCED"] {
        assert!(told.contains(words), "{words}: {told}");
    }
}

/// What is said about us the next host would say too: it is not asked.
#[tokio::test]
async fn refused_credentials_are_final() {
    for code in [ReplyCode::ACCESS_REFUSED, ReplyCode::NOT_ALLOWED] {
        let mut hosts = Vec::new();
        for _ in 0..3 {
            hosts.push(host(Host::Refuses(code.0)).await);
        }
        let error = connect(&hosts, WATCHDOG).await.expect_err("refused");
        assert_eq!(error.reply_code(), Some(code), "{error:?}");
        assert!(!error.is_transient());
        let visits: usize = hosts.iter().map(|host| host.visits.load(Ordering::Relaxed)).sum();
        assert_eq!(visits, 1);
    }
}

/// A lone host that is no broker keeps its own error.
#[tokio::test]
async fn a_lone_host_is_no_list() {
    let error = connect(&[host(Host::Http).await], WATCHDOG).await.expect_err("no broker");
    assert!(matches!(error, Error::Peer(_)), "{error:?}");
    assert!(error.attempts().is_empty());
}
