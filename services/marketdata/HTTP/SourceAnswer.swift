import Contracts

/// A source as clients read it.
struct SourceAnswer: Encodable, Sendable {
    struct Limits: Encodable, Sendable {
        let requestsPerSecond: Int?
        let concurrentRequests: Int?
        let fineHistoryDays: Int?
        let notes: [String]
    }

    struct Health: Encodable, Sendable {
        let state: String
        let detail: String
        let lastAnswerAt: Timestamp?
        let lastFailureAt: Timestamp?
    }

    let id: String
    let name: String
    let configured: Bool
    let licence: String
    let assetClasses: [String]
    let intervals: [String]
    let streams: Bool
    let limits: Limits
    let health: Health

    init(_ source: SourceDescription, _ health: SourceHealth) {
        id = source.id
        name = source.name
        configured = health.state != .notConfigured
        licence = source.licence
        assetClasses = source.assetClasses.map(\.rawValue)
        intervals = source.intervals
        streams = source.streams
        limits = Limits(
            requestsPerSecond: source.limits.requestsPerSecond,
            concurrentRequests: source.limits.concurrentRequests,
            fineHistoryDays: source.limits.fineHistoryDays,
            notes: source.limits.notes
        )
        self.health = Health(
            state: health.state.rawValue,
            detail: health.detail,
            lastAnswerAt: health.lastAnswerAt,
            lastFailureAt: health.lastFailureAt
        )
    }
}

/// All sources.
struct SourcesAnswer: Encodable, Sendable {
    let items: [SourceAnswer]
}
