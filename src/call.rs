//! A request that waits for the broker's answer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    config::Hold,
    error::Error,
    handle::Handle,
    proto::{CallError, CallId, ChannelKey, Reply, Request, WaiterId},
    usage::UsageError,
};

/// A request to the broker, as a future.
///
/// *Before the first poll* nothing was sent. *In flight* it can be dropped: the request keeps its
/// effect, in its order, and its answer is discarded (a consumer that nobody holds is cancelled, a
/// message that nobody took is requeued). It ends at its deadline at the latest
/// ([`Config::call_timeout`](crate::Config::call_timeout), or [`Call::within`]).
///
/// # Errors
/// [`Error`], with the broker's code, text and method when it refused.
#[must_use = "nothing is sent until the call is awaited"]
pub struct Call<T> {
    shared: Arc<Handle>,
    after: Duration,
    hold: Option<Hold>,
    state: CallState,
    waiter: Option<WaiterId>,
    finish: Finish<T>,
}

type Finish<T> = Box<dyn FnMut(Reply) -> Result<T, Error> + Send + Sync>;

enum CallState {
    /// Nothing was sent.
    Idle(Result<Wanted, UsageError>),
    InFlight(CallId),
    Done,
}

/// What is asked, and of whom.
pub(crate) enum Wanted {
    Channel(ChannelKey, Request),
    OpenChannel,
}

impl<T> Call<T> {
    pub(crate) fn new(
        shared: Arc<Handle>,
        wanted: Result<Wanted, UsageError>,
        finish: impl FnMut(Reply) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Self {
        let after = shared.call_timeout();
        let state = CallState::Idle(wanted);
        Call { shared, after, hold: None, state, waiter: None, finish: Box::new(finish) }
    }

    /// Waits this long for the answer, instead of the configured time.
    pub fn within(mut self, deadline: Duration) -> Self {
        self.after = deadline;
        self
    }

    /// What it does when the connection is being recovered, or is lost before the answer came, instead
    /// of what is [configured](crate::Config::while_recovering): waits, up to its deadline, or fails at
    /// once. A call that was in flight and fails so may have taken effect; it is not sent again.
    pub fn while_recovering(mut self, hold: Hold) -> Self {
        self.hold = Some(hold);
        self
    }

    fn send(&self, wanted: Wanted) -> Result<CallId, CallError> {
        let (after, hold) = (self.after, self.shared.hold(self.hold));
        self.shared.command(|connection, now| {
            let call = match wanted {
                Wanted::Channel(key, request) => connection.request(now, key, request, after),
                Wanted::OpenChannel => connection.open_channel(now, after),
            }?;
            if hold == Hold::FailFast {
                connection.fail_fast(call);
            }
            Ok(call)
        })
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let CallState::Idle(_) = this.state
            && let CallState::Idle(wanted) = std::mem::replace(&mut this.state, CallState::Done)
        {
            let wanted = wanted?;
            if let Some(refusal) = this.shared.refusal(this.hold) {
                return Poll::Ready(Err(refusal));
            }
            let sent = this.send(wanted);
            this.state = CallState::InFlight(sent.map_err(|error| this.shared.error(error))?);
        }
        let CallState::InFlight(call) = this.state else {
            // Polled after completion: pending for ever, as a fused future is.
            return Poll::Pending;
        };
        match this.shared.poll_call(call, &mut this.waiter, cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(answer) => {
                this.state = CallState::Done;
                let reply = answer.map_err(|error| this.shared.error(error))?;
                Poll::Ready((this.finish)(reply))
            }
        }
    }
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.shared.forget(self.waiter);
        if let CallState::InFlight(call) = self.state {
            self.shared.command(|connection, now| connection.abandon_call(now, call));
        }
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            CallState::Idle(_) => "not sent",
            CallState::InFlight(_) => "in flight",
            CallState::Done => "done",
        };
        f.debug_struct("Call").field("state", &state).finish_non_exhaustive()
    }
}
