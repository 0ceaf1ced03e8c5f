//! What is said of running it for real: the compose file, the broker's settings, the users' rights.

use std::{collections::BTreeMap, time::Duration};

use hopmq::{
    Config, Conn, Exchange, Queue,
    broker::{Broker, Names, Permissions},
    wire::ReplyCode,
};
use order_service::{BoxError, Settings};
use regex_lite::Regex;
use serde::Deserialize;

use kit::{start, within};

#[allow(dead_code)] // What other tests need.
mod kit;
#[path = "../../../tests/node/mod.rs"]
mod node;

const GUIDE: &str = include_str!("../README.md");

/// As much of the compose specification (<https://github.com/compose-spec/compose-spec>) as is used:
/// a key that is not one of it, or in the wrong place, is an error.
mod compose {
    use super::*;

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct File {
        #[allow(dead_code)]
        pub(crate) name: String,
        pub(crate) services: BTreeMap<String, Service>,
        pub(crate) volumes: BTreeMap<String, Option<Volume>>,
    }

    /// All of its keys are optional, and none is used.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Volume {}

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Service {
        pub(crate) image: String,
        pub(crate) hostname: String,
        pub(crate) restart: String,
        pub(crate) environment: BTreeMap<String, String>,
        pub(crate) ports: Vec<String>,
        pub(crate) volumes: Vec<String>,
        pub(crate) healthcheck: HealthCheck,
        pub(crate) stop_grace_period: String,
        pub(crate) ulimits: BTreeMap<String, Limit>,
        pub(crate) deploy: Deploy,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct HealthCheck {
        pub(crate) test: Vec<String>,
        pub(crate) interval: String,
        pub(crate) timeout: String,
        pub(crate) retries: u32,
        pub(crate) start_period: String,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Limit {
        pub(crate) soft: u64,
        pub(crate) hard: u64,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Deploy {
        pub(crate) resources: Resources,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Resources {
        pub(crate) limits: Amounts,
        pub(crate) reservations: Amounts,
    }

    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Amounts {
        pub(crate) cpus: Option<String>,
        pub(crate) memory: String,
    }
}

fn compose() -> Result<compose::File, BoxError> {
    Ok(serde_norway::from_str(include_str!("../compose.yaml"))?)
}

fn fits(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).expect("a pattern").is_match(text)
}

#[test]
fn the_compose_file_is_one_and_names_what_there_is() -> Result<(), BoxError> {
    let file = compose()?;
    let rabbitmq = file.services.get("rabbitmq").ok_or("no broker")?;
    assert!(fits(r"^rabbitmq:\d+\.\d+-management$", &rabbitmq.image), "{}", rabbitmq.image);
    assert_eq!((&*rabbitmq.hostname, &*rabbitmq.restart), ("rabbitmq", "unless-stopped"));
    for port in &rabbitmq.ports {
        assert!(fits(r"^127\.0\.0\.1:\d+:\d+$", port), "of this host alone: {port}");
    }
    for volume in &rabbitmq.volumes {
        let (source, target) = volume.split_once(':').ok_or("no target")?;
        assert!(target.starts_with('/'), "{volume}");
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        let is_there = match source.strip_prefix("./") {
            Some(file) => std::fs::exists(format!("{here}{file}"))?,
            None => file.volumes.contains_key(source),
        };
        assert!(is_there, "{volume}");
    }
    let data = rabbitmq.volumes.iter().any(|volume| volume == "rabbitmq_data:/var/lib/rabbitmq");
    assert!(data, "the data outlives the container");
    let duration = r"^\d+(ms|s|m|h)$";
    let check = &rabbitmq.healthcheck;
    for time in [&check.interval, &check.timeout, &check.start_period, &rabbitmq.stop_grace_period]
    {
        assert!(fits(duration, time), "{time}");
    }
    assert_eq!(check.test.first().map(String::as_str), Some("CMD"));
    assert!(check.test.iter().any(|word| word == "check_port_connectivity") && check.retries > 0);
    let resources = &rabbitmq.deploy.resources;
    for amount in [&resources.limits.memory, &resources.reservations.memory] {
        assert!(fits(r"^\d+[bkmgBKMG]+$", amount), "{amount}");
    }
    assert!(resources.limits.cpus.as_deref().is_some_and(|cpus| cpus.parse::<f64>().is_ok()));
    assert!(rabbitmq.ulimits.values().all(|limit| limit.soft <= limit.hard));
    Ok(())
}

#[test]
fn there_is_no_default_password() -> Result<(), BoxError> {
    let file = compose()?;
    let environment = &file.services.get("rabbitmq").ok_or("no broker")?.environment;
    for (name, variable) in
        [("RABBITMQ_DEFAULT_USER", "RABBITMQ_USER"), ("RABBITMQ_DEFAULT_PASS", "RABBITMQ_PASSWORD")]
    {
        let value = environment.get(name).ok_or(name)?;
        // `${VARIABLE:?why}`: compose refuses to start while it is not set, or is empty.
        assert!(fits(&format!(r"^\$\{{{variable}:\?[^}}]+\}}$"), value), "{name}: {value}");
    }
    Ok(())
}

/// The limits of the broker fit into those of its container.
#[test]
fn the_brokers_settings_fit_its_container() -> Result<(), BoxError> {
    let settings: BTreeMap<_, _> = include_str!("../rabbitmq.conf")
        .lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(|line| line.split_once(" = ").ok_or_else(|| format!("no setting: {line}")))
        .collect::<Result<_, _>>()?;
    assert_eq!(settings.get("disk_free_limit.absolute"), Some(&"2GB"));
    let gigabytes = |text: &str| text.trim_end_matches(['G', 'B']).parse::<u32>();
    let memory = settings.get("vm_memory_high_watermark.absolute").ok_or("no limit of memory")?;
    let container = &compose()?.services["rabbitmq"].deploy.resources.limits.memory;
    assert!(gigabytes(memory)? < gigabytes(container)?, "{memory} of {container}");
    Ok(())
}

/// Configure, write, read: of the user in the guide.
fn rights_of(user: &str) -> Result<[String; 3], BoxError> {
    let command = format!(
        r"set_permissions --vhost shop {user} (?:\\\s+)?'(.*)' (?:\\\s+)?'(.*)' (?:\\\s+)?'(.*)'\n"
    );
    let found =
        Regex::new(&command)?.captures(GUIDE).ok_or_else(|| format!("no rights of {user}"))?;
    Ok([1, 2, 3].map(|at| found[at].to_owned()))
}

/// The whole life of orders: shipped, retried and then shipped, parked; and nothing beyond.
async fn lives_within_its_rights(address: &str) -> Result<(), BoxError> {
    let retry_delay = Duration::from_millis(50);
    let settings = Settings { apples: 0, retry_delay, max_retries: 100, ..Settings::default() };
    let service = start(address, settings).await?;
    assert_eq!(service.order("ada", 0).await?, 202, "it is parked");
    assert_eq!(service.order("ada", 12).await?, 202, "it is tried again");
    assert_eq!(service.ask("POST", "/apples/12", "").await?.0, 204);
    service.until("/shipped/ada", r#""apples":12"#).await?;
    // Read by the broker's own count, which needs no rights.
    service
        .until("/metrics", r#"order_service_messages_waiting{queue="orders.ship.parked"} 1"#)
        .await?;
    assert_eq!(service.ask("GET", "/health/ready", "").await?.0, 200);
    service.stop().await?;

    let conn = Conn::new(address.parse::<Config>()?).connect().await?;
    let refused = |error: hopmq::Error| {
        assert_eq!(error.reply_code(), Some(ReplyCode::ACCESS_REFUSED), "{error}")
    };
    let chan = conn.open_channel().await?;
    refused(chan.declare(Queue::classic("invoices")).await.expect_err("not its own"));
    let chan = conn.open_channel().await?;
    refused(chan.declare(Exchange::fanout("orders.ship.news")).await.expect_err("not its own"));
    let chan = conn.open_channel().await?;
    let parked = conn.find(Queue::quorum("orders.ship.parked")).await?.ok_or("it is there")?;
    refused(chan.get(&parked).await.expect_err("for the clerk"));
    conn.close().await?;
    Ok(())
}

#[tokio::test]
async fn the_rights_of_the_guide_are_enough_and_no_more() -> Result<(), BoxError> {
    within(async {
        let [configure, write, read] = rights_of("order_service")?;
        let rights = Permissions::all()
            .vhosts(["shop"])
            .configure(Names::matching(&configure)?)
            .write(Names::matching(&write)?)
            .read(Names::matching(&read)?);
        let broker = Broker::builder()
            .vhost("shop")
            .user_with("order_service", "secret", rights)
            .bind("127.0.0.1:0")
            .await?;
        lives_within_its_rights(&format!("amqp://order_service:secret@{}/shop", broker.address()))
            .await
    })
    .await
}

#[test]
fn the_guide_has_rights_for_each_user_it_adds() -> Result<(), BoxError> {
    for user in Regex::new("rabbitmqctl add_user ([a-z_]+)")?.captures_iter(GUIDE) {
        for pattern in rights_of(&user[1])? {
            assert!(
                pattern.starts_with('^') && pattern.ends_with('$'),
                "matches too much: {pattern}"
            );
            Regex::new(&pattern)?;
        }
    }
    Ok(())
}

mod own_nodes {
    use super::*;

    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn the_rights_are_enough_on_rabbitmq_with_the_settings_of_the_guide()
    -> Result<(), BoxError> {
        let [configure, write, read] = rights_of("order_service")?;
        let prepared = tokio::task::spawn_blocking(move || {
            let node = node::Node::start_with(include_str!("../rabbitmq.conf"), "[].", &[]);
            node.ctl(&["add_vhost", "shop"]);
            node.ctl(&["add_user", "order_service", "secret"]);
            let rights = ["--vhost", "shop", "order_service", &configure, &write, &read];
            node.ctl(&[&["set_permissions"], &rights[..]].concat());
            let limit = node.ctl(&["eval", "rabbit_disk_monitor:get_disk_free_limit()."]);
            (node, limit)
        });
        let (node, limit) = prepared.await?;
        assert_eq!(limit.trim(), "2000000000", "it took the settings");
        let uri = node.uri();
        let (_, address) = uri.rsplit_once('@').ok_or("no user in the address")?;
        let address = format!("amqp://order_service:secret@{address}/shop");
        within(lives_within_its_rights(&address)).await?;
        tokio::task::spawn_blocking(|| drop(node)).await?;
        Ok(())
    }
}
