/// What went wrong with a statement or a connection.
///
/// `description` says the kind and nothing of the data, so that it may end up anywhere; the server's words are in `debugDescription`, which
/// is for logs.
public struct PostgresError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// The kinds that a caller may want to tell apart.
    public enum Code: Sendable, Hashable {
        /// The server refused the statement, with its five-character state.
        case server(sqlState: String)
        /// The connection could not be made.
        case cannotConnect
        /// The connection was lost with the statement on its way: whether it took effect is not known.
        case connectionLost
        /// No connection came free in time: the caller should answer 503.
        case poolExhausted
        /// The statement took longer than it may.
        case timeout
        /// A column does not hold what was asked for.
        case decoding
        /// The connection or pool was used in a way that it does not allow.
        case misuse
        /// A migration cannot be applied.
        case migration
        /// The pool or connection has been closed.
        case closed
    }

    /// The kind.
    public let code: Code
    /// The constraint that a server error names.
    public let constraint: String?
    private let message: String

    /// An error of this kind with words for the log.
    public init(_ code: Code, message: String = "", constraint: String? = nil) {
        self.code = code
        self.message = message
        self.constraint = constraint
    }

    /// The server's five-character state, if the server refused the statement.
    public var sqlState: String? {
        if case .server(let state) = code { state } else { nil }
    }

    /// Whether a unique constraint (that one, if named) was violated.
    public func isUniqueViolation(of constraint: String? = nil) -> Bool {
        sqlState == "23505" && (constraint == nil || constraint == self.constraint)
    }

    /// Whether the same transaction may succeed when tried again.
    public var isRetryable: Bool { sqlState == "40001" || sqlState == "40P01" || isStalePlan }

    /// Whether the prepared statement is gone, or made for tables that have changed since.
    var isStalePlan: Bool { sqlState == "26000" || (sqlState == "0A000" && message.contains("cached plan")) }

    /// Whether the server or the way to it is at fault rather than the statement.
    public var isUnavailable: Bool {
        switch code {
        case .cannotConnect, .connectionLost, .poolExhausted, .closed: true
        case .server(let state): state.hasPrefix("57P") || state.hasPrefix("53") || state.hasPrefix("08")
        default: false
        }
    }

    /// Whether the same may work in a while: the server is away, or too busy to have ended in time.
    public var isPassing: Bool { isUnavailable || code == .timeout }

    /// Whether the server refused a value or a row (SQLSTATE classes 22 and 23) rather than the moment.
    public var isRefusalOfData: Bool { sqlState.map { $0.hasPrefix("22") || $0.hasPrefix("23") } ?? false }

    /// The kind, without data.
    public var description: String {
        switch code {
        case .server(let state): "the database refused a statement (\(state))"
        case .cannotConnect: "the database cannot be reached"
        case .connectionLost: "the connection to the database was lost"
        case .poolExhausted: "no database connection came free in time"
        case .timeout: "a statement took too long"
        case .decoding: "a database column did not hold what was expected"
        case .misuse: "a database connection was misused"
        case .migration: "a migration cannot be applied: \(message)"
        case .closed: "the database connection is closed"
        }
    }

    /// The kind with the server's words: for logs only.
    public var debugDescription: String {
        let named = constraint.map { ", constraint \($0)" } ?? ""
        return message.isEmpty ? description + named : "\(description): \(message)\(named)"
    }
}
