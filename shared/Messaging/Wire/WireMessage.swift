/// A message with the properties that we use.
struct WireMessage: Sendable {
    var body: [UInt8]
    var messageID = ""
    var type = ""
    var correlationID = ""
    var headers: [String: HeaderValue] = [:]
    /// Survives a restart of the broker.
    var isPersistent = true
}

/// A message that the broker handed to a consumer.
struct WireDelivery: Sendable {
    let channel: UInt16
    let consumerTag: String
    let deliveryTag: UInt64
    let redelivered: Bool
    let exchange: String
    let routingKey: String
    var message: WireMessage
}

/// What the broker says without having been asked.
enum WireEvent: Sendable {
    case delivery(WireDelivery)
    case acknowledged(channel: UInt16, tag: UInt64, multiple: Bool)
    case refused(channel: UInt16, tag: UInt64, multiple: Bool)
    case returned(messageID: String, reason: String)
    case consumerCancelled(tag: String)
}
