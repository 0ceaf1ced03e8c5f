//! The same scripts to the embedded broker and to RabbitMQ, and every answer compared: methods,
//! codes, texts, properties and bodies.
//!
//! Where RabbitMQ 3.x and 4.x differ the embedded broker follows 4.x, and the script says so.

mod scripts;
mod stage;

use std::time::Duration;

use hopmq::broker::Broker;

use stage::Stage;

/// How long silence must last to count as the end of an answer. A script runs twice as long on a
/// broker that needs more; all scripts run at once, so that it costs little.
const EMBEDDED_QUIET: Duration = Duration::from_millis(60);
const NODE_QUIET: Duration = Duration::from_millis(400);

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn every_answer_is_rabbitmqs() {
    let uri = std::env::var("HOPMQ_TEST_AMQP_URL").expect("tests/run sets HOPMQ_TEST_AMQP_URL");
    let authority = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split('/').next().unwrap().to_owned();
    let version = stage::version_of(&host).await;

    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let ours = run(&broker.address().to_string(), EMBEDDED_QUIET, version).await;
    let theirs = run(&host, NODE_QUIET, version).await;
    let mut wrong = Vec::new();
    for ((name, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        if ours != theirs {
            wrong.push(difference(name, ours, theirs));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} scripts differ:\n{}",
        wrong.len(),
        ours.len(),
        wrong.join("\n")
    );
}

/// The scripts run on the embedded broker alone, too, so that they cannot rot where there is no
/// RabbitMQ: each ends, and says something.
#[tokio::test]
async fn every_script_runs() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    for (name, transcript) in run(&broker.address().to_string(), EMBEDDED_QUIET, (4, 3)).await {
        assert!(!transcript.is_empty(), "{name} says nothing");
    }
}

/// Runs all scripts that are meant for a version, each on connections of its own.
async fn run(host: &str, quiet: Duration, version: (u32, u32)) -> Vec<(&'static str, Vec<String>)> {
    let running: Vec<_> = scripts::all()
        .into_iter()
        .filter(|script| script.since <= version)
        .map(|script| {
            let stage = Stage::new(host.to_owned(), script.name, quiet);
            (script.name, tokio::spawn((script.play)(stage)))
        })
        .collect();
    let mut transcripts = Vec::new();
    for (name, script) in running {
        transcripts.push((name, script.await.unwrap_or_else(|error| panic!("{name}: {error}"))));
    }
    transcripts
}

fn difference(name: &str, ours: &[String], theirs: &[String]) -> String {
    let mut text = format!("--- {name}\n");
    let length = ours.len().max(theirs.len());
    for index in 0..length {
        match (ours.get(index), theirs.get(index)) {
            (Some(ours), Some(theirs)) if ours == theirs => text.push_str(&format!("    {ours}\n")),
            (ours, theirs) => {
                let nothing = "(nothing)".to_owned();
                text.push_str(&format!("  we   {}\n", ours.unwrap_or(&nothing)));
                text.push_str(&format!("  they {}\n", theirs.unwrap_or(&nothing)));
            }
        }
    }
    text
}
