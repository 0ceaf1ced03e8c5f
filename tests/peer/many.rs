//! Many queues at once, each independent of the others.

use hopmq::{
    Config, Tls,
    broker::Broker,
    peer::{Peer, Settings},
};

use crate::{Outcome, number, receive_in_order, send_all, soon, unique};

#[tokio::test]
async fn fifty_connections_on_several_ports_talk_at_once_and_stalled_ones_hold_nobody_up() -> Outcome
{
    soon(async {
        let broker = Broker::bind("127.0.0.1:0").await?;
        for _ in 0..4 {
            broker.also_listen("127.0.0.1:0").await?;
        }
        let address =
            |port: std::net::SocketAddr| format!("amqp://guest:guest@{port}").parse::<Config>();
        let ports = broker.addresses().into_iter().map(address);
        let ports: Vec<_> = ports.collect::<Result<_, _>>()?;
        assert_eq!(ports.len(), 5);
        fifty_talk_at_once(ports).await
    })
    .await
}

/// The plain port, and that with TLS where the node has one.
#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn fifty_connections_on_the_ports_of_a_rabbitmq_talk_at_once() -> Outcome {
    soon(async {
        let mut ports = vec![Config::from_env("HOPMQ_TEST_AMQP_URL")?];
        if let Ok(ca) = std::env::var("HOPMQ_TEST_CA") {
            let config = Config::from_env("HOPMQ_TEST_AMQPS_URL")?;
            ports.push(config.tls(Tls::default().ca_file(ca)));
        }
        fifty_talk_at_once(ports).await
    })
    .await
}

/// Fifty peers and one hub, at the same broker through several ports.
async fn fifty_talk_at_once(ports: Vec<Config>) -> Outcome {
    let mut settings = Settings::default();
    settings.window_messages = 20;
    // All of them knock at once.
    settings.connect_timeout = crate::LONG;
    let hub = Peer::with_settings(unique("hub"), settings);
    hub.listen_at(ports[0].clone()).await?;

    let mut clients = tokio::task::JoinSet::new();
    for client in 0..50 {
        let config = ports[client % ports.len()].clone();
        let to = hub.name().to_owned();
        clients.spawn(async move {
            let peer = Peer::with_settings(format!("client-{client}"), settings);
            let queue = peer.connect(to).at(config).await?;
            Outcome::Ok((client, peer, queue))
        });
    }
    let mut served = Vec::new();
    for _ in 0..50 {
        served.push(hub.accept().await);
    }
    let mut connected = Vec::new();
    while let Some(client) = clients.join_next().await {
        connected.push(client??);
    }

    // Every tenth stalls: its sender fills the window, and nobody takes that.
    let (mut talking, mut stalled) = (tokio::task::JoinSet::new(), Vec::new());
    for (client, peer, queue) in connected {
        if client % 10 == 0 {
            for next in 0..20 {
                drop(queue.send(number(next)).await?);
            }
            stalled.push((peer, queue));
            continue;
        }
        talking.spawn(async move {
            tokio::try_join!(send_all(&queue, 0, 100), receive_in_order(&queue, 0, 100))?;
            queue.close().await;
            drop(peer);
            Outcome::Ok(())
        });
    }
    for queue in served {
        if queue.peer().ends_with('0') {
            stalled.push((Peer::new("nobody"), queue));
            continue;
        }
        talking.spawn(async move {
            for _ in 0..100 {
                let message = queue.receive().await.ok_or("it ended")?;
                drop(queue.send(message).await?);
            }
            assert!(queue.receive().await.is_none());
            Outcome::Ok(())
        });
    }
    while let Some(talked) = talking.join_next().await {
        talked??;
    }
    assert_eq!(stalled.len(), 10);
    assert!(stalled.iter().all(|(_, queue)| queue.end().is_none()));
    Ok(())
}
