//! A broker in a process of its own: a test binary starts itself again for it.

use std::{
    env,
    ffi::OsStr,
    future::pending,
    io::{self, BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
};

use hopmq::broker::{Broker, Listening};

/// What the process says before its address.
const SERVING: &str = "serving ";

/// The process, which is killed with SIGKILL when this is dropped: it has no chance to write anything.
pub(crate) struct Served {
    process: Child,
    pub(crate) uri: String,
}

impl Served {
    /// Starts the test of that name with that variable, by which it knows that it is to [`serve`].
    pub(crate) fn start(test: &str, variable: &str, value: impl AsRef<OsStr>) -> io::Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(variable, value)
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = process.stdout.take().map(|output| BufReader::new(output).lines());
        for line in lines.into_iter().flatten() {
            if let Some((_, uri)) = line?.split_once(SERVING) {
                return Ok(Served { process, uri: uri.to_owned() });
            }
        }
        Err(io::Error::other("the broker did not start"))
    }

    /// The number of the process.
    #[allow(dead_code)] // Not everybody looks at it from outside.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tells whoever started this process where the broker is, and serves until it is killed.
pub(crate) async fn serve(broker: Broker<Listening>) -> io::Result<()> {
    println!("{SERVING}{}", broker.uri());
    io::stdout().flush()?;
    pending().await
}
