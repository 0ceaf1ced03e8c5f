//! Two processes that talk without a server: each is a program, and one has a broker within.
//!
//! ```sh
//! cargo run --example two_brokers                     # starts the second process by itself
//!
//! cargo run --example two_brokers -- shop             # or by hand: this one prints its address ...
//! cargo run --example two_brokers -- till ADDRESS     # ... and this one takes it
//! ```
//!
//! With the address of a RabbitMQ, `shop ADDRESS` and `till ADDRESS` meet there instead. Kill one of
//! them while they talk, and see what the other one says.

use std::{
    env,
    error::Error,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use hopmq::{
    Config, Message,
    broker::Broker,
    peer::{Peer, PeerEvent, Settings},
};

type Outcome = Result<(), Box<dyn Error>>;

const SALES: u32 = 10;

#[tokio::main]
async fn main() -> Outcome {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => both().await,
        ["shop"] => {
            let broker = Broker::bind("127.0.0.1:0").await?;
            let peer = peer("shop");
            peer.listen_on(&broker).await?;
            println!("{}", broker.uri());
            shop(peer).await?;
            // What is due to the till goes out first.
            broker.drain().stopped(Duration::from_secs(5)).await;
            Ok(())
        }
        ["shop", address] => {
            let peer = peer("shop");
            peer.listen_at(address.parse::<Config>()?).await?;
            shop(peer).await
        }
        ["till", address] => till(address.parse()?).await,
        _ => Err("usage: two_brokers [shop [ADDRESS] | till ADDRESS]".into()),
    }
}

/// Starts the shop as another process, and is the till.
async fn both() -> Outcome {
    let mut shop = Command::new(env::current_exe()?).arg("shop").stdout(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(shop.stdout.take().ok_or("no output")?).lines();
    let address = lines.next().ok_or("the shop did not start")??;
    let printing = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            println!("  {line}");
        }
    });
    let talked = till(address.parse()?).await;
    if talked.is_err() {
        shop.kill()?;
    }
    shop.wait()?;
    printing.join().map_err(|_| "the shop's output")?;
    talked
}

fn peer(name: &str) -> Peer {
    // So that a killed process is noticed while one looks.
    let mut settings = Settings::default();
    settings.patience = Duration::from_secs(5);
    let peer = Peer::with_settings(name, settings);
    let (mut events, name) = (peer.events(), name.to_owned());
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                PeerEvent::Sent { .. } | PeerEvent::Arrived { .. } => {}
                other => println!("{name}: {other:?}"),
            }
        }
    });
    peer
}

/// Serves one till: answers each sale with a receipt.
async fn shop(peer: Peer) -> Outcome {
    let queue = peer.accept().await;
    println!("shop: a queue with {} is ready", queue.peer());
    while let Some(sale) = queue.receive().await {
        let text = String::from_utf8_lossy(&sale.into_body().into_bytes()).into_owned();
        println!("shop: {text}");
        drop(queue.send(Message::text(format!("receipt of {text}"))).await?);
    }
    println!("shop: it is over: {:?}", queue.end());
    queue.close().await;
    Ok(())
}

async fn till(shop: Config) -> Outcome {
    let peer = peer("till");
    let queue = peer.connect("shop").at(shop).await?;
    for number in 1..=SALES {
        let sent = queue.send(Message::text(format!("sale {number}"))).await?;
        let Some(receipt) = queue.receive().await else { break };
        println!("till: {}", String::from_utf8_lossy(&receipt.into_body().into_bytes()));
        sent.await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let queue = queue.close().await;
    println!("till: closed: {:?}", queue.end());
    Ok(())
}
