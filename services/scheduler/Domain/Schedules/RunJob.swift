import Contracts
import Cryptography

/// The job that runs a signal for a due time.
enum RunJob {
    /// Runs of live signals go before what people wait for less impatiently.
    static let priority = Priority.high

    /// - Parameters:
    ///   - availableAt: when it may be claimed; nil is at once.
    ///   - others: runs that have to end first, however they end.
    static func make(
        _ occurrence: Occurrence,
        of publication: SignalPublished,
        availableAt: Timestamp? = nil,
        after others: [JobID] = [],
        traceparent: String?
    ) throws -> NewJob {
        let spec = SignalRunSpec(
            signalID: publication.signalID,
            versionID: publication.versionID,
            versionSHA256: publication.versionSHA256,
            files: publication.files,
            manifest: publication.manifest,
            occurrenceID: occurrence.id,
            dueAt: occurrence.dueAt,
            asOf: occurrence.asOf,
            feed: publication.feed
        )
        let json = try WireJSON.value(of: spec)
        return NewJob(
            id: occurrence.jobID ?? .make(),
            accountID: publication.accountID,
            kind: .signalRun,
            resourceClass: .signal,
            priority: priority,
            spec: json,
            inputSHA256: SHA256.digest(WireJSON.encode(json)),
            idempotencyKey: occurrence.id.description,
            availableAt: availableAt,
            scheduleID: occurrence.scheduleID,
            occurrenceID: occurrence.id,
            traceparent: traceparent,
            waitsFor: others.map { JobDependency(on: $0, condition: .ended) }
        )
    }
}
