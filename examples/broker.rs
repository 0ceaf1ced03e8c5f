//! A broker that stands alone, until it is interrupted:
//!
//! ```sh
//! cargo run --example broker -- --listen 127.0.0.1:5672 --user shop:secret --vhost orders
//! ```
//!
//! Every option may be given several times. Without `--listen` it takes a free port on this
//! machine, without `--user` the user is `guest`. At the end, connections are told and drained.

use std::{error::Error, time::Duration};

use hopmq::broker::{Broker, Builder};

const USAGE: &str = "\
usage: broker [--listen ADDRESS] [--user NAME:PASSWORD] [--vhost NAME] [--heartbeat SECONDS]
              [--memory-limit BYTES] [--permit-transient-queues]";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Some(Wish { builder, mut addresses }) = read(std::env::args().skip(1))? else {
        println!("{USAGE}");
        return Ok(());
    };
    let first = addresses.remove(0);
    let broker = builder.build().listen(first).await?;
    for address in addresses {
        broker.also_listen(address).await?;
    }
    for address in broker.addresses() {
        println!("listening on {address}");
    }
    println!("{}", broker.uri());

    tokio::signal::ctrl_c().await?;
    let broker = broker.drain();
    println!("stopping; {} connections are told", broker.connection_count());
    let broker = broker.stopped(Duration::from_secs(5)).await;
    println!("stopped; {} connections did not answer", broker.cut());
    Ok(())
}

/// What the command line asks for.
struct Wish {
    builder: Builder,
    addresses: Vec<String>,
}

/// Reads the command line; nothing is wished for where it asks for help.
fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Wish>, Box<dyn Error>> {
    let mut builder = Broker::builder();
    let mut addresses = Vec::new();
    while let Some(option) = arguments.next() {
        if option == "--permit-transient-queues" {
            builder = builder.permit_transient_queues();
            continue;
        }
        if option == "--help" || option == "-h" {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{option} wants a value\n{USAGE}"))?;
        builder = match option.as_str() {
            "--listen" => {
                addresses.push(value);
                builder
            }
            "--user" => {
                let (name, password) =
                    value.split_once(':').ok_or("--user wants a name, a colon and a password")?;
                builder.user(name, password)
            }
            "--vhost" => builder.vhost(value),
            "--heartbeat" => builder.heartbeat(Duration::from_secs(value.parse()?)),
            "--memory-limit" => builder.memory_limit(value.parse()?),
            other => return Err(format!("{other} is unknown\n{USAGE}").into()),
        };
    }
    if addresses.is_empty() {
        addresses.push("127.0.0.1:0".to_owned());
    }
    Ok(Some(Wish { builder, addresses }))
}
