//! What workers, publishers and calls tell the feature `metrics`; without it, nothing at no cost.

pub(super) use counting::*;

#[cfg(feature = "metrics")]
mod counting {
    use std::time::Duration;

    use metrics::{counter, gauge, histogram};
    use tokio::time::Instant;

    use crate::service::{
        CallError, Outcome, PublishError,
        metrics::{
            CALL_SECONDS, CONFIRM_SECONDS, HANDLER_SECONDS, HANDLERS, HEALTH_FAILURES,
            HEALTH_SECONDS, PROCESSED, PUBLISH_ERRORS, UNDECODABLE,
        },
        span::bounded,
    };

    /// Since when something goes on.
    #[derive(Clone, Copy, Debug)]
    pub(in crate::service) struct Since(Instant);

    impl Since {
        pub(in crate::service) fn now() -> Self {
            Since(Instant::now())
        }

        pub(in crate::service) fn published(self, exchange: &str, error: Option<&PublishError>) {
            let exchange = exchange.to_owned();
            match error {
                None => {
                    histogram!(CONFIRM_SECONDS, "exchange" => exchange).record(self.0.elapsed())
                }
                Some(error) => {
                    counter!(PUBLISH_ERRORS, "exchange" => exchange, "kind" => error.kind())
                        .increment(1);
                }
            }
        }

        pub(in crate::service) fn called<A>(self, exchange: &str, answer: &Result<A, CallError>) {
            let outcome = if answer.is_ok() { "ok" } else { "failed" };
            histogram!(CALL_SECONDS, "exchange" => exchange.to_owned(), "outcome" => outcome)
                .record(self.0.elapsed());
        }
    }

    /// A handler that runs. One that is dropped ran, without an outcome.
    #[derive(Debug)]
    pub(in crate::service) struct Running {
        queue: String,
        since: Instant,
    }

    impl Running {
        pub(in crate::service) fn on(queue: &str) -> Self {
            let queue = bounded(queue).to_owned();
            gauge!(HANDLERS, "queue" => queue.clone()).increment(1.0);
            Running { queue, since: Instant::now() }
        }

        pub(in crate::service) fn ended(self, outcome: &Outcome) {
            let label = match outcome {
                Ok(()) => "ok",
                Err(failure) if failure.is_permanent() => "permanent",
                Err(_) => "transient",
            };
            histogram!(HANDLER_SECONDS, "queue" => self.queue.clone(), "outcome" => label)
                .record(self.since.elapsed());
        }
    }

    impl Drop for Running {
        fn drop(&mut self) {
            gauge!(HANDLERS, "queue" => std::mem::take(&mut self.queue)).decrement(1.0);
        }
    }

    pub(in crate::service) fn settled(queue: &str, outcome: &'static str) {
        counter!(PROCESSED, "queue" => bounded(queue).to_owned(), "outcome" => outcome)
            .increment(1);
    }

    pub(in crate::service) fn health_checked(source: &str, round_trip: Option<Duration>) {
        let source = source.to_owned();
        match round_trip {
            Some(time) => histogram!(HEALTH_SECONDS, "source" => source).record(time),
            None => counter!(HEALTH_FAILURES, "source" => source).increment(1),
        }
    }

    pub(in crate::service) fn undecodable(queue: &str) {
        counter!(UNDECODABLE, "queue" => bounded(queue).to_owned()).increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
mod counting {
    use crate::service::{CallError, Outcome, PublishError};

    #[derive(Clone, Copy, Debug)]
    pub(in crate::service) struct Since;

    impl Since {
        pub(in crate::service) fn now() -> Self {
            Since
        }

        pub(in crate::service) fn published(self, _: &str, _: Option<&PublishError>) {}

        pub(in crate::service) fn called<A>(self, _: &str, _: &Result<A, CallError>) {}
    }

    #[derive(Debug)]
    pub(in crate::service) struct Running;

    impl Running {
        pub(in crate::service) fn on(_: &str) -> Self {
            Running
        }

        pub(in crate::service) fn ended(self, _: &Outcome) {}
    }

    pub(in crate::service) fn settled(_: &str, _: &'static str) {}

    pub(in crate::service) fn health_checked(_: &str, _: Option<std::time::Duration>) {}

    pub(in crate::service) fn undecodable(_: &str) {}
}
