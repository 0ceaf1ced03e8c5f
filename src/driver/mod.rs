//! The driver layer.
