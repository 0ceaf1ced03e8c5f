//! The table of states and operations: the single source of what is legal in which state.
//!
//! Constant data, so that it can be checked from every side: an ordinary test compares it with the
//! capability traits for every pair, the diagrams in the documentation are drawn from it, and each
//! illegal pair stands as a program under `ui-tests/matrix` that must not compile.
//!
//! ```
//! use hopmq::table::{CHAN, Legality};
//!
//! let publish = CHAN.operation("publish").expect("in the table");
//! assert_eq!(publish.in_state("Confirming"), Some(Legality::Legal { to: "Confirming" }));
//! assert_eq!(publish.in_state("Open"), Some(Legality::Illegal));
//! ```
//!
#![doc = include_str!("table/conn.svg")]
//!
#![doc = include_str!("table/chan.svg")]
//!
#![doc = include_str!("table/broker.svg")]
//!
#![doc = include_str!("table/queue.svg")]
//!
//! ```text
#![doc = include_str!("table/conn.txt")]
#![doc = include_str!("table/chan.txt")]
#![doc = include_str!("table/broker.txt")]
#![doc = include_str!("table/queue.txt")]
//! ```

/// What a handle can do in its states.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The handle's type, e.g. `Chan`.
    pub handle: &'static str,
    /// Its states, in the order of the rows.
    pub states: &'static [&'static str],
    /// Its operations.
    pub operations: &'static [Operation],
}

/// One operation, in every state.
#[derive(Clone, Copy, Debug)]
pub struct Operation {
    /// The method's name.
    pub name: &'static str,
    /// The capability trait that its signature asks for.
    pub capability: &'static str,
    /// The state that it needs, and the one that it leads to, for each state in which it is legal.
    pub legal: &'static [(&'static str, &'static str)],
    states: &'static [&'static str],
}

/// Whether an operation is legal in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Legality {
    /// It compiles, and leaves the handle in this state.
    Legal {
        /// The state afterwards.
        to: &'static str,
    },
    /// It does not compile.
    Illegal,
}

impl Operation {
    /// Whether it is legal in this state; `None` for a state that is not in the table.
    pub fn in_state(&self, state: &str) -> Option<Legality> {
        if !self.states.contains(&state) {
            return None;
        }
        let found = self.legal.iter().find(|(from, _)| *from == state);
        Some(found.map_or(Legality::Illegal, |(_, to)| Legality::Legal { to }))
    }
}

impl Table {
    /// The operation of this name.
    pub fn operation(&self, name: &str) -> Option<&'static Operation> {
        self.operations.iter().find(|operation| operation.name == name)
    }

    /// Every pair of state and operation.
    pub fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static Operation, Legality)> {
        let operations = self.operations;
        self.states.iter().flat_map(move |state| {
            operations.iter().map(move |operation| {
                (*state, operation, operation.in_state(state).unwrap_or(Legality::Illegal))
            })
        })
    }
}

const BROKER_STATES: &[&str] = &["Unbound", "Listening", "Draining", "Stopped"];
const QUEUE_STATES: &[&str] = &["Open", "Closed"];
const CONN_STATES: &[&str] = &["Disconnected", "Connected"];
const CHAN_STATES: &[&str] = &["Open", "Confirming", "Transactional", "Closed"];

/// Legal once connected, which it leaves as it is.
const CONNECTED: &[(&str, &str)] = &[("Connected", "Connected")];

/// Legal in each of these states, which it leaves as it is.
const OPEN_IN_ANY_MODE: &[(&str, &str)] =
    &[("Open", "Open"), ("Confirming", "Confirming"), ("Transactional", "Transactional")];

const fn conn(
    name: &'static str,
    capability: &'static str,
    legal: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { name, capability, legal, states: CONN_STATES }
}

const fn chan(
    name: &'static str,
    capability: &'static str,
    legal: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { name, capability, legal, states: CHAN_STATES }
}

const fn broker(
    name: &'static str,
    capability: &'static str,
    legal: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { name, capability, legal, states: BROKER_STATES }
}

const fn queue(
    name: &'static str,
    capability: &'static str,
    legal: &'static [(&'static str, &'static str)],
) -> Operation {
    Operation { name, capability, legal, states: QUEUE_STATES }
}

/// What a [`Conn`](crate::Conn) can do.
pub const CONN: Table = Table {
    handle: "Conn",
    states: CONN_STATES,
    operations: &[
        conn("connect", "CanConnect", &[("Disconnected", "Connected")]),
        conn("open_channel", "IsConnected", CONNECTED),
        conn("find", "IsConnected", &[("Connected", "Connected")]),
        conn("close", "IsConnected", &[("Connected", "Disconnected")]),
        conn("into_disconnected", "IsConnected", &[("Connected", "Disconnected")]),
        conn("closed", "IsConnected", CONNECTED),
        conn("close_reason", "IsConnected", CONNECTED),
        conn("state", "IsConnected", CONNECTED),
        conn("state_changes", "IsConnected", CONNECTED),
        conn("stats", "IsConnected", CONNECTED),
        conn("blocked", "IsConnected", CONNECTED),
        conn("unblocked", "IsConnected", CONNECTED),
        conn("block_reason", "IsConnected", CONNECTED),
        conn("server_properties", "IsConnected", CONNECTED),
    ],
};

/// What a [`Chan`](crate::Chan) can do.
pub const CHAN: Table = Table {
    handle: "Chan",
    states: CHAN_STATES,
    operations: &[
        chan("declare", "IsOpen", OPEN_IN_ANY_MODE),
        chan("bind", "IsOpen", OPEN_IN_ANY_MODE),
        chan("unbind", "IsOpen", OPEN_IN_ANY_MODE),
        chan("delete_exchange", "IsOpen", OPEN_IN_ANY_MODE),
        chan("delete_queue", "IsOpen", OPEN_IN_ANY_MODE),
        chan("counts", "IsOpen", OPEN_IN_ANY_MODE),
        chan("purge", "IsOpen", OPEN_IN_ANY_MODE),
        chan("consume", "IsOpen", OPEN_IN_ANY_MODE),
        chan("get", "IsOpen", OPEN_IN_ANY_MODE),
        chan("confirm_select", "CanSelectMode", &[("Open", "Confirming")]),
        chan("tx_select", "CanSelectMode", &[("Open", "Transactional")]),
        chan("publish", "InConfirmMode", &[("Confirming", "Confirming")]),
        chan("publish_all", "InConfirmMode", &[("Confirming", "Confirming")]),
        chan("publisher", "InConfirmMode", &[("Confirming", "Confirming")]),
        chan("rpc_client", "InConfirmMode", &[("Confirming", "Confirming")]),
        chan("publish_unconfirmed", "InPlainMode", &[("Open", "Open")]),
        chan("publish_all_unconfirmed", "InPlainMode", &[("Open", "Open")]),
        chan("returns", "HasReturns", &[("Open", "Open"), ("Transactional", "Transactional")]),
        chan("publish_in_tx", "InTransactionMode", &[("Transactional", "Transactional")]),
        chan("publish_all_in_tx", "InTransactionMode", &[("Transactional", "Transactional")]),
        chan("commit", "InTransactionMode", &[("Transactional", "Transactional")]),
        chan("rollback", "InTransactionMode", &[("Transactional", "Transactional")]),
        chan(
            "close",
            "IsOpen",
            &[("Open", "Closed"), ("Confirming", "Closed"), ("Transactional", "Closed")],
        ),
        chan("reopen", "CanReopen", &[("Closed", "Open")]),
    ],
};

/// Legal while it listens, which it leaves as it is.
const LISTENING: &[(&str, &str)] = &[("Listening", "Listening")];

/// Legal while it has connections.
const SERVING: &[(&str, &str)] = &[("Listening", "Listening"), ("Draining", "Draining")];

/// Legal once it was bound.
const HOLDING: &[(&str, &str)] =
    &[("Listening", "Listening"), ("Draining", "Draining"), ("Stopped", "Stopped")];

/// What an embedded `Broker` can do (feature `broker`).
pub const BROKER: Table = Table {
    handle: "Broker",
    states: BROKER_STATES,
    operations: &[
        broker("listen", "CanListen", &[("Unbound", "Listening")]),
        broker("listen_tls", "CanListen", &[("Unbound", "Listening")]),
        broker("also_listen", "IsListening", LISTENING),
        broker("also_listen_tls", "IsListening", LISTENING),
        broker("address", "IsListening", LISTENING),
        broker("addresses", "IsListening", LISTENING),
        broker("uri", "IsListening", LISTENING),
        broker("drain", "IsListening", &[("Listening", "Draining")]),
        broker("faults", "IsServing", SERVING),
        broker("connection_count", "IsServing", SERVING),
        broker("stopped", "IsDraining", &[("Draining", "Stopped")]),
        broker("queue", "HoldsState", HOLDING),
        broker("queues", "HoldsState", HOLDING),
        broker("messages", "HoldsState", HOLDING),
        broker("queue_depth", "HoldsState", HOLDING),
        broker("unacked", "HoldsState", HOLDING),
        broker("consumers", "HoldsState", HOLDING),
        broker("bindings", "HoldsState", HOLDING),
        broker("exchanges", "HoldsState", HOLDING),
        broker("connections", "HoldsState", HOLDING),
        broker("vhosts", "HoldsState", HOLDING),
        broker("users", "HoldsState", HOLDING),
        broker("stored", "HoldsState", HOLDING),
        broker("counts", "HoldsState", HOLDING),
        broker("cut", "IsStopped", &[("Stopped", "Stopped")]),
        broker("into_unbound", "IsStopped", &[("Stopped", "Unbound")]),
    ],
};

/// What a `MessageQueue` between two brokers can do (feature `broker`).
pub const MESSAGE_QUEUE: Table = Table {
    handle: "MessageQueue",
    states: QUEUE_STATES,
    operations: &[
        queue("send", "IsOpenQueue", &[("Open", "Open")]),
        queue("receive", "IsOpenQueue", &[("Open", "Open")]),
        queue("unconfirmed", "IsOpenQueue", &[("Open", "Open")]),
        queue("waiting", "IsOpenQueue", &[("Open", "Open")]),
        queue("sender", "IsOpenQueue", &[("Open", "Open")]),
        queue("ended", "IsOpenQueue", &[("Open", "Open")]),
        queue("close", "IsOpenQueue", &[("Open", "Closed")]),
        queue("abort", "IsOpenQueue", &[("Open", "Closed")]),
        queue("into_closed", "IsOpenQueue", &[("Open", "Closed")]),
        // The last that is done with it.
        queue("into_unsent", "IsClosedQueue", &[("Closed", "Closed")]),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_only_its_own_states() {
        for table in [CONN, CHAN, BROKER, MESSAGE_QUEUE] {
            for operation in table.operations {
                for (from, to) in operation.legal {
                    assert!(table.states.contains(from), "{from} of {}", operation.name);
                    assert!(table.states.contains(to), "{to} of {}", operation.name);
                }
            }
        }
    }
}
