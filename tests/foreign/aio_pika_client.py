"""aio-pika, the client for asyncio in Python: https://pypi.org/project/aio-pika"""

import asyncio

import aio_pika
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika import exceptions as wrong
from aio_pika.patterns import RPC
from aiormq.exceptions import ChannelLockedResource

from what import NAME, URL, can, holds


async def main():
    connection = await aio_pika.connect_robust(URL)
    channel = await connection.channel(publisher_confirms=True, on_return_raises=True)

    with can("declare"):
        exchange = await channel.declare_exchange(NAME + "x", ExchangeType.HEADERS, durable=True)
        fanout = await channel.declare_exchange(NAME + "fanout", ExchangeType.FANOUT, durable=True)
        await exchange.bind(fanout)
        queue = await channel.declare_queue(NAME + "q", durable=True, arguments={"x-max-priority": 5})
        await queue.bind(exchange, arguments={"x-match": "all", "kind": "order"})
        quorum = await channel.declare_queue(NAME + "quorum", durable=True, arguments={"x-queue-type": "quorum"})
        own = await channel.declare_queue(exclusive=True)

    with can("publish and confirm"):
        headers = {"kind": "order", "count": 3, "ratio": 0.5, "tags": ["a", "b"]}
        message = Message(b"one", headers=headers, delivery_mode=DeliveryMode.PERSISTENT, priority=1)
        await fanout.publish(message, "")
        await exchange.publish(Message(b"two", headers=headers, priority=5), "")
        for number in range(20):
            await channel.default_exchange.publish(Message(str(number).encode()), quorum.name)
        try:
            await exchange.publish(Message(b"", headers={"kind": "else"}), "", mandatory=True)
            holds(False, "it has no route")
        except wrong.DeliveryError as error:
            holds(error.frame.reply_code == 312, error)

    with can("get"):
        first = await queue.get(timeout=20)
        holds(first.body == b"two" and first.priority == 5, "the higher priority first")
        holds(dict(first.headers)["tags"] == ["a", "b"], first.headers)
        await first.ack()
        await (await queue.get(timeout=20)).ack()
        holds(await queue.get(fail=False) is None, "it is empty")

    with can("consume"):
        await channel.set_qos(prefetch_count=5)
        bodies = []
        async with quorum.iterator(timeout=20) as messages:
            async for message in messages:
                async with message.process():
                    bodies.append(message.body)
                if len(bodies) == 20:
                    break
        holds(bodies == [str(number).encode() for number in range(20)], bodies)

    with can("settle"):
        await channel.default_exchange.publish(Message(b"again"), queue.name)
        await (await queue.get(timeout=20)).reject(requeue=True)
        again = await queue.get(timeout=20)
        holds(again.redelivered and again.body == b"again", again)
        await again.nack(requeue=False)
        holds(await queue.get(fail=False) is None, "it is dropped")

    with can("tx"):
        plain = await connection.channel(publisher_confirms=False)
        async with plain.transaction():
            await plain.default_exchange.publish(Message(b"committed"), own.name)
        transaction = plain.transaction()
        await transaction.select()
        await plain.default_exchange.publish(Message(b"rolled back"), own.name)
        await transaction.rollback()
        holds((await own.get(timeout=20, no_ack=True)).body == b"committed", "the commit")
        holds(await own.get(fail=False) is None, "the rollback")

    with can("rpc"):

        async def double(*, number):
            return number * 2

        server = await RPC.create(await connection.channel())
        await server.register(NAME + "double", double, auto_delete=True, exclusive=True)
        client = await RPC.create(await connection.channel())
        results = await asyncio.gather(*(client.call(NAME + "double", {"number": n}) for n in range(10)))
        holds(results == [n * 2 for n in range(10)], results)
        await client.close()
        await server.close()

    with can("errors"):
        plain = await aio_pika.connect(URL)
        doomed = await plain.channel()
        try:
            await doomed.declare_queue(queue.name, durable=True, arguments={"x-max-priority": 4})
            holds(False, "it is another")
        except wrong.ChannelPreconditionFailed as error:
            holds("inequivalent arg 'x-max-priority'" in str(error), error)
        doomed = await plain.channel()
        try:
            await doomed.get_queue(NAME + "none")
            holds(False, "there is none")
        except wrong.ChannelNotFoundEntity as error:
            holds("NOT_FOUND - no queue" in str(error), error)
        doomed = await plain.channel()
        try:
            await doomed.get_queue(own.name)
            holds(False, "it is exclusive")
        except ChannelLockedResource as error:
            holds("RESOURCE_LOCKED" in str(error), error)
        await plain.close()

    with can("delete"):
        await queue.delete()
        await quorum.delete(if_unused=False, if_empty=False)
        await exchange.delete()
        await fanout.delete()
        await connection.close()


asyncio.run(asyncio.wait_for(main(), 120))
