// amqplib, the client for Node.js: https://www.npmjs.com/package/amqplib
'use strict';

const assert = require('node:assert/strict');
const { once } = require('node:events');
const amqplib = process.env.AMQPLIB || 'amqplib';
const amqp = require(amqplib);
const defs = require(`${amqplib}/lib/defs`);

const url = process.env.AMQP_URL;
const name = `foreign-amqplib-${process.pid}-`;

async function can(what, body) {
  try {
    await body();
  } catch (error) {
    console.log(`amqplib: ${what} FAILED`);
    throw error;
  }
  console.log(`amqplib: ${what}`);
}

async function main() {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  const [queue, exchange, dead] = [`${name}q`, `${name}x`, `${name}dead`];
  let own;

  await can('declare', async () => {
    await channel.assertExchange(exchange, 'direct', { durable: true, alternateExchange: 'amq.fanout' });
    await channel.assertQueue(dead, { durable: true });
    const options = { durable: true, deadLetterExchange: '', deadLetterRoutingKey: dead, maxLength: 100 };
    assert.deepEqual(await channel.assertQueue(queue, options), { queue, messageCount: 0, consumerCount: 0 });
    await channel.bindQueue(queue, exchange, 'key');
    await channel.bindExchange(exchange, 'amq.topic', `${name}.#`);
    own = (await channel.assertQueue('', { exclusive: true })).queue;
    assert.match(own, /^amq\.gen-/);
  });

  await can('publish', async () => {
    const options = { persistent: true, headers: { n: 1, b: true, deep: { list: [1, 'two'] } }, messageId: 'm1' };
    assert(channel.publish(exchange, 'key', Buffer.from('one'), options));
    assert(channel.publish('amq.topic', `${name}.a.b`, Buffer.from('nowhere: no such key')));
    channel.sendToQueue(own, Buffer.alloc(300_000, 7));
  });

  await can('get', async () => {
    const message = await channel.get(queue);
    assert.equal(message.content.toString(), 'one');
    assert.deepEqual(message.properties.headers.deep, { list: [1, 'two'] });
    assert.equal(message.fields.messageCount, 0);
    channel.ack(message);
    assert.equal(await channel.get(queue), false);
    assert.equal((await channel.get(own, { noAck: true })).content.length, 300_000);
  });

  await can('confirm', async () => {
    const confirming = await connection.createConfirmChannel();
    for (let n = 0; n < 50; n += 1) confirming.sendToQueue(queue, Buffer.from(String(n)));
    await confirming.waitForConfirms();
    const returned = once(confirming, 'return');
    confirming.publish('', `${name}none`, Buffer.from('x'), { mandatory: true });
    await confirming.waitForConfirms();
    assert.equal((await returned)[0].fields.replyCode, 312);
    await confirming.close();
  });

  await can('consume', async () => {
    await channel.prefetch(7);
    const bodies = [];
    await new Promise((resolve, reject) => {
      const seen = (message) => {
        bodies.push(Number(message.content.toString()));
        channel.ack(message);
        if (bodies.length === 50) resolve();
      };
      channel.consume(queue, seen, { consumerTag: `${name}tag` }).catch(reject);
    });
    await channel.cancel(`${name}tag`);
    assert.deepEqual(bodies, [...Array(50).keys()]);
  });

  await can('settle', async () => {
    channel.sendToQueue(queue, Buffer.from('again'));
    channel.nack(await until(() => channel.get(queue)), false, true);
    const again = await until(() => channel.get(queue));
    assert(again.fields.redelivered);
    channel.reject(again, false);
    const [death] = (await until(() => channel.get(dead, { noAck: true }))).properties.headers['x-death'];
    assert.deepEqual([death.queue, death.reason, death.count], [queue, 'rejected', 1]);
    for (const body of 'abc') channel.sendToQueue(queue, Buffer.from(body));
    let last;
    for (let n = 0; n < 3; n += 1) last = await until(() => channel.get(queue));
    channel.ack(last, true);
    await channel.recover();
    assert.equal(await channel.get(queue), false);
  });

  // It has the methods of transactions, and no function for each.
  await can('tx', async () => {
    const transaction = await connection.createChannel();
    await transaction.rpc(defs.TxSelect, {}, defs.TxSelectOk);
    transaction.sendToQueue(own, Buffer.from('rolled back'));
    await transaction.rpc(defs.TxRollback, {}, defs.TxRollbackOk);
    transaction.sendToQueue(own, Buffer.from('committed'));
    // What was sent before on the same channel is done before.
    assert.equal((await transaction.checkQueue(own)).messageCount, 0);
    await transaction.rpc(defs.TxCommit, {}, defs.TxCommitOk);
    assert.equal((await channel.get(own, { noAck: true })).content.toString(), 'committed');
    assert.equal(await channel.get(own), false);
    await transaction.close();
  });

  await can('rpc', async () => {
    const answer = new Promise((resolve, reject) => {
      channel.consume('amq.rabbitmq.reply-to', resolve, { noAck: true }).catch(reject);
    });
    const server = await connection.createChannel();
    await server.consume(own, (message) => {
      const { replyTo, correlationId } = message.properties;
      server.sendToQueue(replyTo, Buffer.from(message.content.toString().toUpperCase()), { correlationId });
      server.ack(message);
    });
    channel.sendToQueue(own, Buffer.from('question'), { replyTo: 'amq.rabbitmq.reply-to', correlationId: '7' });
    const message = await answer;
    assert.deepEqual([message.content.toString(), message.properties.correlationId], ['QUESTION', '7']);
    await server.close();
  });

  await can('cancel notification', async () => {
    const doomed = `${name}doomed`;
    const other = await connection.createChannel();
    await other.assertQueue(doomed, { durable: true });
    const cancelled = new Promise((resolve) => {
      other.consume(doomed, (message) => message === null && resolve());
    });
    await other.checkQueue(doomed);
    await channel.deleteQueue(doomed);
    await cancelled;
    await other.close();
  });

  await can('errors', async () => {
    const closes = async (code, words, what) => {
      const doomed = await connection.createChannel();
      const ended = once(doomed, 'error');
      what(doomed).catch(() => {});
      const [error] = await ended;
      assert.equal(error.code, code);
      assert(error.message.includes(words), error.message);
    };
    await closes(404, 'NOT_FOUND - no queue', (on) => on.checkQueue(`${name}none`));
    await closes(404, 'NOT_FOUND - no exchange', (on) => on.checkExchange(`${name}none`));
    await closes(406, "inequivalent arg 'x-max-length'", (on) =>
      on.assertQueue(queue, { durable: true, deadLetterExchange: '', deadLetterRoutingKey: dead, maxLength: 9 }));
    await closes(406, 'unknown delivery tag 99', async (on) => on.ack({ fields: { deliveryTag: 99 } }));
    await assert.rejects(amqp.connect(url.replace('guest:guest', 'guest:wrong')), /ACCESS.REFUSED/);
    await assert.rejects(amqp.connect(url.replace('%2f', 'nowhere')), /ConnectionClose/);
  });

  await can('delete', async () => {
    await channel.deleteQueue(queue);
    await channel.deleteQueue(dead);
    await channel.unbindExchange(exchange, 'amq.topic', `${name}.#`);
    await channel.deleteExchange(exchange);
    await channel.close();
    await connection.close();
  });
}

// What was sent without an answer arrives in a while.
async function until(look) {
  for (let n = 0; n < 400; n += 1) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => { setTimeout(resolve, 50); });
  }
  throw new Error('nothing came');
}

const late = setTimeout(() => { throw new Error('it hangs'); }, 120_000);
main().then(() => clearTimeout(late), (error) => { console.error(error); process.exit(1); });
