//! The scripts, by what they are about. Each uses names of its own and deletes what it declared.

mod channels;
mod consuming;
mod exchanges;
mod handshakes;
mod lifetimes;
mod limits;
mod permissions;
mod queues;

use super::stage::{Script, Stage};

/// Those for a broker with its defaults.
pub(crate) fn all() -> Vec<Script> {
    [
        channels::all(),
        consuming::all(),
        exchanges::all(),
        handshakes::all(),
        lifetimes::all(),
        queues::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Those for a broker with users and limits of its own.
pub(crate) fn configured() -> Vec<Script> {
    [limits::all(), permissions::all()].into_iter().flatten().collect()
}

/// Those that raise an alarm, which holds back everybody.
pub(crate) fn alarming() -> Vec<Script> {
    limits::alarming()
}

/// A script for every version, `since` one, or `before` one; or one to which RabbitMQ answers `in
/// silence`.
macro_rules! script {
    ($name:literal, |$stage:ident| $body:block) => {
        script!($name, (3, 10), (u32::MAX, 0), false, |$stage| $body)
    };
    ($name:literal, since $since:expr, |$stage:ident| $body:block) => {
        script!($name, $since, (u32::MAX, 0), false, |$stage| $body)
    };
    ($name:literal, before $before:expr, |$stage:ident| $body:block) => {
        script!($name, (3, 10), $before, false, |$stage| $body)
    };
    ($name:literal, in silence, |$stage:ident| $body:block) => {
        script!($name, (3, 10), (u32::MAX, 0), true, |$stage| $body)
    };
    ($name:literal, $since:expr, $before:expr, $silent:expr, |$stage:ident| $body:block) => {
        $crate::differential::stage::Script {
            name: $name,
            since: $since,
            before: $before,
            silent: $silent,
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
