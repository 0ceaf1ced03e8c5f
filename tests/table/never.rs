//! What no table may ever allow, written by hand: widening the table by mistake fails here.

use hopmq::table::Legality;

use super::{TABLES, capabilities};

struct Never {
    handle: &'static str,
    state: &'static str,
    operations: &'static [&'static str],
    source: &'static str,
}

const fn never(
    handle: &'static str,
    state: &'static str,
    operations: &'static [&'static str],
    source: &'static str,
) -> Never {
    Never { handle, state, operations, source }
}

const NEVER: &[Never] = &[
    never(
        "Conn",
        "Disconnected",
        &["open_channel", "close"],
        "AMQP 0-9-1, 1.4: connection = open-connection *use-connection close-connection",
    ),
    never(
        "Conn",
        "Connected",
        &["connect"],
        "AMQP 0-9-1, 1.4: open-connection comes once, at the start",
    ),
    never(
        "Chan",
        "Closed",
        &[
            "declare",
            "bind",
            "unbind",
            "delete_exchange",
            "delete_queue",
            "counts",
            "purge",
            "consume",
            "get",
            "publish",
            "publish_all",
            "publish_unconfirmed",
            "publish_all_unconfirmed",
            "publish_in_tx",
            "publish_all_in_tx",
            "commit",
            "rollback",
            "confirm_select",
            "tx_select",
        ],
        "AMQP 0-9-1, 1.2: 504 channel-error, \"a channel that was not correctly opened\"",
    ),
    never(
        "Chan",
        "Closed",
        &["close"],
        "AMQP 0-9-1, 1.5: channel = open-channel *use-channel close-channel",
    ),
    never("Chan", "Open", &["reopen"], ALREADY_OPEN),
    never("Chan", "Confirming", &["reopen"], ALREADY_OPEN),
    never("Chan", "Transactional", &["reopen"], ALREADY_OPEN),
    never("Chan", "Open", IN_TRANSACTIONS, NOT_TRANSACTED),
    never("Chan", "Confirming", IN_TRANSACTIONS, NOT_TRANSACTED),
    never("Chan", "Confirming", &["tx_select"], ONE_MODE),
    never("Chan", "Transactional", &["confirm_select", "publish", "publish_all"], ONE_MODE),
    never(
        "Chan",
        "Open",
        &["publish", "publish_all"],
        "https://www.rabbitmq.com/docs/confirms: without confirm.select the broker confirms nothing",
    ),
    never("Broker", "Unbound", &["uri", "drain", "stopped", "faults", "queues"], NO_PORT),
    never("Broker", "Listening", &["listen", "stopped", "cut", "into_unbound"], "drained first"),
    never("Broker", "Draining", &["listen", "also_listen", "uri", "drain"], DRAINS),
    never("Broker", "Stopped", &["also_listen", "uri", "drain", "stopped", "faults"], DRAINS),
];

const IN_TRANSACTIONS: &[&str] = &["commit", "rollback", "publish_in_tx", "publish_all_in_tx"];

const NO_PORT: &str = "what has no port has no connection, and nothing was declared";
const DRAINS: &str = "a port is freed once, and whoever came to it is told";
const ALREADY_OPEN: &str = "AMQP 0-9-1, 1.5.2.1 channel.open, rule \"state\": \"The client MUST NOT use this method on an already-opened channel\"";
const NOT_TRANSACTED: &str = "AMQP 0-9-1, 1.9.2.3 tx.commit and 1.9.2.5 tx.rollback, rule \"transacted\": \"MUST NOT use ... on non-transacted channels\"";
const ONE_MODE: &str = "https://www.rabbitmq.com/docs/confirms: \"A transactional channel cannot be put into confirm mode and once a channel is in confirm mode, it cannot be made transactional\"";

#[test]
fn what_the_specification_forbids_is_in_no_state_legal() {
    let facts = capabilities::facts();
    for Never { handle, state, operations, source } in NEVER {
        let table = TABLES.iter().find(|table| table.handle == *handle).expect("a handle");
        for name in *operations {
            let pair = format!("{handle}<{state}>::{name} ({source})");
            let operation = table.operation(name).unwrap_or_else(|| panic!("not there: {pair}"));
            assert_eq!(operation.in_state(state), Some(Legality::Illegal), "in the table: {pair}");
            let fact = facts.iter().find(|fact| {
                (fact.handle, fact.state, fact.capability)
                    == (*handle, *state, operation.capability)
            });
            assert!(!fact.expect("probed").holds, "the capability is there: {pair}");
        }
    }
}
