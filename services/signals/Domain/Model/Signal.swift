import Contracts

/// What a provider offers: a name for a line of versions and for one chain of predictions.
struct Signal: Sendable, Hashable {
    var id: SignalID
    var accountID: AccountID
    var createdBy: UserID
    var name: String
    var description: String
    var state: SignalState
    var publishedVersionID: SignalVersionID?
    /// Of the published version.
    var feed: FeedKind?
    /// Of the published version, or of the newest one.
    var instruments: [String]
    var intervalSeconds: [Int]
    /// Raised by every change; the subject version of the signal's events.
    var version: Int64
    var createdAt: Timestamp
    var updatedAt: Timestamp
    var publishedAt: Timestamp?

    static let nameCharacters = 1...120
    static let descriptionCharacters = 0...10_000

    static func draft(id: SignalID = .make(), accountID: AccountID, createdBy: UserID, name: String, description: String, now: Timestamp) -> Signal {
        Signal(
            id: id,
            accountID: accountID,
            createdBy: createdBy,
            name: name,
            description: description,
            state: .draft,
            instruments: [],
            intervalSeconds: [],
            version: 1,
            createdAt: now,
            updatedAt: now
        )
    }
}

/// What lists are narrowed by.
struct SignalFilter: Sendable, Hashable {
    /// Sees its own signals besides the published ones; nil for a caller without a name.
    var viewer: AccountID?
    /// Only the viewer's own.
    var onlyOwn = false
    var instrument: String?
    var intervalSeconds: Int?
    /// Somewhere in the name or the description, in any letter case.
    var text: String?

    func matches(_ signal: Signal) -> Bool {
        guard signal.state != .deleted else { return false }
        let isOwn = viewer == signal.accountID
        guard isOwn || (signal.state == .published && !onlyOwn) else { return false }
        if let instrument, !signal.instruments.contains(instrument) { return false }
        if let intervalSeconds, !signal.intervalSeconds.contains(intervalSeconds) { return false }
        if let text {
            let wanted = text.lowercased()
            return signal.name.lowercased().contains(wanted) || signal.description.lowercased().contains(wanted)
        }
        return true
    }
}
