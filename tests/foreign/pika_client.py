"""pika, the blocking client in Python: https://pypi.org/project/pika"""

import pika
from pika import exceptions as wrong

from what import NAME, URL, can, holds

parameters = pika.URLParameters(URL)
connection = pika.BlockingConnection(parameters)
channel = connection.channel()
queue, exchange, dead = NAME + "q", NAME + "x", NAME + "dead"
persistent = pika.BasicProperties(
    delivery_mode=2, content_type="text/plain", headers={"n": 1, "deep": {"list": [1, "two", None]}}
)


def next_message(of, **options):
    """One message, and leaves consuming."""
    for method, properties, body in channel.consume(of, inactivity_timeout=20, **options):
        holds(method, "a message arrives")
        channel.cancel()
        return method, properties, body


with can("declare"):
    channel.exchange_declare(exchange, "topic", durable=True)
    channel.queue_declare(dead, durable=True)
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead}
    declared = channel.queue_declare(queue, durable=True, arguments=arguments).method
    holds((declared.queue, declared.message_count, declared.consumer_count) == (queue, 0, 0), declared)
    channel.queue_bind(queue, exchange, "order.*")
    own = channel.queue_declare("", exclusive=True).method.queue
    holds(own.startswith("amq.gen-"), own)

with can("publish"):
    channel.basic_publish(exchange, "order.eu", b"plain", persistent)
    channel.basic_publish("", queue, b"", pika.BasicProperties())
    large = bytes(range(256)) * 4096
    channel.basic_publish("", own, large)

with can("get"):
    method, properties, body = channel.basic_get(queue)
    holds((body, method.routing_key, method.redelivered) == (b"plain", "order.eu", False), method)
    holds(properties.headers == persistent.headers and properties.delivery_mode == 2, properties)
    channel.basic_ack(method.delivery_tag)
    holds(channel.basic_get(queue, auto_ack=True)[2] == b"", "the empty body")
    holds(channel.basic_get(queue) == (None, None, None), "it is empty")
    holds(channel.basic_get(own, auto_ack=True)[2] == large, "a mebibyte in frames")

with can("confirm"):
    confirming = connection.channel()
    confirming.confirm_delivery()
    for number in range(10):
        confirming.basic_publish(exchange, "order.us", str(number), persistent, mandatory=True)
    try:
        confirming.basic_publish(exchange, "nobody", b"", mandatory=True)
        holds(False, "it has no route")
    except wrong.UnroutableError as error:
        holds(error.messages[0].method.reply_code == 312, error.messages[0].method)

with can("consume"):
    channel.basic_qos(prefetch_count=4)
    bodies = []
    for method, properties, body in channel.consume(queue, inactivity_timeout=20):
        bodies.append(body)
        channel.basic_ack(method.delivery_tag)
        if len(bodies) == 10:
            break
    channel.cancel()
    holds(bodies == [str(number).encode() for number in range(10)], bodies)

with can("settle"):
    for body in (b"ack", b"requeue", b"reject"):
        confirming.basic_publish("", queue, body)
    method, _, body = channel.basic_get(queue)
    channel.basic_ack(method.delivery_tag)
    method, _, body = channel.basic_get(queue)
    channel.basic_nack(method.delivery_tag, requeue=True)
    method, _, body = channel.basic_get(queue)
    holds(body == b"requeue" and method.redelivered, (body, method))
    channel.basic_ack(method.delivery_tag)
    method, _, body = channel.basic_get(queue)
    channel.basic_reject(method.delivery_tag, requeue=False)
    method, properties, body = next_message(dead, auto_ack=True)
    death = properties.headers["x-death"][0]
    holds((body, death["queue"], death["reason"]) == (b"reject", queue, "rejected"), death)

with can("tx"):
    transaction = connection.channel()
    transaction.tx_select()
    transaction.basic_publish("", own, b"rolled back")
    transaction.tx_rollback()
    transaction.basic_publish("", own, b"committed")
    holds(channel.queue_declare(own, passive=True).method.message_count == 0, "not yet")
    transaction.tx_commit()
    holds(channel.basic_get(own, auto_ack=True)[2] == b"committed", "the commit")

with can("rpc"):
    served = []

    def serve(on, method, properties, body):
        served.append(properties.correlation_id)
        answer = pika.BasicProperties(correlation_id=properties.correlation_id)
        on.basic_publish("", properties.reply_to, body.upper(), answer)
        on.basic_ack(method.delivery_tag)

    answers = []
    server, client = connection.channel(), connection.channel()
    server.basic_consume(own, serve)
    client.basic_consume("amq.rabbitmq.reply-to", lambda *got: answers.append(got), auto_ack=True)
    ask = pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id="7")
    client.basic_publish("", own, b"question", ask)
    for _ in range(200):
        if answers:
            break
        connection.process_data_events(time_limit=0.1)
    holds(served == ["7"] and answers[0][3] == b"QUESTION", (served, answers))
    holds(answers[0][2].correlation_id == "7", answers)
    server.close()
    client.close()

with can("errors"):

    def closes(code, words, what):
        doomed = connection.channel()
        try:
            what(doomed)
            holds(False, f"{code} was to be")
        except wrong.ChannelClosedByBroker as error:
            holds(error.reply_code == code and words in error.reply_text, error)

    closes(404, "NOT_FOUND - no queue", lambda on: on.queue_declare(NAME + "none", passive=True))
    closes(404, "NOT_FOUND - no exchange", lambda on: on.queue_bind(queue, NAME + "none", ""))
    closes(406, "inequivalent arg 'x-dead-letter-exchange'", lambda on: on.queue_declare(queue, durable=True))
    closes(406, "inequivalent arg 'type'", lambda on: on.exchange_declare(exchange, "fanout", durable=True))
    closes(403, "ACCESS_REFUSED", lambda on: on.queue_declare("amq.mine"))
    closes(406, "not empty", lambda on: (channel.basic_publish("", queue, b"x"), on.queue_delete(queue, if_empty=True)))
    other = pika.BlockingConnection(parameters)
    try:
        other.channel().queue_declare(own, passive=True)
        holds(False, "it is exclusive")
    except wrong.ChannelClosedByBroker as error:
        holds(error.reply_code == 405 and "RESOURCE_LOCKED" in error.reply_text, error)
    other.close()
    try:
        stranger = pika.URLParameters(URL)
        stranger.credentials = pika.PlainCredentials("guest", "wrong")
        pika.BlockingConnection(stranger)
        holds(False, "the password is wrong")
    except wrong.ProbableAuthenticationError as error:
        holds("403" in str(error) and "Login was refused" in str(error), error)

with can("delete"):
    holds(channel.queue_purge(queue).method.message_count == 1, "the one that was left")
    channel.queue_unbind(queue, exchange, "order.*")
    channel.queue_delete(queue)
    channel.queue_delete(dead)
    channel.exchange_delete(exchange, if_unused=True)
    connection.close()
