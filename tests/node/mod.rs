//! RabbitMQ for tests: the node that `tests/run` shares among all, and nodes of a test's own, to be killed,
//! frozen, restarted and clustered.
//!
//! `mod node;` at the top of an integration test brings it in. Everything here blocks: inside an
//! asynchronous test, call it through `tokio::task::spawn_blocking`. Tests that use nodes of their own
//! sit in a module named `own_nodes`, by which `tests/run` finds them, and carry
//! `#[ignore = "needs RabbitMQ: run tests/run"]`.
// Each test binary uses a part of it.
#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};

/// The address of the node that all tests share.
pub(crate) fn shared_uri() -> String {
    std::env::var("HOPMQ_TEST_AMQP_URL")
        .expect("HOPMQ_TEST_AMQP_URL names the broker: tests/run starts one and sets it")
}

/// Runs rabbitmqctl on the node that all tests share and returns what it printed, or `None` where the
/// broker was given from outside, without a way to steer it.
pub(crate) fn shared_ctl(arguments: &[&str]) -> Option<String> {
    let ctl = std::env::var_os("HOPMQ_TEST_NODE_CTL")?;
    Some(run_ctl(Path::new(&ctl), arguments))
}

/// A RabbitMQ node of a test's own. It ends, with all that it wrote, when it is dropped.
#[derive(Debug)]
pub(crate) struct Node {
    keeper: Arc<Keeper>,
    name: String,
    port: u16,
    tls_port: u16,
}

impl Node {
    /// Starts a node on free ports and waits until it answers an AMQP handshake.
    pub(crate) fn start() -> Node {
        let keeper = Arc::new(Keeper::start());
        keeper.tell("start node");
        Node::of(keeper, "node")
    }

    /// Starts a node with settings of its own: further lines of `rabbitmq.conf`, its `advanced.config`,
    /// and plugins.
    pub(crate) fn start_with(settings: &str, advanced: &str, plugins: &[&str]) -> Node {
        let keeper = Arc::new(Keeper::start());
        keeper.tell("create node");
        let write = |file, text: &str| {
            fs::write(keeper.dir.join("node").join(file), text).expect("the node's folder");
        };
        write("extra.conf", settings);
        write("advanced.config", advanced);
        write("enabled_plugins", &format!("[{}].", plugins.join(",")));
        keeper.tell("start node");
        Node::of(keeper, "node")
    }

    fn of(keeper: Arc<Keeper>, name: &str) -> Node {
        let port = |file| {
            let text = fs::read_to_string(keeper.dir.join(name).join(file)).expect("a port file");
            text.trim().parse().expect("a port")
        };
        Node { port: port("port"), tls_port: port("tls-port"), name: name.to_owned(), keeper }
    }

    /// `amqp://guest:guest@127.0.0.1:PORT`, the same before and after a restart.
    pub(crate) fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}", self.port)
    }

    /// `amqps://guest:guest@localhost:PORT`, with a certificate of [`ca`](Node::ca).
    pub(crate) fn tls_uri(&self) -> String {
        format!("amqps://guest:guest@localhost:{}", self.tls_port)
    }

    /// The plain port, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// The certificate authority that signed the node's certificate, a PEM file. Beside it lie
    /// `client.pem` and `client.key`, a certificate of a client.
    pub(crate) fn ca(&self) -> PathBuf {
        self.keeper.dir.join("tls/ca.pem")
    }

    /// Waits until what was declared is on disk. RabbitMQ holds it back for up to two seconds, and a
    /// `kill -9` would take a queue away, with the confirmed messages in it.
    pub(crate) fn sync_definitions(&self) {
        self.ctl(&["eval", "mnesia:sync_log()."]);
    }

    /// `kill -9`, and waits for the end.
    pub(crate) fn kill(&self) {
        self.keeper.tell(&format!("kill {}", self.name));
    }

    /// An orderly stop, as an operator would: the clients get a connection.close (320).
    pub(crate) fn stop(&self) {
        self.keeper.tell(&format!("stop {}", self.name));
    }

    /// Starts the node again after [`kill`](Node::kill) or [`stop`](Node::stop), with the ports and the data
    /// that it had, and waits until it answers.
    pub(crate) fn restart(&self) {
        self.keeper.tell(&format!("start {}", self.name));
    }

    /// Freezes the node: its sockets stay open, and nothing comes from them any more.
    pub(crate) fn pause(&self) {
        self.keeper.tell(&format!("pause {}", self.name));
    }

    /// Lets a frozen node go on.
    pub(crate) fn resume(&self) {
        self.keeper.tell(&format!("resume {}", self.name));
    }

    /// Runs rabbitmqctl on the node and returns what it printed, as
    /// `node.ctl(&["set_vm_memory_high_watermark", "0"])`.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        run_ctl(&self.keeper.dir.join(&self.name).join("ctl"), arguments)
    }

    /// What the node logged since it was started last.
    pub(crate) fn log(&self) -> String {
        let file = self.keeper.dir.join(&self.name).join("log/node.log");
        fs::read_to_string(file).unwrap_or_default()
    }

    /// The node's Erlang name, as `node@localhost`.
    pub(crate) fn erlang_name(&self) -> String {
        format!("{}@localhost", self.name)
    }
}

/// Nodes that form one cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The nodes; each can be killed and restarted by itself.
    pub(crate) nodes: Vec<Node>,
}

impl Cluster {
    /// Starts three nodes and joins them, which takes half a minute.
    pub(crate) fn three() -> Cluster {
        let keeper = Arc::new(Keeper::start());
        keeper.tell("start c1 c2 c3");
        keeper.tell("join c2 c1");
        keeper.tell("join c3 c1");
        let nodes = ["c1", "c2", "c3"].map(|name| Node::of(Arc::clone(&keeper), name));
        // Without one each node tells its clients its own name for the cluster's.
        nodes[0].ctl(&["set_cluster_name", "three"]);
        Cluster { nodes: nodes.into() }
    }

    /// One address with the hosts of all nodes: `amqp://guest:guest@127.0.0.1:P1,127.0.0.1:P2,127.0.0.1:P3`.
    pub(crate) fn uri(&self) -> String {
        let hosts: Vec<_> =
            self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("amqp://guest:guest@{}", hosts.join(","))
    }
}

/// The process that keeps a folder of nodes (`tests/node/keeper` says what it does). It ends them when its
/// standard input closes, so that a test that panics, or is killed, leaves nothing behind.
#[derive(Debug)]
struct Keeper {
    process: Mutex<Child>,
    /// `None` only while it is dropped.
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
    dir: PathBuf,
}

impl Keeper {
    fn start() -> Keeper {
        // A crate of its own has it two folders up.
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut scripts =
            ["", "../.."].map(|up| crate_dir.join(up).join("tests/node/keeper")).into_iter();
        let script = scripts.find(|script| script.exists()).expect("tests/node/keeper");
        let mut process = Command::new(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Ctrl-C is for the tests alone: the keeper notices their end.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
        let commands = process.stdin.take().expect("piped");
        let mut answers = BufReader::new(process.stdout.take().expect("piped"));
        let mut first = String::new();
        answers.read_line(&mut first).expect("the keeper's first line");
        let Some(dir) = first.trim_end().strip_prefix("dir ") else {
            let _ = process.wait();
            panic!("no RabbitMQ nodes: {first}");
        };
        let dir = PathBuf::from(dir);
        Keeper { process: Mutex::new(process), talk: Mutex::new(Some((commands, answers))), dir }
    }

    /// Gives the keeper one command and waits until it is done; panics with the reason where it failed.
    fn tell(&self, command: &str) {
        let answer = {
            let mut talk = self.talk.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            let (commands, answers) = talk.as_mut().expect("only drop takes it");
            let mut answer = String::new();
            let told =
                writeln!(commands, "{command}").and_then(|()| answers.read_line(&mut answer));
            told.unwrap_or_else(|error| panic!("the keeper of the nodes is gone: {error}"));
            answer
        };
        assert!(answer == "ok\n", "{}", answer.replace('|', "\n"));
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Closing its input is the order to end; waiting makes sure that a test's end is its nodes' end.
        drop(self.talk.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take());
        let _ = self.process.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).wait();
    }
}

fn run_ctl(ctl: &Path, arguments: &[&str]) -> String {
    let output = Command::new(ctl)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", ctl.display()));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rabbitmqctl {arguments:?}: {text}{errors}");
    text
}
