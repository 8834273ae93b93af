internal import CRabbitMQ

/// Joins the method, header and body frames of a message, frame by frame, so that half a message never makes the thread wait.
struct FrameAssembler {
    private enum Head {
        case delivery(WireDelivery)
        case returned(reason: String)
    }

    private struct Partial {
        var head: Head
        var message = WireMessage(body: [])
        var missing: UInt64?
    }

    private var partials: [UInt16: Partial] = [:]

    /// Takes a frame; gives what it completes. Throws when the broker ends the channel or the connection.
    mutating func take(_ frame: amqp_frame_t) throws(BrokerError) -> WireEvent? {
        switch UInt32(frame.frame_type) {
        case UInt32(AMQP_FRAME_METHOD): return try takeMethod(frame.payload.method, channel: frame.channel)
        case UInt32(AMQP_FRAME_HEADER):
            guard var partial = partials[frame.channel] else { return nil }
            partial.missing = frame.payload.properties.body_size
            if let properties = frame.payload.properties.decoded?.assumingMemoryBound(to: amqp_basic_properties_t.self) {
                partial.message = WireMessage(properties: properties.pointee)
            }
            return finish(partial, channel: frame.channel)
        case UInt32(AMQP_FRAME_BODY):
            guard var partial = partials[frame.channel], let missing = partial.missing else { return nil }
            let fragment = frame.payload.body_fragment
            partial.message.body.append(contentsOf: fragment.array)
            partial.missing = missing - min(missing, UInt64(fragment.len))
            return finish(partial, channel: frame.channel)
        default: return nil
        }
    }

    private mutating func finish(_ partial: Partial, channel: UInt16) -> WireEvent? {
        guard partial.missing == 0 else {
            partials[channel] = partial
            return nil
        }
        partials[channel] = nil
        switch partial.head {
        case .delivery(var delivery):
            delivery.message = partial.message
            return .delivery(delivery)
        case .returned(let reason):
            return .returned(messageID: partial.message.messageID, reason: reason)
        }
    }

    private mutating func takeMethod(_ method: amqp_method_t, channel: UInt16) throws(BrokerError) -> WireEvent? {
        switch method.id {
        case AMQP_BASIC_DELIVER_METHOD:
            let deliver = method.decoded.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee
            let delivery = WireDelivery(
                channel: channel,
                consumerTag: deliver.consumer_tag.text,
                deliveryTag: deliver.delivery_tag,
                redelivered: deliver.redelivered != 0,
                exchange: deliver.exchange.text,
                routingKey: deliver.routing_key.text,
                message: WireMessage(body: [])
            )
            partials[channel] = Partial(head: .delivery(delivery))
            return nil
        case AMQP_BASIC_RETURN_METHOD:
            let returned = method.decoded.assumingMemoryBound(to: amqp_basic_return_t.self).pointee
            partials[channel] = Partial(head: .returned(reason: "\(returned.reply_code) \(returned.reply_text.text)"))
            return nil
        case AMQP_BASIC_ACK_METHOD:
            let ack = method.decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
            return .acknowledged(channel: channel, tag: ack.delivery_tag, multiple: ack.multiple != 0)
        case AMQP_BASIC_NACK_METHOD:
            let nack = method.decoded.assumingMemoryBound(to: amqp_basic_nack_t.self).pointee
            return .refused(channel: channel, tag: nack.delivery_tag, multiple: nack.multiple != 0)
        case AMQP_BASIC_CANCEL_METHOD:
            return .consumerCancelled(tag: method.decoded.assumingMemoryBound(to: amqp_basic_cancel_t.self).pointee.consumer_tag.text)
        case AMQP_CHANNEL_CLOSE_METHOD:
            let close = method.decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
            throw BrokerError(.refused(replyCode: close.reply_code), message: "channel closed: \(close.reply_text.text)")
        case AMQP_CONNECTION_CLOSE_METHOD:
            let close = method.decoded.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
            throw BrokerError(.connectionLost, message: "the broker closed it: \(close.reply_code) \(close.reply_text.text)")
        default:
            return nil
        }
    }
}

extension WireMessage {
    init(properties: amqp_basic_properties_t) {
        func has(_ flag: Int32) -> Bool { properties._flags & UInt32(flag) != 0 }
        self.init(body: [])
        if has(AMQP_BASIC_MESSAGE_ID_FLAG) { messageID = properties.message_id.text }
        if has(AMQP_BASIC_TYPE_FLAG) { type = properties.type.text }
        if has(AMQP_BASIC_CORRELATION_ID_FLAG) { correlationID = properties.correlation_id.text }
        if has(AMQP_BASIC_HEADERS_FLAG) { headers = properties.headers.headers }
        isPersistent = has(AMQP_BASIC_DELIVERY_MODE_FLAG) && properties.delivery_mode == 2
    }
}
