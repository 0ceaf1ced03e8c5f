//! The proto layer.
