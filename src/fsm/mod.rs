//! The fsm layer.
