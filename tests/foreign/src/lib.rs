//! What the clients' programs share: where the broker is, names that are theirs alone, one line each.

use std::time::Duration;

pub type Failure = Box<dyn std::error::Error + Send + Sync>;
pub type Done<T = ()> = Result<T, Failure>;

/// The broker's address, its virtual host `%2f`.
pub fn url() -> Done<String> {
    Ok(std::env::var("AMQP_URL")?)
}

/// A name that no other run has.
pub fn name(client: &str, what: &str) -> String {
    format!("foreign-{client}-{}-{what}", std::process::id())
}

/// Says that the client can do it, when it could in time.
pub async fn can(client: &str, what: &str, it: impl Future<Output = Done>) -> Done {
    let done = tokio::time::timeout(Duration::from_secs(60), it).await;
    let done = done.unwrap_or_else(|_| Err("it hangs".into()));
    println!("{client}: {what}{}", if done.is_ok() { "" } else { " FAILED" });
    done
}

pub fn holds(condition: bool, otherwise: impl std::fmt::Debug) -> Done {
    if condition { Ok(()) } else { Err(format!("{otherwise:?}").into()) }
}
