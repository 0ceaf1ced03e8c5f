//! The scripts, by what they are about. Each uses names of its own and deletes what it declared.

mod channels;
mod consuming;
mod exchanges;
mod lifetimes;
mod queues;

use super::stage::{Script, Stage};

/// All of them.
pub(crate) fn all() -> Vec<Script> {
    [channels::all(), consuming::all(), exchanges::all(), lifetimes::all(), queues::all()]
        .into_iter()
        .flatten()
        .collect()
}

/// A script for every version, or `since` one.
macro_rules! script {
    ($name:literal, |$stage:ident| $body:block) => {
        script!($name, since (3, 10), |$stage| $body)
    };
    ($name:literal, since $since:expr, |$stage:ident| $body:block) => {
        $crate::differential::stage::Script {
            name: $name,
            since: $since,
            play: |mut $stage: $crate::differential::stage::Stage| {
                Box::pin(async move {
                    $body
                    $stage.end()
                })
            },
        }
    };
}

use script;

/// Shortens the most frequent imports of a script.
mod prelude {
    pub(super) use std::time::Duration;

    pub(super) use hopmq::wire::{FieldTable, Properties, RawTable, ShortString, Value, method};

    pub(super) use super::{Script, Stage, script};
    pub(super) use crate::raw::{arguments, short};

    /// No arguments.
    pub(super) fn none() -> FieldTable {
        FieldTable::new()
    }

    pub(super) fn text(text: &str) -> Value {
        Value::from(text)
    }

    /// Arguments of several types.
    pub(super) fn table<const N: usize>(fields: [(&'static str, Value); N]) -> FieldTable {
        arguments(fields)
    }

    /// A quorum queue's arguments and these.
    pub(super) fn quorum<const N: usize>(fields: [(&'static str, Value); N]) -> FieldTable {
        table(fields).with("x-queue-type", "quorum").unwrap()
    }

    /// A stream's arguments.
    pub(super) fn stream() -> FieldTable {
        table([("x-queue-type", text("stream"))])
    }

    pub(super) fn headers<const N: usize>(fields: [(&'static str, Value); N]) -> Properties {
        Properties { headers: Some(table(fields).into()), ..Properties::default() }
    }
}
