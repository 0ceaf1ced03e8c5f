//! The ways in: orders, health, metrics.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::{StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hopmq::service::{Message, TRACEPARENT, TRACESTATE, TraceContext};
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
    let report = state.health.report();
    answer(report.liveness().status, report.to_json())
}

/// Whether to send requests: nothing is down, as the states of the connections say now, and as the
/// last round trip of each did.
async fn ready(State(state): Shared) -> Response {
    let report = state.health.report();
    answer(report.readiness().status, report.to_json())
}

fn answer(status: u16, json: String) -> Response {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    (code, [(header::CONTENT_TYPE, "application/json")], json).into_response()
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
