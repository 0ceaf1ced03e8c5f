//! Handlers as services of tower, and the other way round: so that middleware composes.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tower_service::Service;

use super::{
    codec::BoxError,
    failure::{Failure, Handler, Outcome},
    message::Message,
};

/// A [`Handler`] as a `tower_service::Service`, to put layers around it.
#[derive(Debug)]
pub struct HandlerService<H>(Arc<H>);

/// A [`Failure`] as an error, which layers pass on: behind them it is the same failure again.
#[derive(Debug)]
pub struct HandlerError(Failure);

/// A `tower_service::Service` as a [`Handler`]: layers around a handler, or a service of one's own.
///
/// Each message goes through a clone of the service, which is asked whether it is ready before: a
/// concurrency limit that clones share holds messages back. An error is a failure to be tried again,
/// unless it is a permanent one of the handler within.
///
/// ```
/// use std::time::Duration;
/// use hopmq::service::{Failure, HandlerService, Message, Tower};
/// use tower::ServiceBuilder;
///
/// async fn ship(order: Message<String>) -> Result<(), Failure> {
///     println!("shipping {}", order.payload);
///     Ok(())
/// }
///
/// let layers = ServiceBuilder::new()
///     .concurrency_limit(4)
///     .timeout(Duration::from_secs(30))
///     .service(HandlerService::new(ship));
/// let handler = Tower::new(layers); // for `worker.run(handler)`
/// # fn is_a_handler(_: impl hopmq::service::Handler<String>) {}
/// # is_a_handler(handler);
/// ```
pub struct Tower<S>(Mutex<S>);

impl<H> HandlerService<H> {
    /// That handler as a service.
    pub fn new(handler: H) -> Self {
        HandlerService(Arc::new(handler))
    }
}

impl<H> Clone for HandlerService<H> {
    fn clone(&self) -> Self {
        HandlerService(self.0.clone())
    }
}

impl<T, H> Service<Message<T>> for HandlerService<H>
where
    T: Send + 'static,
    H: Handler<T>,
{
    type Response = ();
    type Error = HandlerError;
    type Future = Pin<Box<dyn Future<Output = Result<(), HandlerError>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), HandlerError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: Message<T>) -> Self::Future {
        let handler = self.0.clone();
        Box::pin(async move { handler.handle(message).await.map_err(HandlerError) })
    }
}

impl<S> Tower<S> {
    /// That service as a handler.
    pub fn new(service: S) -> Self {
        Tower(Mutex::new(service))
    }
}

impl<T, S> Handler<T> for Tower<S>
where
    T: Send + 'static,
    S: Service<Message<T>, Response = ()> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
{
    async fn handle(&self, message: Message<T>) -> Outcome {
        // A clone that panicked has no part in it.
        let mut service = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        poll_fn(|cx| service.poll_ready(cx)).await.map_err(failure)?;
        service.call(message).await.map_err(failure)
    }
}

impl HandlerError {
    /// The failure.
    pub fn into_failure(self) -> Failure {
        self.0
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for HandlerError {}

/// What came out of the layers: the handler's own failure, or a layer's error.
fn failure(error: impl Into<BoxError>) -> Failure {
    match error.into().downcast::<HandlerError>() {
        Ok(failed) => failed.0,
        Err(error) => Failure::retry(error),
    }
}

impl<S> fmt::Debug for Tower<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tower(..)")
    }
}
