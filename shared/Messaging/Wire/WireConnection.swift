internal import CRabbitMQ
internal import Glibc

/// One connection of rabbitmq-c, used only on its own thread: return codes become errors, nothing waits for what may not come.
///
/// Requests (declare, consume…) wait for their answer, at most ten seconds. What the broker says by itself is read by ``nextEvent()`` without
/// waiting. Any error other than a refused request means that the connection is of no use any more.
final class WireConnection {
    private let state: amqp_connection_state_t
    private var assembler = FrameAssembler()
    private var isBroken = false

    /// Half of the time after which a silent broker counts as gone; the broker hears from us as often.
    static let heartbeatSeconds: Int32 = 15

    /// Connects and logs in; throws `unavailable` when nobody answers within five seconds and `refused` when the broker does not want us.
    init(to url: BrokerURL, name: String) throws(BrokerError) {
        guard let state = amqp_new_connection() else { throw BrokerError(.unavailable, message: "out of memory") }
        // From here on an error ends in deinit, which frees the state.
        self.state = state
        guard let socket = amqp_tcp_socket_new(state) else { throw BrokerError(.unavailable, message: "out of memory") }
        var patience = timeval(tv_sec: 5, tv_usec: 0)
        let opened = amqp_socket_open_noblock(socket, url.host, Int32(url.port), &patience)
        guard opened == AMQP_STATUS_OK.rawValue else { throw BrokerError(.unavailable, message: Self.words(opened)) }
        var handshake = timeval(tv_sec: 5, tv_usec: 0)
        amqp_set_handshake_timeout(state, &handshake)
        var answer = timeval(tv_sec: 10, tv_usec: 0)
        amqp_set_rpc_timeout(state, &answer)
        try check(auspex_amqp_login_named(state, url.virtualHost, Self.heartbeatSeconds, url.user, url.password, name))
    }

    var fileDescriptor: Int32 { amqp_get_sockfd(state) }

    /// Ends the connection; politely unless it is broken.
    func close() {
        if !isBroken { _ = amqp_connection_close(state, AMQP_REPLY_SUCCESS) }
        isBroken = true
    }

    deinit { amqp_destroy_connection(state) }

    // MARK: Requests

    func openChannel(_ channel: UInt16) throws(BrokerError) {
        _ = amqp_channel_open(state, channel)
        try checkLast()
    }

    func selectConfirms(_ channel: UInt16) throws(BrokerError) {
        _ = amqp_confirm_select(state, channel)
        try checkLast()
    }

    func declareExchange(_ channel: UInt16, _ name: String, type: String, passive: Bool = false) throws(BrokerError) {
        let arena = Arena()
        defer { arena.free() }
        _ = amqp_exchange_declare(state, channel, arena.bytes(name), arena.bytes(type), passive ? 1 : 0, 1, 0, 0, amqp_empty_table)
        try checkLast()
    }

    /// Gives the number of messages that are ready, and of those who consume the queue.
    @discardableResult
    func declareQueue(
        _ channel: UInt16,
        _ name: String,
        passive: Bool = false,
        durable: Bool = true,
        exclusive: Bool = false,
        arguments: [String: HeaderValue] = [:]
    ) throws(BrokerError) -> (messages: Int, consumers: Int) {
        let arena = Arena()
        defer { arena.free() }
        let answer = amqp_queue_declare(
            state,
            channel,
            arena.bytes(name),
            passive ? 1 : 0,
            durable ? 1 : 0,
            exclusive ? 1 : 0,
            exclusive ? 1 : 0,
            arena.table(arguments)
        )
        try checkLast()
        return (Int(answer?.pointee.message_count ?? 0), Int(answer?.pointee.consumer_count ?? 0))
    }

    func bind(_ channel: UInt16, queue: String, exchange: String, routingKey: String) throws(BrokerError) {
        let arena = Arena()
        defer { arena.free() }
        _ = amqp_queue_bind(state, channel, arena.bytes(queue), arena.bytes(exchange), arena.bytes(routingKey), amqp_empty_table)
        try checkLast()
    }

    /// Without a word when there is no such binding.
    func unbind(_ channel: UInt16, queue: String, exchange: String, routingKey: String) throws(BrokerError) {
        let arena = Arena()
        defer { arena.free() }
        _ = amqp_queue_unbind(state, channel, arena.bytes(queue), arena.bytes(exchange), arena.bytes(routingKey), amqp_empty_table)
        try checkLast()
    }

    func limitPrefetch(_ channel: UInt16, to count: UInt16) throws(BrokerError) {
        _ = amqp_basic_qos(state, channel, 0, count, 0)
        try checkLast()
    }

    func consume(_ channel: UInt16, queue: String, tag: String, noAcknowledgement: Bool = false, exclusive: Bool = false) throws(BrokerError) {
        let arena = Arena()
        defer { arena.free() }
        _ = amqp_basic_consume(
            state,
            channel,
            arena.bytes(queue),
            arena.bytes(tag),
            0,
            noAcknowledgement ? 1 : 0,
            exclusive ? 1 : 0,
            amqp_empty_table
        )
        try checkLast()
    }

    func cancel(_ channel: UInt16, tag: String) throws(BrokerError) {
        let arena = Arena()
        defer { arena.free() }
        _ = amqp_basic_cancel(state, channel, arena.bytes(tag))
        try checkLast()
    }

    // MARK: Sending

    func publish(_ channel: UInt16, exchange: String, routingKey: String, mandatory: Bool, _ message: WireMessage) throws(BrokerError) {
        try waitUntilWritable()
        let arena = Arena()
        defer { arena.free() }
        var properties = amqp_basic_properties_t()
        var flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG
        properties.content_type = arena.bytes("application/json")
        properties.delivery_mode = message.isPersistent ? 2 : 1
        func set(_ text: String, _ flag: Int32, _ field: WritableKeyPath<amqp_basic_properties_t, amqp_bytes_t>) {
            guard !text.isEmpty else { return }
            properties[keyPath: field] = arena.bytes(text)
            flags |= flag
        }
        set(message.messageID, AMQP_BASIC_MESSAGE_ID_FLAG, \.message_id)
        set(message.type, AMQP_BASIC_TYPE_FLAG, \.type)
        set(message.correlationID, AMQP_BASIC_CORRELATION_ID_FLAG, \.correlation_id)
        if !message.headers.isEmpty {
            properties.headers = arena.table(message.headers)
            flags |= AMQP_BASIC_HEADERS_FLAG
        }
        properties._flags = amqp_flags_t(flags)
        try check(
            amqp_basic_publish(
                state,
                channel,
                arena.bytes(exchange),
                arena.bytes(routingKey),
                mandatory ? 1 : 0,
                0,
                &properties,
                arena.bytes(message.body)
            )
        )
    }

    func acknowledge(_ channel: UInt16, _ tag: UInt64) throws(BrokerError) {
        try waitUntilWritable()
        try check(amqp_basic_ack(state, channel, tag, 0))
    }

    func giveBack(_ channel: UInt16, _ tag: UInt64) throws(BrokerError) {
        try waitUntilWritable()
        try check(amqp_basic_nack(state, channel, tag, 0, 1))
    }

    // MARK: Receiving

    /// The next thing that the broker said, without waiting; nil when there is nothing more. Keeps the heartbeats going.
    func nextEvent() throws(BrokerError) -> WireEvent? {
        while true {
            var frame = amqp_frame_t()
            var zero = timeval()
            let status = amqp_simple_wait_frame_noblock(state, &frame, &zero)
            if status == AMQP_STATUS_TIMEOUT.rawValue {
                amqp_maybe_release_buffers(state)
                return nil
            }
            try check(status)
            do {
                let event = try assembler.take(frame)
                // What a frame held has been copied out.
                amqp_maybe_release_buffers(state)
                if let event { return event }
            } catch {
                isBroken = true
                throw error
            }
        }
    }

    /// Waits until the broker has said something, for callers without a loop of their own.
    func waitUntilReadable(milliseconds: Int32) {
        guard amqp_data_in_buffer(state) == 0, amqp_frames_enqueued(state) == 0 else { return }
        var descriptor = pollfd(fd: fileDescriptor, events: Int16(POLLIN), revents: 0)
        _ = poll(&descriptor, 1, milliseconds)
    }

    // MARK: Errors

    /// A broker that is short of memory stops reading; then it is better to start again than to wait in a write that has no time limit. The
    /// library's sockets never block, so SO_SNDTIMEO would not end such a write.
    private func waitUntilWritable() throws(BrokerError) {
        var descriptor = pollfd(fd: fileDescriptor, events: Int16(POLLOUT), revents: 0)
        var ready: Int32
        // A signal that this thread handles says nothing about the broker.
        repeat { ready = poll(&descriptor, 1, 5_000) } while ready < 0 && errno == EINTR
        guard ready == 1 else {
            isBroken = true
            throw BrokerError(.timeout, message: "the broker does not take what is written")
        }
    }

    private func check(_ status: Int32) throws(BrokerError) {
        guard status != AMQP_STATUS_OK.rawValue else { return }
        isBroken = true
        throw BrokerError(.connectionLost, message: Self.words(status))
    }

    private func checkLast() throws(BrokerError) {
        try check(amqp_get_rpc_reply(state))
    }

    private func check(_ reply: amqp_rpc_reply_t) throws(BrokerError) {
        switch reply.reply_type {
        case AMQP_RESPONSE_NORMAL:
            return
        case AMQP_RESPONSE_SERVER_EXCEPTION where reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD:
            let close = reply.reply.decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
            throw BrokerError(.refused(replyCode: close.reply_code), message: close.reply_text.text)
        case AMQP_RESPONSE_SERVER_EXCEPTION where reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD:
            isBroken = true
            let close = reply.reply.decoded.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
            throw BrokerError(.refused(replyCode: close.reply_code), message: close.reply_text.text)
        case AMQP_RESPONSE_LIBRARY_EXCEPTION:
            isBroken = true
            throw BrokerError(
                reply.library_error == AMQP_STATUS_TIMEOUT.rawValue ? .timeout : .connectionLost,
                message: Self.words(reply.library_error)
            )
        default:
            isBroken = true
            throw BrokerError(.connectionLost)
        }
    }

    /// Answers a refused request, which closed its channel, and opens the channel again.
    func reopenChannel(_ channel: UInt16) throws(BrokerError) {
        var answer = amqp_channel_close_ok_t()
        try check(amqp_send_method(state, channel, amqp_method_number_t(AMQP_CHANNEL_CLOSE_OK_METHOD), &answer))
        try openChannel(channel)
    }

    private static func words(_ status: Int32) -> String {
        amqp_error_string2(status).map { String(cString: $0) } ?? "error \(status)"
    }
}
