/// A message on its way to an exchange.
struct OutgoingMessage: Sendable {
    var exchange: String
    var routingKey: String
    var message: WireMessage
    /// A message that no queue wants comes back instead of vanishing.
    var isMandatory = true
}

/// What became of a message that was published.
enum PublishOutcome: Sendable {
    /// The broker has it safe.
    case confirmed
    /// No queue wanted it.
    case unroutable(reason: String)
    /// The broker refused it, or nobody knows; publishing it again is harmless, consumers tell doubles by their id.
    case failed(BrokerError)

    var error: BrokerError? {
        switch self {
        case .confirmed: nil
        case .unroutable(let reason): BrokerError(.unroutable, message: reason)
        case .failed(let error): error
        }
    }
}
