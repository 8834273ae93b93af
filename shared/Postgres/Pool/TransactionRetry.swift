/// How often and after what pause a transaction is tried again: 5, 10, 20, 40 ms with jitter, so that two that collided part.
struct TransactionRetry {
    private(set) var attempts = 0
    static let maximumAttempts = 5

    /// The pause before the next attempt; `nil` when there is none.
    mutating func next(random: Double = .random(in: 0.5...1.5)) -> Duration? {
        attempts += 1
        guard attempts < Self.maximumAttempts else { return nil }
        return .milliseconds(5 << (attempts - 1)) * random
    }
}
