//! A broker that stands alone, until it is interrupted:
//!
//! ```sh
//! cargo run --example broker -- --listen 127.0.0.1:5672 --user shop:secret --vhost orders
//! cargo run --example broker -- --tls-listen 127.0.0.1:5671 --cert server.pem --key server.key
//! ```
//!
//! Addresses, users and virtual hosts may be given several times. Without `--listen` it takes a
//! free port on this machine, without `--user` the user is `guest`. With `--store` what is durable
//! outlives it. At the end, connections are told and drained.
//!
//! Meanwhile it takes commands that are known from `rabbitmqctl`, one per line of its input, with
//! what `rabbitmqctl` says where one is refused; `help` lists them.

use std::{error::Error, process::ExitCode, time::Duration};

use hopmq::{
    broker::{Broker, Builder, Listening, Names, Permissions, ServerTls},
    wire::ReplyCode,
};
use tokio::io::{AsyncBufReadExt, BufReader};

const USAGE: &str = "\
usage: broker [--listen ADDRESS] [--tls-listen ADDRESS --cert FILE --key FILE [--client-ca FILE]]
              [--user NAME:PASSWORD] [--vhost NAME] [--heartbeat SECONDS] [--store FILE]
              [--memory-limit BYTES] [--permit-transient-queues]";

const COMMANDS: &str = "\
list_connections
close_connection NUMBER [REASON]       the number is the one that list_connections shows
close_all_connections [REASON]
list_vhosts
list_users
list_queues [-p VHOST]
list_exchanges [-p VHOST]
list_bindings [-p VHOST]
list_consumers [-p VHOST]
delete_queue NAME [-p VHOST]
add_user NAME PASSWORD [CONFIGURE WRITE READ]     regular expressions; without them it may do all
set_memory_alarm on|off                publishers are blocked, and released
status
stop";

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match start() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn start() -> Result {
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(run());
    // A thread waits for a line of input that may never come: the process does not wait for it.
    runtime.shutdown_background();
    result
}

async fn run() -> Result {
    let Some(wish) = read(std::env::args().skip(1))? else {
        println!("{USAGE}\n\ncommands, one per line of the input:\n{COMMANDS}");
        return Ok(());
    };
    let broker = listen(wish).await?;
    for address in broker.addresses() {
        println!("listening on {address}");
    }
    println!("{}", broker.uri());

    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted?,
        () = obey(&broker) => {}
    }
    let broker = broker.drain();
    println!("stopping; {} connections are told", broker.connection_count());
    let broker = broker.stopped(Duration::from_secs(5)).await;
    for vhost in broker.vhosts() {
        for queue in broker.queues(&vhost).iter().filter(|queue| queue.ready > 0) {
            println!(
                "{} messages remained in queue '{}' in vhost '{vhost}'",
                queue.ready, queue.name
            );
        }
    }
    println!("stopped; {} connections did not answer", broker.cut());
    Ok(())
}

/// What the command line asks for.
struct Wish {
    builder: Builder,
    addresses: Vec<String>,
    secure: Vec<String>,
    tls: Option<ServerTls>,
}

async fn listen(wish: Wish) -> Result<Broker<Listening>> {
    let Wish { builder, mut addresses, mut secure, tls } = wish;
    let broker = builder.build();
    let tls = |address: &str| {
        tls.clone().ok_or_else(|| format!("--tls-listen {address} wants --cert and --key"))
    };
    let broker = if addresses.is_empty() {
        let first = secure.remove(0);
        broker.listen_tls(first.as_str(), tls(&first)?).await?
    } else {
        broker.listen(addresses.remove(0)).await?
    };
    for address in addresses {
        broker.also_listen(address).await?;
    }
    for address in secure {
        broker.also_listen_tls(address.as_str(), tls(&address)?).await?;
    }
    Ok(broker)
}

/// Reads the command line; nothing is wished for where it asks for help.
fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Wish>> {
    let mut builder = Broker::builder();
    let (mut addresses, mut secure) = (Vec::new(), Vec::new());
    let (mut certificate, mut key, mut clients) = (None, None, None);
    while let Some(option) = arguments.next() {
        if option == "--permit-transient-queues" {
            builder = builder.permit_transient_queues();
            continue;
        }
        if option == "--help" || option == "-h" {
            return Ok(None);
        }
        let value = arguments.next().ok_or_else(|| format!("{option} wants a value\n{USAGE}"))?;
        match option.as_str() {
            "--listen" => addresses.push(value),
            "--tls-listen" => secure.push(value),
            "--cert" => certificate = Some(value),
            "--key" => key = Some(value),
            "--client-ca" => clients = Some(value),
            "--user" => {
                let (name, password) =
                    value.split_once(':').ok_or("--user wants a name, a colon and a password")?;
                builder = builder.user(name, password);
            }
            "--vhost" => builder = builder.vhost(value),
            "--heartbeat" => builder = builder.heartbeat(Duration::from_secs(value.parse()?)),
            "--memory-limit" => builder = builder.memory_limit(value.parse()?),
            "--store" => builder = builder.durable(value),
            other => return Err(format!("{other} is unknown\n{USAGE}").into()),
        }
    }
    let tls = tls(certificate, key, clients)?;
    if addresses.is_empty() && secure.is_empty() {
        addresses.push("127.0.0.1:0".to_owned());
    }
    Ok(Some(Wish { builder, addresses, secure, tls }))
}

/// Reads the files with certificates, where there are some; what is wrong with one names it.
fn tls(
    certificate: Option<String>,
    key: Option<String>,
    clients: Option<String>,
) -> Result<Option<ServerTls>> {
    let read = |file: &str| std::fs::read(file).map_err(|error| format!("{file}: {error}"));
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (None, None) if clients.is_none() => return Ok(None),
        _ => return Err("--cert and --key go together, and --client-ca with them".into()),
    };
    let tls = ServerTls::from_pem(&read(&certificate)?, &read(&key)?)
        .map_err(|error| format!("{certificate} with {key}: {error}"))?;
    let Some(clients) = clients else { return Ok(Some(tls)) };
    let authorities = read(&clients)?;
    let tls =
        tls.client_authorities(&authorities).map_err(|error| format!("{clients}: {error}"))?;
    Ok(Some(tls))
}

/// Does what the input says, until it says `stop`. At the end of the input it waits for ever.
async fn obey(broker: &Broker<Listening>) {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [] => {}
            ["stop"] => return,
            words => match command(broker, words) {
                Ok(answer) if answer.is_empty() => {}
                Ok(answer) => println!("{answer}"),
                Err(error) => println!("Error: {error}"),
            },
        }
    }
    std::future::pending().await
}

/// The virtual host that was asked for; `rabbitmqctl` wants `-p` before it.
fn vhost(broker: &Broker<Listening>, given: &[&str]) -> Result<String> {
    let name = match given {
        [] => "/",
        ["-p" | "--vhost", name] | [name] => name,
        other => return Err(format!("{} is too much", other.join(" ")).into()),
    };
    match broker.vhosts().iter().any(|vhost| vhost == name) {
        true => Ok(name.to_owned()),
        false => Err(format!("Virtual host '{name}' does not exist").into()),
    }
}

fn command(broker: &Broker<Listening>, words: &[&str]) -> Result<String> {
    let faults = broker.faults();
    let vhost = |given: &[&str]| vhost(broker, given);
    Ok(match words {
        ["help"] => COMMANDS.to_owned(),
        ["list_connections"] => lines(broker.connections().iter().map(|found| {
            let (id, user, vhost, channels) =
                (found.id, &found.user, &found.vhost, found.channels.len());
            let state = if found.blocked { "blocked" } else { "running" };
            format!("{id} {user} {vhost} {channels} channels {state}")
        })),
        ["close_connection", number, reason @ ..] => {
            let mut connections = broker.connections().into_iter();
            let found = connections.find(|found| found.id.to_string() == *number);
            let found = found.ok_or_else(|| format!("There is no connection {number}"))?;
            faults.close_connection(found.id, ReplyCode::CONNECTION_FORCED, &reason.join(" "));
            format!("Closed connection {number}")
        }
        ["close_all_connections", reason @ ..] => {
            let count = broker.connections().len();
            faults.close_connections(ReplyCode::CONNECTION_FORCED, &reason.join(" "));
            format!("Closed {count} connections")
        }
        ["list_vhosts"] => lines(broker.vhosts().into_iter()),
        ["list_users"] => lines(broker.users().into_iter()),
        ["list_queues", given @ ..] => lines(broker.queues(&vhost(given)?).iter().map(|queue| {
            let (consumers, unacked) = (queue.consumers.len(), queue.unacked);
            let (name, kind, ready) = (&queue.name, queue.kind, queue.ready);
            format!("{name} {kind} {ready} ready {unacked} unacked {consumers} consumers")
        })),
        ["list_exchanges", given @ ..] => lines(
            broker
                .exchanges(&vhost(given)?)
                .iter()
                .map(|found| format!("{} {}", found.name, found.kind)),
        ),
        ["list_bindings", given @ ..] => {
            lines(broker.bindings(&vhost(given)?).iter().map(|found| {
                format!("{} {} {}", found.source, found.destination, found.routing_key)
            }))
        }
        ["list_consumers", given @ ..] => {
            let queues = broker.queues(&vhost(given)?);
            lines(queues.iter().flat_map(|queue| {
                queue.consumers.iter().map(|consumer| {
                    let (tag, prefetch) = (&consumer.tag, consumer.prefetch);
                    format!("{} {tag} prefetch {prefetch} active {}", queue.name, consumer.active)
                })
            }))
        }
        ["add_user", name, password, rights @ ..] => {
            if broker.users().iter().any(|user| user == name) {
                return Err(format!("User \"{name}\" already exists").into());
            }
            let permissions = match rights {
                [] => Permissions::all(),
                [configure, write, read] => Permissions::all()
                    .configure(Names::matching(configure)?)
                    .write(Names::matching(write)?)
                    .read(Names::matching(read)?),
                _ => return Err("permissions are three: configure, write, read".into()),
            };
            faults.add_user(name, password, permissions);
            format!("Added user \"{name}\"")
        }
        ["delete_queue", name, given @ ..] => match faults.delete_queue(&vhost(given)?, name) {
            true => format!("Queue '{name}' was deleted"),
            false => return Err("Queue not found".into()),
        },
        ["set_memory_alarm", "on"] => {
            faults.block();
            "Memory alarm is on".to_owned()
        }
        ["set_memory_alarm", "off"] => {
            faults.unblock();
            "Memory alarm is off".to_owned()
        }
        ["status"] => {
            let counts = broker.counts();
            format!("{} octets in messages\n{counts:#?}", broker.stored())
        }
        other => return Err(format!("Command '{}' not found; try help", other.join(" ")).into()),
    })
}

fn lines(found: impl Iterator<Item = String>) -> String {
    found.collect::<Vec<_>>().join("\n")
}
