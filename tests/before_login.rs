//! What a client costs the embedded broker before it has logged in: at most 64 kB, for at most ten
//! seconds, whatever it says. A binary of its own, since its allocator counts.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use hopmq::{Conn, Uri, broker::Broker};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const GREETING: &[u8] = b"AMQP\0\0\x09\x01";
const CLIENTS: usize = 200;
const EACH: usize = 64 * 1024;

/// The header of a method frame on channel 0 with a payload of that size.
fn method_of(size: u32) -> Vec<u8> {
    [&[1, 0, 0][..], &size.to_be_bytes()].concat()
}

/// Opens many connections, has each say the same, and gives what the broker held at most for each.
fn held_by(address: SocketAddr, said: &[u8]) -> (usize, Vec<TcpStream>) {
    let mut sockets = Vec::with_capacity(CLIENTS);
    ALLOCATOR.reset_peak_usage();
    let before = ALLOCATOR.current_usage();
    for _ in 0..CLIENTS {
        let mut socket = TcpStream::connect(address).expect("it listens");
        // It may be hung up on before all is said.
        let _ = socket.write_all(said);
        sockets.push(socket);
    }
    // An answer to each, or its end: what they said has been looked at.
    for socket in sockets.iter_mut().filter(|_| !said.is_empty()) {
        socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
        let _ = socket.read(&mut [0]);
    }
    (ALLOCATOR.peak_usage().saturating_sub(before) / CLIENTS, sockets)
}

async fn on_a_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

#[tokio::test]
async fn a_client_that_has_not_logged_in_costs_little_and_is_hung_up_on_in_time() {
    let broker = Broker::bind("127.0.0.1:0").await.expect("a broker");
    let at = broker.address();
    let half_a_frame = [GREETING, &method_of(4_000), &[0; 3_999]].concat();
    let too_large = [GREETING, &method_of(u32::MAX), &[0; 60_000]].concat();
    let many_frames = [GREETING, &[8, 0, 0, 0, 0, 0, 0, 0xCE].repeat(10_000)].concat();
    let sayings = [Vec::new(), GREETING.to_vec(), half_a_frame, too_large, many_frames];
    let since = Instant::now();
    let mut held = Vec::new();
    for said in sayings {
        let length = said.len();
        let (each, sockets) = on_a_thread(move || held_by(at, &said)).await;
        println!("{each} octets for each of {CLIENTS} that say {length}");
        assert!(each <= EACH, "{each} octets for each of {CLIENTS} that say {length}");
        held.extend(sockets);
    }

    // Others are served meanwhile.
    let uri: Uri = broker.uri().parse().expect("a URI");
    let conn = Conn::new(uri).connect().await.expect("a connection");
    on_a_thread(move || {
        for mut socket in held {
            socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
            let mut rest = Vec::new();
            // Hung up on in one way or the other, and not left alone.
            if let Err(error) = socket.read_to_end(&mut rest) {
                assert_ne!(error.kind(), ErrorKind::WouldBlock, "it is still open");
            }
        }
    })
    .await;
    let took = since.elapsed();
    assert!(took >= Duration::from_secs(9), "a slow client has ten seconds: {took:?}");
    assert_eq!(broker.connection_count(), 1, "the one that logged in");
    conn.close().await.expect("it closes");
}
