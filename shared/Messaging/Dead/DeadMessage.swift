/// A message that nobody could handle, as an operator sees it.
public struct DeadMessage: Sendable, Hashable {
    /// The event's id, or what the sender put there.
    public let messageID: String
    /// The event type, or what the sender put there.
    public let type: String
    /// Why it is here.
    public let reason: String
    /// When it came here, in the wire form of times; empty when the broker moved it.
    public let movedAt: String
    /// How many tries it had.
    public let attempts: Int
    /// The message itself.
    public let body: [UInt8]
}

/// How many messages a dead queue holds.
public struct DeadQueueSummary: Sendable, Hashable {
    /// The queue that they came from.
    public let queue: String
    /// How many.
    public let count: Int

    /// Both.
    public init(queue: String, count: Int) {
        self.queue = queue
        self.count = count
    }
}
