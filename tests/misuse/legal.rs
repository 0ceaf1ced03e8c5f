//! The legal twins of the misuse catalogue: they compile, and they run on both brokers.

use hopmq::{Uri, broker::Broker};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Each twin as a module, with a test that runs it on the embedded broker and one on RabbitMQ.
macro_rules! twins {
    ($($path:literal $row:ident)+) => {
        $(
            #[path = $path]
            mod $row;
        )+

        mod on_the_embedded_broker {
            $(
                #[tokio::test]
                async fn $row() -> super::Outcome {
                    let broker = super::Broker::bind("127.0.0.1:0").await?;
                    super::$row::run(broker.uri().parse()?).await
                }
            )+
        }

        mod on_rabbitmq {
            $(
                #[tokio::test]
                #[ignore = "needs RabbitMQ: run tests/run"]
                async fn $row() -> super::Outcome {
                    super::$row::run(super::rabbitmq()?).await
                }
            )+
        }
    };
}

fn rabbitmq() -> Result<Uri, Box<dyn std::error::Error>> {
    Ok(std::env::var("HOPMQ_TEST_AMQP_URL")?.parse()?)
}

twins! {
    "../../ui-tests/misuse-legal/row01_settle_twice.rs" row01_settle_twice
    "../../ui-tests/misuse-legal/row02_settle_elsewhere.rs" row02_settle_elsewhere
    "../../ui-tests/misuse-legal/row04_settle_automatic.rs" row04_settle_automatic
    "../../ui-tests/misuse-legal/row05_settle_batch_again.rs" row05_settle_batch_again
    "../../ui-tests/misuse-legal/row06_tx_after_confirm.rs" row06_tx_after_confirm
    "../../ui-tests/misuse-legal/row07_confirm_after_tx.rs" row07_confirm_after_tx
    "../../ui-tests/misuse-legal/row08_commit_outside_tx.rs" row08_commit_outside_tx
    "../../ui-tests/misuse-legal/row09_confirm_without_select.rs" row09_confirm_without_select
    "../../ui-tests/misuse-legal/row10_stream_without_prefetch.rs" row10_stream_without_prefetch
    "../../ui-tests/misuse-legal/row11_stream_automatic.rs" row11_stream_automatic
    "../../ui-tests/misuse-legal/row12_stream_get.rs" row12_stream_get
    "../../ui-tests/misuse-legal/row13_single_active_get.rs" row13_single_active_get
    "../../ui-tests/misuse-legal/row14_stream_purge.rs" row14_stream_purge
    "../../ui-tests/misuse-legal/row15_global_qos.rs" row15_global_qos
    "../../ui-tests/misuse-legal/row16_prefetch_size.rs" row16_prefetch_size
    "../../ui-tests/misuse-legal/row17_immediate.rs" row17_immediate
    "../../ui-tests/misuse-legal/row18_flow.rs" row18_flow
    "../../ui-tests/misuse-legal/row19_recover.rs" row19_recover
    "../../ui-tests/misuse-legal/row20_delete_on_condition.rs" row20_delete_on_condition
    "../../ui-tests/misuse-legal/row21_transient_quorum.rs" row21_transient_quorum
    "../../ui-tests/misuse-legal/row22_exclusive_quorum.rs" row22_exclusive_quorum
    "../../ui-tests/misuse-legal/row23_auto_delete_stream.rs" row23_auto_delete_stream
    "../../ui-tests/misuse-legal/row24_server_named_quorum.rs" row24_server_named_quorum
    "../../ui-tests/misuse-legal/row25_transient_classic.rs" row25_transient_classic
    "../../ui-tests/misuse-legal/row26_argument_of_another_type.rs" row26_argument_of_another_type
    "../../ui-tests/misuse-legal/row28_dead_letter_key_alone.rs" row28_dead_letter_key_alone
    "../../ui-tests/misuse-legal/row30_never_declared.rs" row30_never_declared
    "../../ui-tests/misuse-legal/row32_unknown_exchange.rs" row32_unknown_exchange
    "../../ui-tests/misuse-legal/row33_publish_to_internal.rs" row33_publish_to_internal
    "../../ui-tests/misuse-legal/row35_default_exchange.rs" row35_default_exchange
    "../../ui-tests/misuse-legal/row36_bad_x_match.rs" row36_bad_x_match
    "../../ui-tests/misuse-legal/row37_binding_of_another_type.rs" row37_binding_of_another_type
    "../../ui-tests/misuse-legal/row38_unknown_exchange_type.rs" row38_unknown_exchange_type
    "../../ui-tests/misuse-legal/row39_reply_with_ack.rs" row39_reply_with_ack
    "../../ui-tests/misuse-legal/row40_reply_consumer_twice.rs" row40_reply_consumer_twice
    "../../ui-tests/misuse-legal/row41_reply_without_consumer.rs" row41_reply_without_consumer
    "../../ui-tests/misuse-legal/row42_consumer_tag.rs" row42_consumer_tag
    "../../ui-tests/misuse-legal/row43_bad_expiration.rs" row43_bad_expiration
    "../../ui-tests/misuse-legal/row45_user_id.rs" row45_user_id
    "../../ui-tests/misuse-legal/row47_after_close.rs" row47_after_close
    "../../ui-tests/misuse-legal/row49_before_open.rs" row49_before_open
    "../../ui-tests/misuse-legal/row50_connect_twice.rs" row50_connect_twice
}
