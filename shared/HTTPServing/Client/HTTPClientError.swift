internal import Glibc

/// Why a request to another server was not answered.
public enum HTTPClientError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Not an `http://host[:port]/…` URL.
    case badURL(String)
    /// The name has no address.
    case nameNotResolved(String)
    /// No connection; nothing was sent. `code` is the errno.
    case notConnected(host: String, code: Int32)
    /// The deadline passed.
    case timedOut(host: String)
    /// So many requests wait for a connection to this host that one more would be of no use; nothing was sent.
    case tooManyWaiting(host: String)
    /// The connection ended before the answer did.
    case connectionLost(host: String)
    /// The answer is not HTTP/1.1.
    case malformedAnswer(host: String)
    /// The answer is larger than the caller takes.
    case answerTooLarge(maximumBytes: Int)

    /// The error in a line.
    public var description: String {
        switch self {
        case .badURL(let url): "'\(url)' is not an http URL"
        case .nameNotResolved(let name): "the name \(name) has no address"
        case .notConnected(let host, let code): "no connection to \(host): \(String(cString: strerror(code)))"
        case .timedOut(let host): "\(host) did not answer in time"
        case .tooManyWaiting(let host): "too many requests wait for \(host)"
        case .connectionLost(let host): "\(host) hung up before its answer was complete"
        case .malformedAnswer(let host): "\(host) did not answer in HTTP/1.1"
        case .answerTooLarge(let maximumBytes): "the answer has more than \(maximumBytes) bytes"
        }
    }

    /// Whether the same request may be sent once more, here or elsewhere, with a hope of another answer.
    func mayBeRepeated(isIdempotent: Bool) -> Bool {
        switch self {
        case .nameNotResolved, .notConnected, .tooManyWaiting: true
        case .timedOut, .connectionLost: isIdempotent
        case .badURL, .malformedAnswer, .answerTooLarge: false
        }
    }
}
