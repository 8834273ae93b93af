/// What can go wrong with Redis. Whoever uses it goes on without: slower, never wrong.
public enum RedisError: Error, Sendable, Hashable, CustomStringConvertible {
    /// Redis is away, or did not answer in time.
    case unavailable
    /// Redis refused a command; the text is its own and holds no values of ours.
    case refused(String)
    /// The URL is not one of Redis.
    case badURL
    /// The answer is not of the kind that the command gives.
    case unexpectedAnswer

    /// The error in a line.
    public var description: String {
        switch self {
        case .unavailable: "Redis is away"
        case .refused(let text): "Redis refused a command: \(text)"
        case .badURL: "expected redis://[user:password@]host[:port][/database]"
        case .unexpectedAnswer: "Redis answered with something else than the command gives"
        }
    }
}
