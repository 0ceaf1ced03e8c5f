//! The same scripts to the embedded broker and to RabbitMQ, and every answer compared: methods,
//! codes, texts, properties and bodies.
//!
//! Where RabbitMQ 3.x and 4.x differ the embedded broker follows 4.x, and the script says so.

#[path = "../../node/mod.rs"]
mod node;
mod scripts;
mod stage;

use std::{sync::Arc, time::Duration};

use hopmq::broker::{Broker, Builder, Faults, Names, Permissions};

use stage::{Alarm, Script, Stage};

/// How long silence must last to count as the end of an answer. All scripts run at once, so that it
/// costs little.
const EMBEDDED_QUIET: Duration = Duration::from_millis(100);
const NODE_QUIET: Duration = Duration::from_millis(400);
const PATIENT_QUIET: Duration = Duration::from_millis(1_500);

/// What a broker with limits of its own takes at most.
const MAX_MESSAGE: usize = 20_000;
const MAX_CHANNELS: u16 = 5;
const UNSETTLED: Duration = Duration::from_secs(1);

type Transcripts = Vec<(Script, Vec<String>)>;

#[tokio::test]
#[ignore = "needs RabbitMQ: run tests/run"]
async fn every_answer_is_rabbitmqs() {
    let uri = std::env::var("HOPMQ_TEST_AMQP_URL").expect("tests/run sets HOPMQ_TEST_AMQP_URL");
    let authority = uri.split_once("://").map_or(uri.as_str(), |(_, rest)| rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split('/').next().unwrap().to_owned();
    let version = stage::version_of(&host).await;

    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let ours = Played::here(&broker, version);
    let theirs = Played { host, quiet: NODE_QUIET, version, alarm: Arc::new(|_| ()) };
    assert_same(&ours, &theirs, scripts::all()).await;
}

/// The scripts run on the embedded broker alone, too, so that they cannot rot where there is no
/// RabbitMQ: each ends, and says something.
#[tokio::test]
async fn every_script_runs() {
    let broker = Broker::bind("127.0.0.1:0").await.unwrap();
    let configured = configured().bind("127.0.0.1:0").await.unwrap();
    let played = Played::here(&broker, (4, 3));
    let limited = Played::here(&configured, (4, 3));
    let limited = async {
        let mut said = limited.run(scripts::configured()).await;
        said.extend(limited.run(scripts::alarming()).await);
        said
    };
    let (plain, limited) = tokio::join!(played.run(scripts::all()), limited);
    for (script, transcript) in plain.into_iter().chain(limited) {
        assert!(!transcript.is_empty(), "{} says nothing", script.name);
    }
}

mod own_nodes {
    use super::*;
    use node::Node;

    /// Users, limits and alarms as an operator sets them.
    #[tokio::test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    async fn every_answer_of_a_configured_broker_is_rabbitmqs() {
        let node = tokio::task::spawn_blocking(start).await.unwrap();
        let broker = configured().bind("127.0.0.1:0").await.unwrap();
        let host = format!("127.0.0.1:{}", node.port());
        let version = stage::version_of(&host).await;
        let alarmed = Arc::clone(&node);
        let alarm: Alarm = Arc::new(move |raised| {
            let mark = if raised { "0" } else { "0.6" };
            alarmed.ctl(&["set_vm_memory_high_watermark", mark]);
        });
        let ours = Played::here(&broker, version);
        let theirs = Played { host, quiet: NODE_QUIET, version, alarm };
        for scripts in [scripts::configured, scripts::alarming] {
            assert_same(&ours, &theirs, scripts()).await;
        }
        // Its end takes a moment.
        drop(theirs);
        tokio::task::spawn_blocking(move || drop(node)).await.unwrap();
    }

    /// A node with the users and the limits that `configured` has.
    fn start() -> Arc<Node> {
        let settings = format!("max_message_size = {MAX_MESSAGE}\nchannel_max = {MAX_CHANNELS}\n");
        let unsettled = UNSETTLED.as_millis();
        let advanced = format!(
            "[{{rabbit, [{{consumer_timeout, {unsettled}}}, {{channel_tick_interval, 1500}}]}}]."
        );
        let node = Node::start_with(&settings, &advanced, &[]);
        node.ctl(&["eval", &users()]);
        Arc::new(node)
    }

    /// Erlang that makes the users: a rabbitmqctl for each would take a second.
    fn users() -> String {
        let add = |user, permissions: Option<[&str; 3]>| {
            let mut text = format!("{BACKEND}:add_user({u}, {u}, {TEST})", u = binary(user));
            if let Some(permissions) = permissions {
                let [configure, write, read] = permissions.map(binary);
                text += &format!(
                    ", {BACKEND}:set_permissions({}, <<\"/\">>, {configure}, {write}, {read}, {TEST})",
                    binary(user)
                );
            }
            text
        };
        let [exchange, write, read] = TOPICS.map(binary);
        let mut all: Vec<_> = USERS.map(|(user, permissions)| add(user, permissions)).into();
        all.push(format!(
            "{BACKEND}:set_topic_permissions(<<\"topics\">>, <<\"/\">>, {exchange}, {write}, {read}, \
             {TEST})"
        ));
        format!("{}.", all.join(", "))
    }

    const BACKEND: &str = "rabbit_auth_backend_internal";
    const TEST: &str = "<<\"test\">>";

    fn binary(text: &str) -> String {
        format!("<<\"{}\">>", text.replace('\\', "\\\\"))
    }
}

/// Users whose passwords are their names, and what they may configure, write and read; or they may
/// not enter.
const USERS: [(&str, Option<[&str; 3]>); 8] = [
    ("stranger", None),
    ("nothing", Some(["", "", ""])),
    ("configure", Some([".*", "", ""])),
    ("write", Some(["", ".*", ""])),
    ("read", Some(["", "", ".*"])),
    ("no-write", Some([".*", "", ".*"])),
    ("default-exchange", Some(["", "^amq\\.default$", ""])),
    ("topics", Some([".*", ".*", ".*"])),
];

/// An exchange, and what the user `topics` may write to it and read from it.
const TOPICS: [&str; 3] = ["amq.topic", "^allowed\\.write", "^allowed\\.read"];

/// A broker with those users, and with limits of its own.
fn configured() -> Builder {
    let builder = Broker::builder()
        .user("guest", "guest")
        .max_message_size(MAX_MESSAGE)
        .channel_max(MAX_CHANNELS)
        .acknowledgement_timeout(UNSETTLED);
    USERS.into_iter().fold(builder, |builder, (user, permissions)| {
        let names = |pattern| Names::matching(pattern).unwrap();
        let permissions = match permissions {
            None => Permissions::all().vhosts([""; 0]),
            Some([configure, write, read]) => {
                Permissions::all().configure(names(configure)).write(names(write)).read(names(read))
            }
        };
        let [exchange, write, read] = TOPICS;
        let permissions = match user {
            "topics" => permissions.topics(exchange, names(write), names(read)),
            _ => permissions,
        };
        builder.user_with(user, user, permissions)
    })
}

/// A broker at which scripts are played.
struct Played {
    host: String,
    quiet: Duration,
    version: (u32, u32),
    alarm: Alarm,
}

impl Played {
    /// An embedded one, with the scripts for this version.
    fn here(broker: &Broker<hopmq::broker::Listening>, version: (u32, u32)) -> Self {
        let faults: Faults = broker.faults();
        let alarm: Alarm = Arc::new(move |raised| match raised {
            true => faults.block(),
            false => faults.unblock(),
        });
        Played { host: broker.address().to_string(), quiet: EMBEDDED_QUIET, version, alarm }
    }

    /// The same, with more time for an answer.
    fn with_patience(&self) -> Self {
        let Played { host, version, alarm, .. } = self;
        let (host, alarm) = (host.clone(), Arc::clone(alarm));
        Played { host, quiet: PATIENT_QUIET, version: *version, alarm }
    }

    /// Plays all scripts that are meant for the version at once, each on connections of its own.
    async fn run(&self, scripts: Vec<Script>) -> Transcripts {
        let running: Vec<_> = scripts
            .into_iter()
            .filter(|script| (script.since..script.before).contains(&self.version))
            .map(|script| {
                let alarm = Arc::clone(&self.alarm);
                let stage = Stage::new(self.host.clone(), script.name, self.quiet, alarm);
                let playing = tokio::spawn((script.play)(stage));
                (script, playing)
            })
            .collect();
        let mut transcripts = Vec::new();
        for (script, playing) in running {
            let name = script.name;
            let transcript = playing.await.unwrap_or_else(|error| panic!("{name}: {error}"));
            transcripts.push((script, transcript));
        }
        transcripts
    }
}

/// Plays the scripts at both. On a machine that is busy a broker may be silent for longer than an
/// answer may take: what differs is played once more, and waited for in earnest.
async fn assert_same(ours: &Played, theirs: &Played, scripts: Vec<Script>) {
    let count = scripts.len();
    let mut wrong = differing(ours, theirs, scripts).await;
    if !wrong.is_empty() {
        let again = wrong.into_iter().map(|(script, _)| script).collect();
        wrong = differing(&ours.with_patience(), &theirs.with_patience(), again).await;
    }
    let texts: Vec<_> = wrong.into_iter().map(|(_, text)| text).collect();
    assert!(texts.is_empty(), "{} of {count} scripts differ:\n{}", texts.len(), texts.join("\n"));
}

/// The scripts that are not answered alike, and how.
async fn differing(ours: &Played, theirs: &Played, scripts: Vec<Script>) -> Vec<(Script, String)> {
    let (ours, theirs) = tokio::join!(ours.run(scripts.clone()), theirs.run(scripts));
    let mut wrong = Vec::new();
    for ((script, ours), (_, theirs)) in ours.into_iter().zip(theirs) {
        let same = match (script.silent, ours.split_last(), theirs.split_last()) {
            (true, Some((last, ours)), Some((end, theirs))) => {
                ours == theirs
                    && last.starts_with("0 ConnectionClose(")
                    && end == "the connection ends"
            }
            _ => ours == theirs,
        };
        if !same {
            wrong.push((script, difference(script.name, &ours, &theirs)));
        }
    }
    wrong
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
