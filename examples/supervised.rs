//! A supervised link to a service that keeps dying: watch the states go by, for about half a minute.
//!
//!     cargo run --example supervised
//!
//! The service is a TCP listener within this process that answers every byte with the same byte. It
//! freezes, dies, stays away, and comes back; the link finds out, degrades, retries, opens its breaker,
//! sends one probe, and is there again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hopmq::link::{
    Backoff, Breaker, Connected, Link, Policy, Pulse, Restored, Service, Settings, Transitions,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mood, moods) = watch::channel(Mood::Well);
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    tokio::spawn(serve(address.clone(), moods));
    sleep(Duration::from_millis(100)).await;

    let start = Instant::now();
    let link = Link::with(Echo { address }, settings());
    let watcher = tokio::spawn(show(link.transitions(), start));
    let link = link.connect().await?;
    let link = Arc::new(link);
    let caller = tokio::spawn(call(link.clone(), start));

    for (seconds, next, what) in [
        (4, Mood::Frozen, "the service freezes for two seconds"),
        (2, Mood::Well, "the service thaws"),
        (4, Mood::Dead, "the service dies for nine seconds"),
        (9, Mood::Well, "the service is back"),
        (6, Mood::Dead, "the service dies for a moment"),
        (1, Mood::Well, "the service is back"),
    ] {
        sleep(Duration::from_secs(seconds)).await;
        println!("{} * {what}", at(start));
        mood.send_replace(next);
    }
    sleep(Duration::from_secs(4)).await;

    caller.abort();
    let _ = caller.await;
    let stats = link.stats();
    let link = Arc::into_inner(link).ok_or("the link is still shared")?;
    drop(link.close().await);
    watcher.await?;
    println!(
        "\n{} attempts, {} failed, {} losses, the breaker opened {} times, the longest outage took {:.1?}",
        stats.attempts, stats.failures, stats.losses, stats.trips, stats.longest_recovery
    );
    Ok(())
}

fn settings() -> Settings {
    let millis = Duration::from_millis;
    let breaker = Breaker { threshold: 4, cool_down: millis(1_500), ..Breaker::default() };
    Settings {
        id: Some("echo".into()),
        policy: Policy {
            backoff: Backoff::fixed(millis(400)),
            breaker: Some(breaker),
            ..Policy::default()
        },
        pulse: Some(Pulse {
            every: millis(500),
            late_after: millis(500),
            lost_after: millis(4_000),
        }),
        ..Settings::default()
    }
}

// --- the link ---

struct Echo {
    address: String,
}

impl Service for Echo {
    type Session = Mutex<TcpStream>;
    type Error = io::Error;

    async fn dial(&self) -> io::Result<Mutex<TcpStream>> {
        let session = Mutex::new(TcpStream::connect(&self.address).await?);
        echo(&session, 0).await?;
        Ok(session)
    }

    async fn probe(&self, session: &Mutex<TcpStream>) -> io::Result<()> {
        echo(session, 0).await.map(drop)
    }

    async fn recover(&self, _: &Mutex<TcpStream>) -> io::Result<Restored> {
        sleep(Duration::from_millis(300)).await; // what a real one has to restore takes time too
        Ok(Restored::Everything)
    }

    async fn close(&self, session: &Mutex<TcpStream>) {
        let _ = session.lock().await.shutdown().await;
    }
}

async fn echo(session: &Mutex<TcpStream>, byte: u8) -> io::Result<u8> {
    let mut stream = session.lock().await;
    stream.write_u8(byte).await?;
    stream.read_u8().await
}

/// Somebody who uses the link, and says what that was like whenever it changes.
async fn call(link: Arc<Link<Connected, Echo>>, start: Instant) {
    let mut last = String::new();
    loop {
        let now = match link.session() {
            Ok(session) => {
                match tokio::time::timeout(Duration::from_millis(200), echo(&session, 7)).await {
                    Ok(Ok(_)) => "calls are answered".to_owned(),
                    Ok(Err(error)) => {
                        let what = format!("a call failed: {error}");
                        session.lost(error); // so the link need not wait for its next probe
                        what
                    }
                    Err(_) => "calls take too long".to_owned(),
                }
            }
            Err(unavailable) => format!("calls fail at once: {unavailable}"),
        };
        if now.split(':').next() != last.split(':').next()
            || now.contains("breaker") != last.contains("breaker")
        {
            println!("{}     {now}", at(start));
        }
        last = now;
        sleep(Duration::from_millis(100)).await;
    }
}

async fn show(mut transitions: Transitions, start: Instant) {
    while let Some(transition) = transitions.next().await {
        println!("{}   {transition}", at(start));
    }
}

fn at(start: Instant) -> String {
    format!("{:5.1} s", start.elapsed().as_secs_f32())
}

// --- the service ---

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// Accepts and reads nothing.
    Frozen,
    /// Does not even listen.
    Dead,
}

async fn serve(address: String, mut mood: watch::Receiver<Mood>) -> io::Result<()> {
    loop {
        let _ = mood.wait_for(|mood| *mood != Mood::Dead).await;
        let listener = TcpListener::bind(&address).await?;
        let mut deaths = mood.clone();
        tokio::select! {
            result = accept(listener, mood.clone()) => result?,
            _ = deaths.wait_for(|mood| *mood == Mood::Dead) => {}
        }
    }
}

async fn accept(listener: TcpListener, mood: watch::Receiver<Mood>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        let mut deaths = mood.clone();
        let answers = answer(stream, mood.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = answers => {}
                _ = deaths.wait_for(|mood| *mood == Mood::Dead) => {}
            }
        });
    }
}

async fn answer(mut stream: TcpStream, mut mood: watch::Receiver<Mood>) -> io::Result<()> {
    loop {
        let byte = stream.read_u8().await?;
        let _ = mood.wait_for(|mood| *mood == Mood::Well).await;
        stream.write_u8(byte).await?;
    }
}
