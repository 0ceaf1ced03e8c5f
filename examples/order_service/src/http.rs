//! The ways in: orders, health, metrics.

use std::{sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hopmq::{
    ConnectionState,
    service::{Message, TRACEPARENT, TRACESTATE, TraceContext},
};
use serde_json::json;
use tracing::{Instrument, Span, field::Empty};

use crate::{messaging, orders::Order, telemetry};

type Shared = State<Arc<messaging::State>>;

/// How many messages wait in a queue, asked of the broker when somebody asks here.
pub(crate) const WAITING: &str = "order_service_messages_waiting";

pub(crate) fn router(state: Arc<messaging::State>) -> Router {
    Router::new()
        .route("/orders", post(take_order))
        .route("/shipped/{customer}", get(shipped))
        .route("/apples/{count}", post(restock))
        .layer(middleware::from_fn(traced))
        // Nobody wants a trace of each probe.
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// A span around a request, a child of the requester's if it says one.
async fn traced(request: Request, next: Next) -> Response {
    let span = span_of(&request);
    let response = next.run(request).instrument(span.clone()).await;
    span.record("http.response.status_code", i64::from(response.status().as_u16()));
    response
}

fn span_of(request: &Request) -> Span {
    let (method, path) = (request.method(), request.uri().path());
    let span = tracing::info_span!(
        "request",
        otel.name = %format_args!("{method} {path}"),
        otel.kind = "server",
        http.request.method = %method,
        url.path = path,
        http.response.status_code = Empty,
    );
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let parent = header(TRACEPARENT);
    let parent = parent.and_then(|parent| TraceContext::parse(parent, header(TRACESTATE)));
    if let Some(parent) = parent {
        parent.set_parent_of(&span);
    }
    span
}

/// 202 once the broker has the order: then it will be shipped, or parked with the reason why not.
async fn take_order(State(state): Shared, Json(order): Json<Order>) -> Response {
    let message = Message::new(order);
    match state.publish(&message).await {
        Ok(()) => {
            (StatusCode::ACCEPTED, Json(json!({ "id": message.id.as_str() }))).into_response()
        }
        Err(error) => {
            let error = json!({ "error": error.to_string(), "kind": error.kind() });
            (StatusCode::SERVICE_UNAVAILABLE, Json(error)).into_response()
        }
    }
}

async fn shipped(State(state): Shared, Path(customer): Path<String>) -> Response {
    Json(json!({ "apples": state.warehouse.shipped_to(&customer) })).into_response()
}

async fn restock(State(state): Shared, Path(count): Path<u32>) -> StatusCode {
    state.warehouse.restock(count);
    StatusCode::NO_CONTENT
}

/// Whether it makes sense to let the process run: until a connection has ended for good.
async fn live(State(state): Shared) -> Response {
    // The pool replaces connections that gave up.
    match state.consuming.close_reason() {
        None => (StatusCode::OK, "live").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_string()).into_response(),
    }
}

/// Whether to send requests: all connections are up, none is blocked or degraded, and the broker answers.
async fn ready(State(state): Shared) -> Response {
    let begun = Instant::now();
    let connections = state.publishing.status().connections;
    let publishing: Vec<_> = connections.iter().map(|one| one.stats.state).collect();
    let consuming = state.consuming.state();
    let states = json!({
        "publishing": publishing.iter().map(|state| format!("{state:?}")).collect::<Vec<_>>(),
        "consuming": format!("{consuming:?}"),
    });
    let mut all = publishing.into_iter().chain([consuming]);
    // A channel that is opened, and closed again, is a round trip.
    let is_ready = all.all(|state| state == ConnectionState::Connected)
        && state.consuming.open_channel().await.is_ok();
    let micros = begun.elapsed().as_micros();
    let body = json!({ "ready": is_ready, "round_trip_us": micros, "connections": states });
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body)).into_response()
}

/// For Prometheus: what the library counts, and what waits in the queues.
async fn metrics(State(state): Shared) -> Response {
    if let Ok(chan) = state.consuming.open_channel().await {
        for queue in [&state.queue, &state.parked] {
            if let Ok(counts) = chan.counts(queue).await {
                ::metrics::gauge!(WAITING, "queue" => queue.name().to_string())
                    .set(counts.messages);
            }
        }
    }
    let text = telemetry::prometheus().render();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
