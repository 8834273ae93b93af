internal import Glibc

/// Why a connection of lines ended, or never began.
public enum LineConnectionError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The name has no address.
    case nameNotResolved(String)
    /// No connection; `code` is the errno.
    case notConnected(peer: String, code: Int32)
    /// Not a whole line came for so long.
    case silent(peer: String, after: Duration)
    /// The peer ended the connection in the middle of a line.
    case cutMidLine(peer: String)
    /// The system ended the connection; `code` is the errno.
    case lost(peer: String, code: Int32)
    /// A line is longer than is taken.
    case lineTooLong(peer: String, maximumBytes: Int)
    /// The peer does not take what is sent to it.
    case peerDoesNotRead(peer: String)
    /// What was to be sent is not one line.
    case notOneLine
    /// It was closed on this side.
    case closed

    /// The error in a line.
    public var description: String {
        switch self {
        case .nameNotResolved(let name): "the name \(name) has no address"
        case .notConnected(let peer, let code): "no connection to \(peer): \(String(cString: strerror(code)))"
        case .silent(let peer, let limit): "\(peer) has been silent for \(limit)"
        case .cutMidLine(let peer): "\(peer) hung up in the middle of a line"
        case .lost(let peer, let code): "the connection to \(peer) was lost: \(String(cString: strerror(code)))"
        case .lineTooLong(let peer, let maximumBytes): "\(peer) sent a line of more than \(maximumBytes) bytes"
        case .peerDoesNotRead(let peer): "\(peer) does not read what is sent to it"
        case .notOneLine: "what was to be sent is not one line"
        case .closed: "the connection is closed"
        }
    }
}
