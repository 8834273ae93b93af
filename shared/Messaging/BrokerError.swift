/// Why the broker did not do what was asked.
public struct BrokerError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The kinds that a caller may want to tell apart.
    public enum Code: Sendable, Hashable {
        /// The URL is not one of a broker.
        case invalidURL
        /// There is no connection just now; one is being made.
        case unavailable
        /// The connection was lost: whether the broker took what was on its way is not known.
        case connectionLost
        /// The broker refused, with its reply code (403 access, 404 not found, 406 other arguments).
        case refused(replyCode: UInt16)
        /// No queue wanted the message.
        case unroutable
        /// The broker did not answer in time.
        case timeout
        /// It has been stopped.
        case stopped
    }

    /// The kind.
    public let code: Code
    private let message: String

    /// An error of this kind with words for the log.
    public init(_ code: Code, message: String = "") {
        self.code = code
        self.message = message
    }

    /// The kind, without names of hosts or users.
    public var description: String {
        switch code {
        case .invalidURL: "the broker's URL is not usable: \(message)"
        case .unavailable: "there is no connection to the broker"
        case .connectionLost: "the connection to the broker was lost"
        case .refused(let replyCode): "the broker refused (\(replyCode))"
        case .unroutable: "no queue wanted the message"
        case .timeout: "the broker did not answer in time"
        case .stopped: "the connection to the broker has been closed"
        }
    }

    /// The kind with the broker's words: for logs only.
    public var debugDescription: String { message.isEmpty ? description : "\(description): \(message)" }
}
