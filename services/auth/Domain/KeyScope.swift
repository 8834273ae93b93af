import Contracts

/// One thing that an API key may do.
enum KeyScope: Sendable, Hashable, CustomStringConvertible {
    /// Read the predictions of every signal that the account is entitled to.
    case readPredictions
    /// Read the predictions of one signal.
    case readPredictionsOf(SignalID)
    case readBars
    case writeSignals
    case writeJobs

    /// The scope in its written form; nil when there is no such scope.
    init?(_ text: String) {
        switch text {
        case "predictions:read": self = .readPredictions
        case "bars:read": self = .readBars
        case "signals:write": self = .writeSignals
        case "jobs:write": self = .writeJobs
        default:
            let marker = "predictions:read:"
            guard text.hasPrefix(marker), let signal = SignalID(String(text.dropFirst(marker.count))) else { return nil }
            self = .readPredictionsOf(signal)
        }
    }

    var description: String {
        switch self {
        case .readPredictions: "predictions:read"
        case .readPredictionsOf(let signal): "predictions:read:\(signal)"
        case .readBars: "bars:read"
        case .writeSignals: "signals:write"
        case .writeJobs: "jobs:write"
        }
    }

    /// Whether a holder of these roles may have a key with the scope.
    func isAllowed(for roles: [Role]) -> Bool {
        switch self {
        case .readPredictions, .readPredictionsOf, .readBars: true
        case .writeSignals, .writeJobs: roles.contains(.provider) || roles.contains(.admin)
        }
    }

    static let maximumPerKey = 32

    /// The scopes of a new key, each once and sorted, refused by their place in the list.
    static func parse(_ texts: [String], roles: [Role]) throws(AuthError) -> [String] {
        guard (1...maximumPerKey).contains(texts.count) else {
            throw .invalid(field: "scopes", code: "invalid_value", detail: "A key has 1 to \(maximumPerKey) scopes.")
        }
        var scopes: Set<KeyScope> = []
        for (index, text) in texts.enumerated() {
            guard let scope = KeyScope(text) else {
                throw .invalid(
                    field: "scopes[\(index)]",
                    code: "unknown_scope",
                    detail: "Scopes: predictions:read, predictions:read:<signal id>, bars:read, signals:write, jobs:write."
                )
            }
            guard scope.isAllowed(for: roles) else { throw .scopeNotAllowed(scope.description) }
            scopes.insert(scope)
        }
        return scopes.map(\.description).sorted()
    }
}
