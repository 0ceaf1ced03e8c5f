#![doc = include_str!("guide.md")]

// For the links of the guide.
#[allow(unused_imports)]
use super::{Behaviour, Context, Error, Hooks, Machine, Node, Outcome, Row, Scope, Table};
