internal import Contracts

/// Why a message that reads like an event is not believed.
struct ForgedEnvelope: Error, CustomStringConvertible {
    let description: String
}

extension Envelope {
    /// Reads an event and checks that its sender was allowed to say it.
    ///
    /// The broker lets a service publish under its own name only, and looks at nothing but the routing key: so type and producer must agree with it.
    init(received bytes: [UInt8], routingKey: String?) throws {
        try self.init(decoding: bytes)
        if let routingKey, routingKey != type { throw ForgedEnvelope(description: "it came as \(routingKey) and says that it is \(type)") }
        guard type.hasPrefix(producer + ".") else { throw ForgedEnvelope(description: "\(producer) cannot say \(type)") }
    }
}
