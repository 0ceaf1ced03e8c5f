//! Code of the user's that may panic or take too long.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use super::failure::{Failure, Unfinished};

/// Runs a handler to its end, its deadline or its panic, whichever comes first.
pub(super) async fn finish<F, A>(
    deadline: Option<Duration>,
    begin: impl FnOnce() -> F,
) -> Result<A, Failure>
where
    F: Future<Output = Result<A, Failure>>,
{
    let running = match caught(begin) {
        Ok(running) => running,
        Err(panicked) => return Err(Failure::retry(panicked)),
    };
    let mut running = pin!(running);
    let running = poll_fn(|cx| match caught(|| running.as_mut().poll(cx)) {
        Ok(polled) => polled,
        Err(panicked) => Poll::Ready(Err(Failure::retry(panicked))),
    });
    match deadline {
        None => running.await,
        Some(after) => match timeout(after, running).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::retry(Unfinished::Overdue { after })),
        },
    }
}

/// What panicked is not used again: a future is over, a codec and a key keep nothing.
pub(super) fn caught<R>(run: impl FnOnce() -> R) -> Result<R, Unfinished> {
    catch_unwind(AssertUnwindSafe(run))
        .map_err(|panicked| Unfinished::Panicked { message: words(&*panicked).to_owned() })
}

fn words(panicked: &(dyn Any + Send)) -> &str {
    let text = panicked.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panicked.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
