//! The guide's promise: a new event and a new state leave the others untouched.
