use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use super::*;

const TOTAL: Duration = Duration::from_secs(9);

fn config(ports: &[u16]) -> Config {
    Config::new().hosts(ports.iter().map(|port| Address::plain("127.0.0.1").port(*port)))
}

/// A seed that leaves the hosts in the order in which they stand.
fn in_order(config: &Config) -> u64 {
    (0..).find(|seed| shuffled(&config.hosts, *seed).into_iter().eq(&config.hosts)).unwrap()
}

async fn dial(config: &Config, seed: u64, deadline: Instant) -> Result<Dialed, DialError> {
    Dialer::new(Arc::new(config.clone()), seed, deadline).next().await
}

async fn dial_in_order(config: &Config) -> Result<Dialed, DialError> {
    dial(config, in_order(config), Instant::now() + TOTAL).await
}

async fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A port at which nobody listens.
async fn refusing() -> u16 {
    listener().await.1
}

/// A listener that nobody accepts from and whose backlog is full: the kernel drops what comes, so
/// that connecting gets no answer at all.
struct BlackHole {
    port: u16,
    _listener: TcpListener,
    _backlog: Vec<std::net::TcpStream>,
}

fn black_hole() -> BlackHole {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut backlog = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(100))
    {
        backlog.push(stream);
        assert!(backlog.len() < 64, "the backlog does not fill");
    }
    BlackHole { port: address.port(), _listener: listener, _backlog: backlog }
}

fn causes(error: &DialError) -> Vec<&AttemptError> {
    error.attempts().iter().map(|attempt| &attempt.cause).collect()
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_and_one_that_swallows_packets_are_passed_over() {
    let (hole, (_listener, works)) = (black_hole(), listener().await);
    let config = config(&[refusing().await, hole.port, works]);
    let start = Instant::now();
    let dialed = dial_in_order(&config).await.unwrap();
    assert!(dialed.among_others, "what failed before is not forgotten");
    assert_eq!(dialed.address, config.hosts[2]);
    assert_eq!(dialed.peer.port(), works);
    // The one that refuses costs nothing; the black hole costs its half of what is left.
    let spent = start.elapsed();
    assert!((TOTAL / 2..TOTAL / 2 + Duration::from_millis(100)).contains(&spent), "{spent:?}");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_holds_for_all_hosts_together_and_the_error_has_every_attempt() {
    let (hole, hole_too) = (black_hole(), black_hole());
    let config = config(&[hole.port, refusing().await, hole_too.port]);
    let start = Instant::now();
    let error = dial_in_order(&config).await.unwrap_err();
    let spent = start.elapsed();
    assert!((TOTAL..TOTAL + Duration::from_millis(100)).contains(&spent), "{spent:?}");

    let causes = causes(&error);
    let [
        AttemptError::TimedOut { step: DialStep::Connect, after },
        AttemptError::Connect(refused),
        AttemptError::TimedOut { step: DialStep::Connect, .. },
    ] = causes[..]
    else {
        panic!("{error}")
    };
    assert_eq!(*after, TOTAL / 3);
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let addresses: Vec<_> = error.attempts().iter().map(|at| at.address.clone()).collect();
    assert_eq!(addresses, config.hosts);
    assert!(error.to_string().contains("refused"), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{}", hole.port)), "{error}");
    assert!(error.source().is_some_and(|cause| cause.to_string().contains("longer than")));
    assert!(!error.is_permanent());
}

#[tokio::test(start_paused = true)]
async fn each_record_of_a_name_is_tried_within_the_time_of_its_host() {
    let (hole, (_listener, works)) = (black_hole(), listener().await);
    let config = config(&[1]);
    let deadline = Instant::now() + TOTAL;
    let mut dialer = Dialer::new(Arc::new(config), 0, deadline);
    let host = dialer.hosts.pop_front().unwrap();
    let record = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let records = [record(hole.port), record(works)].into();
    dialer.current = Some(Current { host, deadline, records });
    assert_eq!(dialer.next().await.unwrap().peer.port(), works);
    let [Attempt { cause: AttemptError::TimedOut { after, .. }, .. }] = dialer.attempts[..] else {
        panic!("{:?}", dialer.attempts)
    };
    assert_eq!(after, TOTAL / 2);
}

#[tokio::test]
async fn a_name_that_cannot_be_resolved_is_an_attempt_with_its_cause() {
    // A label of more than 63 bytes is no DNS name, so that no name server is asked.
    let config = Config::new().host(Address::plain("x".repeat(64)));
    let error = dial_in_order(&config).await.unwrap_err();
    assert!(matches!(causes(&error)[..], [AttemptError::Resolve(_)]), "{error}");
    assert_eq!(error.attempts()[0].peer, None);
}

#[tokio::test]
async fn a_name_is_resolved_and_connected_to() {
    let (_listener, port) = listener().await;
    let config = Config::new().host(Address::plain("localhost").port(port));
    assert_eq!(dial_in_order(&config).await.unwrap().peer.port(), port);
}

#[tokio::test]
async fn hosts_whose_turn_does_not_come_are_in_the_error() {
    let (_listener, port) = listener().await;
    let config = config(&[port, port]);
    let error = dial(&config, 0, Instant::now()).await.unwrap_err();
    assert!(matches!(causes(&error)[..], [AttemptError::NotTried, AttemptError::NotTried]));
    assert!(error.source().is_none());
}

#[tokio::test]
async fn a_host_that_talks_something_else_leaves_time_and_turn_to_the_next() {
    let ((_first, first), (_second, second)) = (listener().await, listener().await);
    let config = config(&[first, second]);
    let total = Instant::now() + TOTAL;
    let mut dialer = Dialer::new(Arc::new(config.clone()), in_order(&config), total);

    let dialed = dialer.next().await.unwrap();
    assert_eq!(dialed.peer.port(), first);
    assert!(dialed.deadline < total - TOTAL / 3, "time is left for the second host");
    assert!(dialed.among_others);
    dialer.handshake_failed(&dialed.address, dialed.peer, io::Error::other("it speaks HTTP"));

    let dialed = dialer.next().await.unwrap();
    assert_eq!(dialed.peer.port(), second);
    assert_eq!(dialed.deadline, total, "the last host has all that is left");
    dialer.handshake_failed(&dialed.address, dialed.peer, io::Error::other("it speaks SMTP"));

    let error = dialer.next().await.unwrap_err();
    assert!(error.to_string().contains("HTTP") && error.to_string().contains("SMTP"), "{error}");
}

#[tokio::test]
async fn the_stream_carries_bytes_without_delay_and_writes_vectored() {
    let (listener, port) = listener().await;
    let config = config(&[port]);
    let (dialed, accepted) = tokio::join!(dial_in_order(&config), listener.accept());
    let (mut stream, mut peer) = (dialed.unwrap().stream, accepted.unwrap().0);
    assert!(stream.tcp().nodelay().unwrap());
    assert!(stream.is_write_vectored());
    let written =
        stream.write_vectored(&[IoSlice::new(b"two "), IoSlice::new(b"parts")]).await.unwrap();
    assert_eq!(written, 9);
    let mut read = [0; 9];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(&read, b"two parts");
    peer.write_all(b"back").await.unwrap();
    stream.read_exact(&mut read[..4]).await.unwrap();
    assert_eq!(&read[..4], b"back");
    stream.shutdown().await.unwrap();
    assert_eq!(peer.read(&mut read).await.unwrap(), 0);
}

#[test]
fn the_order_comes_from_the_seed_and_every_order_comes_up() {
    let config = config(&[1, 2, 3]);
    let order = |seed| -> Vec<u16> {
        shuffled(&config.hosts, seed).into_iter().map(|host| host.port).collect()
    };
    assert_eq!(order(7), order(7));
    let orders: std::collections::BTreeSet<_> = (0..100).map(order).collect();
    assert_eq!(orders.len(), 6);
    assert!(shuffled(&[], 1).is_empty());
}

#[test]
fn a_password_that_leaves_the_machine_unencrypted_is_warned_about() {
    let warned = |config: &Config, peer: &str| {
        let dialer = Dialer::new(Arc::new(config.clone()), 0, std::time::Instant::now().into());
        let log = log_of(|| dialer.warn_of_readable_password(peer.parse().unwrap()));
        log.contains("unencrypted") && log.contains(peer)
    };
    let plain = Config::new();
    assert!(warned(&plain, "192.0.2.1:5672"));
    assert!(warned(&plain, "[2001:db8::1]:5672"));
    for here in ["127.0.0.1:5672", "127.9.9.9:5672", "[::1]:5672", "[::ffff:127.0.0.1]:5672"] {
        assert!(!warned(&plain, here), "{here}");
    }
    let external = Config::new().mechanisms([Mechanism::External]);
    assert!(!warned(&external, "192.0.2.1:5672"));
}

/// What a call logs.
pub(in crate::driver) fn log_of(call: impl FnOnce()) -> String {
    let log = Arc::new(Mutex::new(Vec::new()));
    let writer = LogWriter(log.clone());
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, call);
    let bytes = log.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap()
}

#[derive(Clone)]
struct LogWriter(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(not(feature = "tls"))]
#[tokio::test]
async fn without_the_feature_an_address_of_tls_is_a_permanent_error() {
    let config: Config = "amqps://localhost".parse().unwrap();
    let error = dial_in_order(&config).await.unwrap_err();
    assert!(matches!(causes(&error)[..], [AttemptError::NoTls]));
    assert!(error.is_permanent());
    assert!(error.to_string().contains("feature `tls`"));
}
