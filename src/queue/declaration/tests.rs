use super::*;
use crate::{
    exchange::Exchange,
    wire::{FieldTable, RawTable},
};

fn realm() -> Arc<Realm> {
    Arc::new(Realm::new("rabbit", "/"))
}

fn spec(declaration: &impl Declare) -> QueueSpec {
    match declaration.request(&realm()).unwrap() {
        Request::DeclareQueue(spec) => spec,
        other => panic!("{other:?}"),
    }
}

fn arguments(declaration: &impl Declare) -> FieldTable {
    RawTable::new(&spec(declaration).arguments).decode().unwrap()
}

fn text(declaration: &impl Declare, argument: &str) -> Option<String> {
    arguments(declaration).get(argument).and_then(|value| value.as_str()).map(str::to_owned)
}

fn number(declaration: &impl Declare, argument: &str) -> Option<i64> {
    arguments(declaration).get(argument).and_then(|value| value.as_i64())
}

fn problem(declaration: &impl Declare) -> String {
    declaration.request(&realm()).unwrap_err().to_string()
}

#[test]
fn every_queue_is_durable_or_exclusive() {
    for spec in [
        spec(&Queue::classic("q")),
        spec(&Queue::quorum("q")),
        spec(&Queue::stream("q")),
        spec(&Queue::classic("q").auto_delete()),
    ] {
        assert!(spec.durable && !spec.exclusive, "{spec:?}");
    }
    let spec = spec(&Queue::classic("q").exclusive());
    assert!(!spec.durable && spec.exclusive);
}

#[test]
fn every_queue_says_its_type() {
    assert_eq!(text(&Queue::classic("q"), "x-queue-type").unwrap(), "classic");
    assert_eq!(text(&Queue::stream("q"), "x-queue-type").unwrap(), "stream");
    let single = Queue::quorum("q").single_active_consumer();
    assert_eq!(text(&single, "x-queue-type").unwrap(), "quorum");
    let flag = arguments(&single).get("x-single-active-consumer").cloned();
    assert_eq!(flag, Some(Value::Bool(true)));
}

#[test]
fn the_broker_names_a_queue_that_has_no_name() {
    let declaration = Queue::server_named();
    assert_eq!(spec(&declaration).name, "");
    assert!(spec(&declaration).exclusive);
    let empty = UsageError::EmptyName { what: "queue name" };
    assert_eq!(Queue::classic("").request(&realm()), Err(empty.clone()));
    assert_eq!(declaration.passive().request(&realm()), Err(empty));
}

#[test]
fn limits_and_times_become_arguments() {
    let declaration = Queue::classic("q")
        .max_priority(10)
        .max_length(100)
        .max_bytes(4096)
        .message_ttl(Duration::from_secs(1))
        .expires(Duration::from_nanos(1))
        .overflow(Overflow::RejectPublish);
    assert_eq!(number(&declaration, "x-max-priority"), Some(10));
    assert_eq!(number(&declaration, "x-max-length"), Some(100));
    assert_eq!(number(&declaration, "x-max-length-bytes"), Some(4096));
    assert_eq!(number(&declaration, "x-message-ttl"), Some(1000));
    assert_eq!(number(&declaration, "x-expires"), Some(1));
    assert_eq!(text(&declaration, "x-overflow").unwrap(), "reject-publish");
}

#[test]
fn replicas_have_an_argument_per_type() {
    let three = NonZeroU16::new(3).unwrap();
    let quorum = Queue::quorum("q").initial_group_size(three).delivery_limit(5);
    assert_eq!(number(&quorum, "x-quorum-initial-group-size"), Some(3));
    assert_eq!(number(&quorum, "x-delivery-limit"), Some(5));
    let stream =
        Queue::stream("q").initial_group_size(three).leader_locator(LeaderLocator::Balanced);
    assert_eq!(number(&stream, "x-initial-cluster-size"), Some(3));
    assert_eq!(text(&stream, "x-queue-leader-locator").unwrap(), "balanced");
}

#[test]
fn retention_is_in_whole_seconds() {
    let stream = Queue::stream("q").max_age(Duration::from_millis(1500)).filter_bytes(32);
    assert_eq!(text(&stream, "x-max-age").unwrap(), "2s");
    assert_eq!(number(&stream, "x-stream-filter-size-bytes"), Some(32));
}

#[test]
fn values_that_the_broker_refuses_are_refused_before() {
    let why = problem(&Queue::classic("q").expires(Duration::ZERO));
    assert_eq!(why, "x-expires: must be more than zero");
    let why = problem(&Queue::quorum("q").message_ttl(Duration::MAX));
    assert_eq!(why, "x-message-ttl: is more than the ten years that the broker allows");
    let why = problem(&Queue::stream("q").max_age(Duration::ZERO));
    assert_eq!(why, "x-max-age: must be more than zero");
    let why = problem(&Queue::stream("q").max_segment_bytes(3_000_000_001));
    assert!(why.contains("from 1 to 3,000,000,000"), "{why}");
    let why = problem(&Queue::stream("q").filter_bytes(15));
    assert!(why.contains("from 16 to 255"), "{why}");
    let why = problem(&Queue::quorum("amq.q"));
    assert!(why.contains("reserved"), "{why}");
}

#[test]
fn a_dead_letter_key_comes_with_its_exchange() {
    let dead = Exchange::direct("dead").token(&realm(), 1, &Reply::Done);
    let declaration = Queue::classic("q").dead_letter(DeadLetter::to(&dead).key("late"));
    assert_eq!(text(&declaration, "x-dead-letter-exchange").unwrap(), "dead");
    assert_eq!(text(&declaration, "x-dead-letter-routing-key").unwrap(), "late");
    let again = declaration.dead_letter(DeadLetter::to(&Exchange::amq_fanout()));
    assert_eq!(text(&again, "x-dead-letter-exchange").unwrap(), "amq.fanout");
    assert_eq!(text(&again, "x-dead-letter-routing-key"), None);
    let why = problem(&Queue::quorum("q").dead_letter(DeadLetter::to(&dead).key("x".repeat(256))));
    assert!(why.contains("dead-letter routing key"), "{why}");
}

#[test]
fn messages_can_be_dead_lettered_to_a_queue() {
    let reply =
        Reply::Declared { name: ShortString::new("morgue").unwrap(), messages: 0, consumers: 0 };
    let morgue = Queue::quorum("morgue").token(&realm(), 1, &reply);
    let declaration = Queue::quorum("q").dead_letter(DeadLetter::to_queue(&morgue));
    assert_eq!(text(&declaration, "x-dead-letter-exchange").unwrap(), "");
    assert_eq!(text(&declaration, "x-dead-letter-routing-key").unwrap(), "morgue");
}

#[test]
fn dead_lettering_at_least_once_refuses_publishes_when_full() {
    let dead = DeadLetter::to(&Exchange::amq_fanout());
    let declaration = Queue::quorum("q").dead_letter_at_least_once(dead);
    assert_eq!(text(&declaration, "x-dead-letter-strategy").unwrap(), "at-least-once");
    assert_eq!(text(&declaration, "x-overflow").unwrap(), "reject-publish");
    let why = problem(&declaration.overflow(Overflow::DropHead));
    assert!(why.contains("wants `Overflow::RejectPublish`"), "{why}");
}

#[test]
fn a_classic_queue_can_dead_letter_what_it_refuses() {
    let dead = DeadLetter::to(&Exchange::amq_fanout());
    let declaration = Queue::classic("q").max_length(1).reject_and_dead_letter(dead);
    assert_eq!(text(&declaration, "x-overflow").unwrap(), "reject-publish-dlx");
    assert_eq!(text(&declaration, "x-dead-letter-exchange").unwrap(), "amq.fanout");
}

#[test]
fn raw_arguments_go_as_they_are() {
    let declaration = Queue::classic("q").raw_argument("x-queue-mode", "lazy");
    assert_eq!(text(&declaration, "x-queue-mode").unwrap(), "lazy");
}

#[test]
fn a_passive_declaration_gives_the_same_token() {
    let declaration = Queue::quorum("inbox").passive();
    assert!(spec(&declaration).passive);
    let reply =
        Reply::Declared { name: ShortString::new("inbox").unwrap(), messages: 7, consumers: 2 };
    let inbox: Queue<crate::queue::Quorum> = declaration.token(&realm(), 1, &reply);
    assert_eq!(inbox.counts_when_declared().messages, 7);
}
