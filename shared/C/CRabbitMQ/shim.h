#include <amqp.h>
#include <amqp_tcp_socket.h>

/// amqp_login is variadic, which Swift cannot call: this fixes the PLAIN mechanism.
static inline amqp_rpc_reply_t auspex_amqp_login_plain(
    amqp_connection_state_t state, const char *vhost, int channel_max, int frame_max, int heartbeat, const char *user, const char *password)
{
    return amqp_login(state, vhost, channel_max, frame_max, heartbeat, AMQP_SASL_METHOD_PLAIN, user, password);
}

/// The same with a name that the broker's management pages show for the connection.
static inline amqp_rpc_reply_t auspex_amqp_login_named(
    amqp_connection_state_t state, const char *vhost, int heartbeat, const char *user, const char *password, const char *connection_name)
{
    amqp_table_entry_t entry;
    entry.key = amqp_cstring_bytes("connection_name");
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes(connection_name);
    amqp_table_t properties;
    properties.num_entries = 1;
    properties.entries = &entry;
    return amqp_login_with_properties(state, vhost, 0, AMQP_DEFAULT_FRAME_SIZE, heartbeat, &properties, AMQP_SASL_METHOD_PLAIN, user, password);
}
