/* The C client as its examples use it, in pieces that librabbitmq.rs puts together.
 * Everything that fails gives a negative number, or NULL. */
#include <amqp.h>
#include <amqp_framing.h>
#include <amqp_tcp_socket.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>

static int replied(amqp_connection_state_t conn) {
  return amqp_get_rpc_reply(conn).reply_type == AMQP_RESPONSE_NORMAL ? 0 : -1;
}

const char *bench_version(void) { return amqp_version(); }

amqp_connection_state_t bench_connect(int port) {
  amqp_connection_state_t conn = amqp_new_connection();
  amqp_socket_t *socket = amqp_tcp_socket_new(conn);
  if (!socket || amqp_socket_open(socket, "127.0.0.1", port)) return NULL;
  amqp_rpc_reply_t reply = amqp_login(conn, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
  return reply.reply_type == AMQP_RESPONSE_NORMAL ? conn : NULL;
}

int bench_close(amqp_connection_state_t conn) {
  amqp_connection_close(conn, AMQP_REPLY_SUCCESS);
  return amqp_destroy_connection(conn);
}

int bench_open_channel(amqp_connection_state_t conn, int channel) {
  amqp_channel_open(conn, channel);
  return replied(conn);
}

int bench_confirm_select(amqp_connection_state_t conn, int channel) {
  amqp_confirm_select(conn, channel);
  return replied(conn);
}

int bench_declare(amqp_connection_state_t conn, int channel, const char *queue) {
  amqp_queue_declare(conn, channel, amqp_cstring_bytes(queue), 0, 0, 1, 0, amqp_empty_table);
  return replied(conn);
}

int bench_consume(amqp_connection_state_t conn, int channel, const char *queue, int automatic, int prefetch) {
  if (prefetch) {
    amqp_basic_qos(conn, channel, 0, prefetch, 0);
    if (replied(conn)) return -1;
  }
  amqp_basic_consume(conn, channel, amqp_cstring_bytes(queue), amqp_empty_bytes, 0, automatic, 0, amqp_empty_table);
  return replied(conn);
}

int bench_publish(amqp_connection_state_t conn, int channel, const char *key, size_t key_length,
                  const char *reply_to, void *body, size_t size) {
  amqp_basic_properties_t properties;
  amqp_bytes_t key_bytes = {key_length, (void *)key}, body_bytes = {size, body};
  if (reply_to) {
    properties._flags = AMQP_BASIC_REPLY_TO_FLAG;
    properties.reply_to = amqp_cstring_bytes(reply_to);
  }
  return amqp_basic_publish(conn, channel, amqp_empty_bytes, key_bytes, 0, 0, reply_to ? &properties : NULL, body_bytes);
}

/* Waits for the next ack. Gives its tag, 0 for another frame. */
int64_t bench_wait_ack(amqp_connection_state_t conn) {
  amqp_frame_t frame;
  amqp_maybe_release_buffers(conn);
  if (amqp_simple_wait_frame(conn, &frame) != AMQP_STATUS_OK) return -1;
  if (frame.frame_type != AMQP_FRAME_METHOD) return 0;
  if (frame.payload.method.id != AMQP_BASIC_ACK_METHOD) return -1;
  return ((amqp_basic_ack_t *)frame.payload.method.decoded)->delivery_tag;
}

/* Waits for the next message. Gives its tag; its reply-to, if it has one, goes into `reply_to`, and the tag of an
 * ack that comes before it into `acked`. */
int64_t bench_take(amqp_connection_state_t conn, char reply_to[256], int64_t *acked) {
  amqp_envelope_t envelope;
  amqp_maybe_release_buffers(conn);
  amqp_rpc_reply_t reply = amqp_consume_message(conn, &envelope, NULL, 0);
  while (reply.reply_type != AMQP_RESPONSE_NORMAL) {
    if (reply.reply_type != AMQP_RESPONSE_LIBRARY_EXCEPTION || reply.library_error != AMQP_STATUS_UNEXPECTED_STATE) {
      return -1;
    }
    int64_t tag = bench_wait_ack(conn);
    if (tag < 0) return -1;
    if (acked && tag) *acked = tag;
    reply = amqp_consume_message(conn, &envelope, NULL, 0);
  }
  if (reply_to) {
    amqp_basic_properties_t *properties = &envelope.message.properties;
    amqp_bytes_t to = properties->_flags & AMQP_BASIC_REPLY_TO_FLAG ? properties->reply_to : amqp_empty_bytes;
    memcpy(reply_to, to.bytes ? to.bytes : "", to.len);
    reply_to[to.len] = 0;
  }
  int64_t tag = envelope.delivery_tag;
  amqp_destroy_envelope(&envelope);
  return tag;
}

int bench_ack(amqp_connection_state_t conn, int channel, uint64_t tag) {
  return amqp_basic_ack(conn, channel, tag, 0);
}

static int ready(amqp_connection_state_t conn) {
  return amqp_frames_enqueued(conn) || amqp_data_in_buffer(conn);
}

/* Which of two connections has something to read: bit 0 and bit 1. */
int bench_wait_two(amqp_connection_state_t first, amqp_connection_state_t second) {
  int buffered = ready(first) | ready(second) << 1;
  struct pollfd polls[2] = {{amqp_get_sockfd(first), POLLIN, 0}, {amqp_get_sockfd(second), POLLIN, 0}};
  if (poll(polls, 2, buffered ? 0 : -1) < 0) return -1;
  return buffered | (polls[0].revents ? 1 : 0) | (polls[1].revents ? 2 : 0);
}
