//! The ways in: orders, health, metrics.

use std::{fmt::Write, sync::Arc, time::Instant};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use hopmq::{ConnectionState, service::Message};
use serde_json::json;

use crate::{messaging, orders::Order};

type Shared = State<Arc<messaging::State>>;

pub(crate) fn router(state: Arc<messaging::State>) -> Router {
    Router::new()
        .route("/orders", post(take_order))
        .route("/shipped/{customer}", get(shipped))
        .route("/apples/{count}", post(restock))
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// 202 once the broker has the order: then it will be shipped, or parked with the reason why not.
async fn take_order(State(state): Shared, Json(order): Json<Order>) -> Response {
    let message = Message::new(order);
    match state.publisher.publish("order.created", &message).await {
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
    let ended = [&state.publishing, &state.consuming].into_iter().find_map(|c| c.close_reason());
    match ended {
        None => (StatusCode::OK, "live").into_response(),
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, reason.to_string()).into_response(),
    }
}

/// Whether to send requests: both connections are up, neither is blocked or degraded, and the broker answers.
async fn ready(State(state): Shared) -> Response {
    let begun = Instant::now();
    let states = json!({
        "publishing": format!("{:?}", state.publishing.state()),
        "consuming": format!("{:?}", state.consuming.state()),
    });
    let up = |conn: &hopmq::Conn<_>| matches!(conn.state(), ConnectionState::Connected);
    // A channel that is opened, and closed again, is a round trip.
    let is_ready = up(&state.publishing)
        && up(&state.consuming)
        && state.consuming.open_channel().await.is_ok();
    let micros = begun.elapsed().as_micros();
    let body = json!({ "ready": is_ready, "round_trip_us": micros, "connections": states });
    let code = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, Json(body)).into_response()
}

/// For Prometheus, by hand: what the connections count, and what waits.
async fn metrics(State(state): Shared) -> Response {
    let mut text = String::new();
    for (name, conn) in [("publishing", &state.publishing), ("consuming", &state.consuming)] {
        let up = u8::from(matches!(conn.state(), ConnectionState::Connected));
        let _ = writeln!(text, "order_service_connection_up{{connection=\"{name}\"}} {up}");
    }
    if let Ok(chan) = state.consuming.open_channel().await {
        for (name, queue) in [("ship", &state.queue), ("parked", &state.parked)] {
            if let Ok(counts) = chan.counts(queue).await {
                let waiting = counts.messages;
                let _ = writeln!(text, "order_service_messages{{queue=\"{name}\"}} {waiting}");
            }
        }
    }
    text.into_response()
}
