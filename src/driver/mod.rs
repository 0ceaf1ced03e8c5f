//! The driver layer.

#[allow(dead_code)] // Until the connection's task dials.
pub(crate) mod dial;
#[cfg(feature = "tls")]
#[allow(dead_code)] // Until the connection's task explains read errors.
pub(crate) mod tls;
