//! Transactions: RabbitMQ closes the connection for what arrives while it commits.

use super::*;

fn transactional() -> (Scripted, ChannelKey) {
    let (mut scripted, key) = Scripted::with_channel();
    scripted.request(key, Request::TxSelect);
    scripted.receive(1, &method::tx::SelectOk {});
    scripted.sent();
    (scripted, key)
}

#[test]
fn what_follows_a_commit_waits_for_its_answer() {
    let (mut scripted, key) = transactional();
    let first = scripted.request(key, Request::TxCommit);
    let bound = scripted.request(key, bind());
    let second = scripted.request(key, Request::TxCommit);
    let rolled_back = scripted.request(key, Request::TxRollback);
    assert_eq!(scripted.sent(), ["tx.commit"]);
    scripted.receive(1, &method::tx::CommitOk {});
    assert_eq!(scripted.answer(first), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.sent(), ["queue.bind", "tx.commit"]);
    scripted.receive(1, &method::queue::BindOk {});
    scripted.receive(1, &method::tx::CommitOk {});
    assert_eq!(scripted.answer(bound), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.answer(second), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.sent(), ["tx.rollback"]);
    scripted.receive(1, &method::tx::RollbackOk {});
    assert_eq!(scripted.answer(rolled_back), Poll::Ready(Ok(Reply::Done)));
    assert_eq!(scripted.ended(), None);
}

#[test]
fn a_settlement_waits_for_a_commit_too() {
    let (mut scripted, key) = transactional();
    let queue = ShortString::new("inbox").unwrap();
    let get = scripted.request(key, Request::Get { queue, automatic: false });
    scripted.got(1);
    assert!(matches!(scripted.answer(get), Poll::Ready(Ok(Reply::Got(_, Some(_))))));
    scripted.sent();
    scripted.request(key, Request::TxCommit);
    scripted.connection.settle(key, 1, 1, Settlement::Ack).unwrap();
    assert_eq!(scripted.sent(), ["tx.commit"]);
    scripted.receive(1, &method::tx::CommitOk {});
    assert_eq!(scripted.sent(), ["basic.ack"]);
}
