//! Credentials that expire, such as OAuth 2 tokens.
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::Credentials;

/// Gives credentials that are good now: for those that expire, such as OAuth 2 tokens.
///
/// It is asked before each attempt to log in, and again while connected, once four fifths of the
/// lifetime are over; the new secret then goes to the broker on the same connection
/// (`connection.update-secret`, RabbitMQ's extension).
///
/// A closure that returns a future will do:
///
/// ```
/// use std::time::Duration;
/// use hopmq::{Config, Credentials, Issued};
///
/// # async fn fetch_token() -> Result<String, std::io::Error> { Ok(String::new()) }
/// let config = Config::new().credentials_from(|| async {
///     let token = fetch_token().await?;
///     // RabbitMQ takes the token as the password, and the user's name from the token.
///     let issued = Issued::new(Credentials::new("", token));
///     Ok(issued.expires_in(Duration::from_secs(300)))
/// });
/// ```
pub trait CredentialsProvider: Send + Sync + 'static {
    /// Gives credentials that are good now.
    ///
    /// # Errors
    /// Whatever kept it from that. The attempt to log in, or to refresh, then fails, and is made
    /// again as the policy for reconnecting says.
    fn issue(&self) -> impl Future<Output = Result<Issued, IssueError>> + Send;
}

/// What keeps a [`CredentialsProvider`] from giving credentials.
pub type IssueError = Box<dyn Error + Send + Sync>;

impl<F, Fut> CredentialsProvider for F
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Issued, IssueError>> + Send,
{
    fn issue(&self) -> impl Future<Output = Result<Issued, IssueError>> + Send {
        self()
    }
}

/// Credentials, and how long they are good.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Issued {
    /// The credentials.
    pub credentials: Credentials,
    /// How long they are good from now on; `None` for those that do not expire.
    pub expires_in: Option<Duration>,
}

impl Issued {
    /// Credentials that do not expire.
    pub fn new(credentials: Credentials) -> Self {
        Issued { credentials, expires_in: None }
    }

    /// Sets how long they are good from now on.
    pub fn expires_in(mut self, lifetime: Duration) -> Self {
        self.expires_in = Some(lifetime);
        self
    }

    /// When to ask for new ones: after four fifths of the lifetime, and not within a second, so
    /// that a provider that gives expired ones is not asked in a tight loop.
    pub(crate) fn refresh_in(&self) -> Option<Duration> {
        self.expires_in.map(|lifetime| (lifetime / 5 * 4).max(Duration::from_secs(1)))
    }
}

/// A provider of any type, shared by the clones of a configuration.
#[derive(Clone)]
pub struct Provider(Arc<dyn Erased>);

impl Provider {
    pub(crate) fn new(provider: impl CredentialsProvider) -> Self {
        Provider(Arc::new(provider))
    }

    pub(crate) async fn issue(&self) -> Result<Issued, IssueError> {
        self.0.issue_boxed().await
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

/// The same provider, not one that would give the same.
impl PartialEq for Provider {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// [`CredentialsProvider`] as an object.
trait Erased: Send + Sync {
    fn issue_boxed(&self) -> Pin<Box<dyn Future<Output = Result<Issued, IssueError>> + Send + '_>>;
}

impl<P: CredentialsProvider> Erased for P {
    fn issue_boxed(&self) -> Pin<Box<dyn Future<Output = Result<Issued, IssueError>> + Send + '_>> {
        Box::pin(self.issue())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::config::Config;

    struct Counting(AtomicU32);

    impl CredentialsProvider for Counting {
        async fn issue(&self) -> Result<Issued, IssueError> {
            let number = self.0.fetch_add(1, Ordering::Relaxed);
            if number > 1 {
                return Err("the token server is down".into());
            }
            Ok(Issued::new(Credentials::new("", format!("token {number}"))))
        }
    }

    #[tokio::test]
    async fn clones_of_a_configuration_ask_the_same_provider_each_time() {
        let config = Config::new().credentials_from(Counting(AtomicU32::new(0)));
        let other = config.clone();
        assert_eq!(config, other);
        assert_eq!(config.issue().await.unwrap().credentials, Credentials::new("", "token 0"));
        assert_eq!(other.issue().await.unwrap().credentials, Credentials::new("", "token 1"));
        assert_eq!(config.issue().await.unwrap_err().to_string(), "the token server is down");
    }

    #[tokio::test]
    async fn without_a_provider_the_credentials_are_the_configured_ones_and_do_not_expire() {
        let config = Config::new().credentials(Credentials::new("me", "mine"));
        let issued = config.issue().await.unwrap();
        assert_eq!(issued, Issued::new(Credentials::new("me", "mine")));
        assert_eq!(issued.refresh_in(), None);
    }

    #[tokio::test]
    async fn setting_credentials_replaces_the_provider() {
        let config = Config::new()
            .credentials_from(|| async { Err("not asked".into()) })
            .credentials(Credentials::new("me", "mine"));
        assert_eq!(config.issue().await.unwrap().credentials, Credentials::new("me", "mine"));
    }

    #[test]
    fn credentials_are_refreshed_before_they_expire_and_not_in_a_tight_loop() {
        let refresh = |lifetime| {
            Issued::new(Credentials::default())
                .expires_in(Duration::from_secs(lifetime))
                .refresh_in()
        };
        assert_eq!(refresh(300), Some(Duration::from_secs(240)));
        assert_eq!(refresh(0), Some(Duration::from_secs(1)));
    }
}
