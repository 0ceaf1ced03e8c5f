//! Nodes of a test's own come up, fall, come back with their data, form clusters, and leave nothing behind.

mod node;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sends the AMQP header and returns the kind of the frame that comes back; 1 is a method.
fn greet(stream: &mut TcpStream) -> std::io::Result<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"AMQP\x00\x00\x09\x01")?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    Ok(kind[0])
}

fn greets(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port))
        .and_then(|mut stream| greet(&mut stream))
        .is_ok_and(|kind| kind == 1)
}

#[test]
#[ignore = "needs RabbitMQ: run tests/run"]
fn the_shared_node_answers() {
    let uri = node::shared_uri();
    let authority = uri.split_once("://").expect("a scheme").1;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = host.split_once('/').map_or(host, |(host, _)| host);
    let mut stream = TcpStream::connect(host).expect("the shared node listens");
    assert_eq!(greet(&mut stream).expect("an answer"), 1);
    if let Some(status) = node::shared_ctl(&["list_queues", "--quiet"]) {
        assert!(!status.contains("Error"), "{status}");
    }
}

mod own_nodes {
    use super::*;
    use crate::node::{Cluster, Node};

    /// The processes whose environment names the folder, by number.
    fn processes_of(folder: &Path) -> Vec<String> {
        let needle = folder.to_str().expect("UTF-8").as_bytes();
        let names_folder = |process: &std::fs::DirEntry| {
            let environment = std::fs::read(process.path().join("environ")).unwrap_or_default();
            environment.windows(needle.len()).any(|window| window == needle)
        };
        let processes = std::fs::read_dir("/proc").expect("Linux").flatten();
        processes
            .filter(names_folder)
            .map(|p| p.file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    fn survives_kill_and_leaves_nothing() {
        let node = Node::start();
        assert!(greets(node.port()));
        node.ctl(&["add_vhost", "kept"]);
        node.sync_definitions();

        node.kill();
        assert!(!greets(node.port()), "a killed node answers");
        node.restart();
        assert!(greets(node.port()), "the same port after a restart");
        let vhosts = node.ctl(&["list_vhosts", "--quiet"]);
        assert!(vhosts.lines().any(|line| line == "kept"), "the data is still there: {vhosts}");

        node.stop();
        assert!(!greets(node.port()), "a stopped node answers");

        node.restart();
        let ca = node.ca();
        let folder = ca.ancestors().nth(2).expect("FOLDER/tls/ca.pem").to_owned();
        assert!(!processes_of(&folder).is_empty());
        drop(node);
        assert!(!folder.exists(), "files are left");
        let deadline = Instant::now() + Duration::from_secs(5);
        while !processes_of(&folder).is_empty() {
            assert!(Instant::now() < deadline, "processes are left: {:?}", processes_of(&folder));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    #[test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    fn a_paused_node_is_silent_until_resumed() {
        let node = Node::start();
        node.pause();
        let mut stream =
            TcpStream::connect(("127.0.0.1", node.port())).expect("the system accepts");
        stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
        stream.write_all(b"AMQP\x00\x00\x09\x01").expect("the system buffers");
        assert!(stream.read_exact(&mut [0]).is_err(), "a frozen node answers");
        node.resume();
        stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
        let mut kind = [0];
        stream.read_exact(&mut kind).expect("an answer once resumed");
        assert_eq!(kind, [1]);
    }

    #[test]
    #[ignore = "needs RabbitMQ: run tests/run"]
    fn three_form_a_cluster() {
        let cluster = Cluster::three();
        let status = cluster.nodes[0].ctl(&["cluster_status"]);
        for node in &cluster.nodes {
            assert!(greets(node.port()));
            assert!(status.contains(&node.erlang_name()), "{status}");
        }
        cluster.nodes[1].kill();
        assert!(!greets(cluster.nodes[1].port()));
        assert!(greets(cluster.nodes[2].port()), "the others go on");
        cluster.nodes[1].restart();
        assert!(greets(cluster.nodes[1].port()));
    }
}
