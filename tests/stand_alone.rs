//! The example `broker` as a person runs it: in a terminal, until it is interrupted.

use std::{
    env, fs,
    io::{BufRead, BufReader, Read, Write},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use hopmq::{Config, Conn, Exchange, Mechanism, Queue, Tls, Uri};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

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
    let remained = "2 messages remained in queue 'seen' in vhost '/'";
    assert!(lines.any(|line| line == remained), "what it drops is said");
    assert!(lines.any(|line| line.starts_with("stopped")), "it says so");
    assert!(running.ends()?.success(), "with its input still open");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_commands_answer_as_rabbitmqctl_does() -> Outcome {
    let arguments = ["--user", "ada:engine", "--vhost", "shop"];
    let (mut running, mut lines) = Running::start(&arguments)?;
    lines.next().ok_or("it ended")?;
    let uri: Uri = lines.next().ok_or("it ended")?.parse()?;
    let config = hopmq::Config::from(uri).without_recovery();
    let conn = Conn::new(config).connect().await?;
    let chan = conn.open_channel().await?;
    chan.declare(Queue::classic("inbox")).await?;
    let mut input = running.0.stdin.take().ok_or("no input")?;
    for (command, answer) in [
        ("list_vhosts", "/\nshop"),
        ("list_users", "ada"),
        ("list_queues", "inbox classic 0 ready 0 unacked 0 consumers"),
        ("list_queues -p nowhere", "Error: Virtual host 'nowhere' does not exist"),
        ("list_bindings nowhere", "Error: Virtual host 'nowhere' does not exist"),
        ("add_user ada countess", "Error: User \"ada\" already exists"),
        ("add_user bob builder ^$ .* .*", "Added user \"bob\""),
        ("list_users", "ada\nbob"),
        ("delete_queue outbox", "Error: Queue not found"),
        ("delete_queue inbox -p /", "Queue 'inbox' was deleted"),
        ("set_memory_alarm on", "Memory alarm is on"),
        ("set_memory_alarm off", "Memory alarm is off"),
        ("frobnicate", "Error: Command 'frobnicate' not found; try help"),
        ("list_connections", "1 ada / 1 channels running"),
        ("close_connection 7 bye", "Error: There is no connection 7"),
        ("close_connection 1 bye", "Closed connection 1"),
        ("close_all_connections", "Closed 0 connections"),
    ] {
        writeln!(input, "{command}")?;
        for line in answer.lines() {
            assert_eq!(lines.next().as_deref(), Some(line), "{command}");
        }
    }
    let why = conn.closed().await;
    assert!(why.to_string().contains("CONNECTION_FORCED - bye"), "{why}");
    writeln!(input, "stop")?;
    assert!(running.ends()?.success());
    Ok(())
}

/// An authority, and what it has signed for this machine, in files of a folder of their own.
struct Certificates {
    folder: PathBuf,
    authority: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Certificates {
    fn new(folder: &str) -> Outcome<Self> {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(folder);
        fs::create_dir_all(&folder)?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let authority = params.self_signed(&key)?.pem();
        fs::write(folder.join("authority.pem"), &authority)?;
        Ok(Certificates { folder, authority, issuer: Issuer::new(params, key) })
    }

    /// A certificate with a common name, and its key.
    fn sign(&self, name: &str) -> Outcome<(String, String)> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()))
    }

    /// Writes a file, and tells its path.
    fn file(&self, name: &str, contents: &str) -> Outcome<String> {
        fs::write(self.folder.join(name), contents)?;
        Ok(self.path(name))
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_tls_and_asks_for_a_certificate_where_it_is_told_to() -> Outcome {
    let ours = Certificates::new("stand-alone")?;
    let (certificate, key) = ours.sign("server")?;
    let (certificate, key) =
        (ours.file("server.pem", &certificate)?, ours.file("server.key", &key)?);
    let trusting = Tls::default().ca_pem(ours.authority.clone());
    let (shown, secret) = ours.sign("ada")?;
    let clients = ours.path("authority.pem");
    for asks in [false, true] {
        let mut arguments =
            vec!["--tls-listen", "127.0.0.1:0", "--cert", &certificate, "--key", &key];
        arguments.extend(["--user", "ada:engine"]);
        if asks {
            arguments.extend(["--client-ca", &clients]);
        }
        let (mut running, mut lines) = Running::start(&arguments)?;
        lines.next().ok_or("it ended")?;
        let uri: Uri = lines.next().ok_or("it ended")?.parse()?;
        assert!(uri.to_string().starts_with("amqps://"), "{uri}");
        let mut config = Config::from(uri).without_recovery();
        config.tls = trusting.clone();
        if asks {
            assert!(Conn::new(config.clone()).connect().await.is_err(), "it shows none");
            config.tls = config.tls.identity_pem(shown.clone(), secret.clone());
            config.mechanisms = vec![Mechanism::External];
        }
        let conn = Conn::new(config).connect().await?;
        let chan = conn.open_channel().await?.confirm_select().await?;
        let queue = chan.declare(Queue::classic("seen")).await?;
        chan.publish(&Exchange::default_exchange(), &queue, b"secret").await?.await?;
        let got = chan.get(&queue).await?.ok_or("no message")?;
        assert_eq!(got.body().into_bytes(), "secret");
        got.ack()?;
        conn.close().await?;
        running.interrupt()?;
        assert!(running.ends()?.success());
    }
    Ok(())
}

#[test]
fn it_says_which_certificate_is_missing_or_wrong() -> Outcome {
    let ours = Certificates::new("stand-alone-wrong")?;
    let (certificate, _) = ours.sign("one")?;
    let (_, key) = ours.sign("other")?;
    let certificate = ours.file("one.pem", &certificate)?;
    let (key, empty) = (ours.file("other.key", &key)?, ours.file("empty.pem", "nothing")?);
    let missing = ours.path("missing.pem");
    let together = "--cert and --key go together, and --client-ca with them";
    let wants = "--tls-listen 127.0.0.1:0 wants --cert and --key";
    for (arguments, says) in [
        (vec![], wants.to_owned()),
        (vec!["--cert", &certificate], together.to_owned()),
        (vec!["--client-ca", &certificate], together.to_owned()),
        (vec!["--cert", &missing, "--key", &key], format!("{missing}: No such file")),
        (
            vec!["--cert", &empty, "--key", &key],
            format!("{empty} with {key}: no certificate in the PEM"),
        ),
        (
            vec!["--cert", &certificate, "--key", &empty],
            format!("{certificate} with {empty}: no private key in the PEM"),
        ),
        (vec!["--cert", &certificate, "--key", &key], format!("{certificate} with {key}: ")),
    ] {
        let mut command = Command::new(program()?);
        let ended = command.args(["--tls-listen", "127.0.0.1:0"]).args(arguments).output()?;
        let told = String::from_utf8(ended.stderr)?;
        assert!(told.starts_with(&format!("broker: {says}")), "{told}");
        assert!(!ended.status.success());
        assert_eq!(ended.stdout, b"", "it does not listen");
    }
    Ok(())
}

#[test]
fn it_says_what_it_takes() -> Outcome {
    let mut help = String::new();
    let mut child = Command::new(program()?).arg("--help").stdout(Stdio::piped()).spawn()?;
    child.stdout.take().ok_or("no output")?.read_to_string(&mut help)?;
    assert!(child.wait()?.success());
    for option in
        ["--listen", "--tls-listen", "--user", "--vhost", "--store", "list_queues", "add_user"]
    {
        assert!(help.contains(option), "{option} is missing:\n{help}");
    }
    Ok(())
}
