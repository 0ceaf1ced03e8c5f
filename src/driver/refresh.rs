//! Credentials that expire: asked for anew in time, and told to the broker.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Sleep, sleep};

use crate::config::{Config, IssueError, Issued, Secret};

/// After a provider that failed, it is asked again this much later.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// When credentials are to be renewed, and the asking for them.
pub(super) struct Refresh {
    config: Arc<Config>,
    state: State,
}

enum State {
    /// What was issued does not expire.
    Idle,
    Waiting(Pin<Box<Sleep>>),
    Asking(Pin<Box<dyn Future<Output = Result<Issued, IssueError>> + Send>>),
}

impl Refresh {
    pub(super) fn new(config: Arc<Config>) -> Self {
        Refresh { config, state: State::Idle }
    }

    /// Credentials were issued; they are renewed before they expire.
    pub(super) fn after(&mut self, refresh_in: Option<Duration>) {
        self.state = refresh_in.map_or(State::Idle, |wait| State::Waiting(Box::pin(sleep(wait))));
    }

    /// The new secret, once it is time and the provider has given it.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Secret> {
        loop {
            match &mut self.state {
                State::Idle => return Poll::Pending,
                State::Waiting(timer) => {
                    ready!(timer.as_mut().poll(cx));
                    let config = self.config.clone();
                    self.state = State::Asking(Box::pin(async move { config.issue().await }));
                }
                State::Asking(asking) => match ready!(asking.as_mut().poll(cx)) {
                    Ok(issued) => {
                        self.after(issued.refresh_in());
                        return Poll::Ready(issued.credentials.password);
                    }
                    Err(error) => {
                        tracing::warn!(error, "credentials could not be renewed");
                        self.after(Some(ASK_AGAIN_AFTER));
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicU32, Ordering},
    };

    use super::*;
    use crate::config::Credentials;

    #[tokio::test(start_paused = true)]
    async fn credentials_are_renewed_before_they_expire_and_again_after_a_failure() {
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let config = Config::new().credentials_from(move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            async move {
                if number == 1 {
                    return Err("the token server is down".into());
                }
                let token = Credentials::new("", format!("token {number}"));
                Ok(Issued::new(token).expires_in(Duration::from_secs(100)))
            }
        });
        let config = Arc::new(config);
        let first = config.issue().await.expect("the first token");
        let mut refresh = Refresh::new(config);
        refresh.after(first.refresh_in());
        let begun = tokio::time::Instant::now();
        let secret = poll_fn(|cx| refresh.poll(cx)).await;
        assert_eq!(secret.reveal(), "token 2");
        assert_eq!(
            begun.elapsed().as_secs(),
            85,
            "at four fifths, and five seconds after a failure"
        );
        assert_eq!(asked.load(Ordering::Relaxed), 3);
    }
}
