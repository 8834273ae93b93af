import Contracts

/// Whether a signal is a draft, for all to see, or withdrawn.
enum SignalState: String, Sendable, Hashable, Codable, CaseIterable {
    case draft
    case published
    /// Was published; its record stays.
    case unpublished
    /// Gone, but for its ledger and for those who are subscribed.
    case deleted
}

/// Who asks, as far as the rules here care.
struct Caller: Sendable, Hashable {
    var accountID: AccountID
    var roles: Set<String>
    /// Nil for a person's own session; an API key may do only what its scopes say.
    var scopes: Set<String>?

    var isAdmin: Bool { scopes == nil && roles.contains("admin") }

    /// Whether the caller's credential reaches this scope, for all signals or for this one.
    func has(scope: String, signalID: SignalID? = nil) -> Bool {
        guard let scopes else { return true }
        if scopes.contains(scope) { return true }
        guard let signalID else { return false }
        return scopes.contains("\(scope):\(signalID)")
    }

    /// The signals that a key names one by one; nil when it may read all.
    func signals(named scope: String) -> Set<SignalID>? {
        guard let scopes, !scopes.contains(scope) else { return nil }
        let prefix = scope + ":"
        return Set(scopes.compactMap { $0.hasPrefix(prefix) ? SignalID(String($0.dropFirst(prefix.count))) : nil })
    }

    func owns(_ owner: AccountID) -> Bool { owner == accountID }
}

/// The scopes that signals asks for.
enum Scope {
    static let readPredictions = "predictions:read"
    static let writeSignals = "signals:write"
}

/// The roles that signals asks for.
enum Role {
    static let provider = "provider"
    static let subscriber = "subscriber"
    static let admin = "admin"
}

/// May this caller read this signal's predictions?
enum Entitlement: Sendable, Hashable {
    case granted
    /// The caller may not know that the signal exists: 404.
    case hidden
    /// Listed, but the key does not reach it: 403 `insufficient_scope`.
    case insufficientScope
    /// Listed, but not subscribed (any more): 403 `not_subscribed`.
    case notSubscribed

    static func toPredictions(signalID: SignalID, owner: AccountID, state: SignalState, caller: Caller, isSubscribed: Bool) -> Entitlement {
        // Whoever followed a signal goes on reading its record when it is withdrawn; its owner and the administrators read it always.
        guard state == .published || isSubscribed || caller.owns(owner) || caller.isAdmin else { return .hidden }
        guard caller.has(scope: Scope.readPredictions, signalID: signalID) else { return .insufficientScope }
        return caller.owns(owner) || caller.isAdmin || isSubscribed ? .granted : .notSubscribed
    }

    /// Links and roots of whatever was recorded are everybody's, for ever: who withdraws a signal must not take its record away.
    static func mayVerify(owner: AccountID, state: SignalState, hasRows: Bool, caller: Caller?) -> Bool {
        hasRows || isVisible(owner: owner, state: state, to: caller)
    }

    /// Published signals are there for all; everything else is there for its owner and the administrators.
    static func isVisible(owner: AccountID, state: SignalState, to caller: Caller?) -> Bool {
        switch state {
        case .published: true
        case .draft, .unpublished: caller.map { $0.owns(owner) || $0.isAdmin } ?? false
        case .deleted: false
        }
    }
}
