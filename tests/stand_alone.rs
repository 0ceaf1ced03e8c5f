//! The example `broker` as a person runs it: in a terminal, until it is interrupted.

use std::{
    env,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hopmq::{Conn, Exchange, Queue, Uri};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// The example's program, as it is now: `cargo test` builds it beside the tests, `cargo test --test
/// stand_alone` does not.
fn program() -> Outcome<PathBuf> {
    let mut cargo = Command::new(env!("CARGO"));
    let built = cargo.args(["build", "--quiet", "--locked", "--example", "broker"]).status()?;
    assert!(built.success(), "the example does not build");
    let deps = env::current_exe()?;
    let folder = deps.parent().and_then(|deps| deps.parent()).ok_or("no folder")?;
    Ok(folder.join("examples").join("broker"))
}

/// It runs, with its input open as a terminal's is, and is killed when it is dropped.
struct Running(Child);

impl Running {
    fn start(arguments: &[&str]) -> Outcome<(Self, impl Iterator<Item = String>)> {
        let mut command = Command::new(program()?);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let lines = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        Ok((Running(child), lines.map_while(Result::ok)))
    }

    fn interrupt(&self) -> Outcome {
        Command::new("kill").args(["-INT", &self.0.id().to_string()]).status()?;
        Ok(())
    }

    /// Waits until it has ended by itself.
    fn ends(&mut self) -> Outcome<std::process::ExitStatus> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            assert!(Instant::now() < until, "it does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_on_every_address_obeys_its_input_and_drains_when_interrupted() -> Outcome {
    let arguments = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0", "--user", "ada:engine"];
    let (mut running, mut lines) = Running::start(&arguments)?;
    let mut ports = Vec::new();
    while ports.len() < 2 {
        let line = lines.next().ok_or("it ended")?;
        let (_, address) = line.rsplit_once(' ').ok_or("no address")?;
        ports.push(address.to_owned());
    }
    for address in &ports {
        let uri: Uri = format!("amqp://ada:engine@{address}").parse()?;
        let conn = Conn::new(uri).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic("seen")).await?;
        chan.publish(&Exchange::default_exchange(), &queue, b"1").await?.await?;
        conn.close().await?;
    }
    let input = running.0.stdin.as_mut().ok_or("no input")?;
    writeln!(input, "list_queues")?;
    let listed = lines.find(|line| line.contains("seen")).ok_or("it ended")?;
    assert!(listed.contains('2'), "{listed}");

    running.interrupt()?;
    assert!(lines.any(|line| line.starts_with("stopped")), "it says so");
    assert!(running.ends()?.success(), "with its input still open");
    Ok(())
}

#[test]
fn it_says_what_it_takes() -> Outcome {
    let mut help = String::new();
    let mut child = Command::new(program()?).arg("--help").stdout(Stdio::piped()).spawn()?;
    child.stdout.take().ok_or("no output")?.read_to_string(&mut help)?;
    assert!(child.wait()?.success());
    for option in ["--listen", "--tls-listen", "--user", "--vhost", "list_queues", "add_user"] {
        assert!(help.contains(option), "{option} is missing:\n{help}");
    }
    Ok(())
}
