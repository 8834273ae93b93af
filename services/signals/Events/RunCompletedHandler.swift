import Contracts
import HTTPServing
import Messaging
import Postgres
import ServiceRuntime

/// Hears that a run ended: checks its rows again, and appends all of them to the ledger or none.
struct RunCompletedHandler: EventHandler {
    static let consumerName = "runs"
    static let eventTypes = [JobCompleted.eventType]

    let store: PostgresSignalsStore
    let versions: VersionCache
    let jobs: any JobLedger
    let knowledge: KnowledgeLookup
    let time: any TimeSource
    /// What was found out about the event at hand before its transaction.
    private var found = Found()

    init(store: PostgresSignalsStore, versions: VersionCache, jobs: any JobLedger, knowledge: KnowledgeLookup, time: any TimeSource) {
        self.store = store
        self.versions = versions
        self.jobs = jobs
        self.knowledge = knowledge
        self.time = time
    }

    private struct Found: Sendable {
        /// The event itself, and its rows, are read but once.
        var event: JobCompleted?
        var result = Result.missing
        var rows: SignalRunResult?
        var version: SignalVersion?
        var knowledge: [String: MarketKnowledge] = [:]
    }

    /// Jobs of other kinds end as well, and far more of them.
    func concerns(_ envelope: Envelope) throws -> Bool {
        let event = try envelope.body(as: JobCompleted.self)
        return event.kind == .signalRun && event.specSummary != nil
    }

    func prepared(for envelope: Envelope) async throws -> RunCompletedHandler {
        let event = try envelope.body(as: JobCompleted.self)
        var prepared = self
        prepared.found.event = event
        guard let summary = event.specSummary, event.outcome == .completed else { return prepared }
        prepared.found.result = try await result(of: event)
        guard case .found(let json) = prepared.found.result, let result: SignalRunResult = try? WireJSON.decode(from: json) else { return prepared }
        prepared.found.rows = result
        guard let version = try await versions.version(summary.versionID) else { return prepared }
        prepared.found.version = version
        // Only what the manifest names: a row about anything else will be refused.
        let instruments = Set(result.rows.map(\.instrument)).intersection(version.instruments)
        prepared.found.knowledge = await knowledge.knowledge(of: instruments, asOf: summary.asOf, feed: summary.feed)
        return prepared
    }

    func handle(_ envelope: Envelope, on connection: PostgresConnection) async throws -> HandlerOutcome {
        let event = try found.event ?? envelope.body(as: JobCompleted.self)
        guard let summary = event.specSummary else { return .done }
        let outcome = try await apply(event, summary, to: store.on(connection))
        if outcome == .done, let trouble = Trouble(event) { try await IncidentStore.note(trouble, on: connection) }
        return outcome
    }

    /// The rules, on any store.
    func apply(_ event: JobCompleted, _ summary: JobSpecSummary, to store: any SignalsStore) async throws -> HandlerOutcome {
        guard event.outcome == .completed else {
            let reason = event.errorMessage ?? event.failureKind?.rawValue ?? event.outcome.rawValue
            _ = try await store.record(ended(event, summary, .failed, rows: 0, row: nil, reason: reason), now: time.now())
            return .done
        }
        // Backfills have a kind of their own that nobody here hears; what says of itself that it is one has no place in a record, whatever its kind.
        if summary.feed == .backfill {
            return try await reject(event, summary, rows: 0, RowFault(row: nil, reason: "a backfill is never recorded"), store)
        }
        let json: JSONValue
        switch found.result {
        case .found(let found): json = found
        case .away(let reason): return .dependencyAway(reason: reason)
        case .missing: return .retry(reason: "the result is not in the scheduler's store")
        }
        let result: SignalRunResult
        do {
            result = try found.rows ?? WireJSON.decode(from: json)
        } catch let error as DecodingError {
            return try await reject(
                event,
                summary,
                rows: 0,
                RowFault(row: nil, reason: "the result does not have the form of a run's: \(error.wirePath)"),
                store
            )
        }
        guard let version = found.version, version.signalID == summary.signalID, version.sha256 == summary.versionSHA256 else {
            return try await reject(
                event,
                summary,
                rows: result.rows.count,
                RowFault(row: nil, reason: "the version that ran is not one of this signal"),
                store
            )
        }
        if let fault = RowRules.firstFault(rows: result.rows, manifest: version.manifest, asOf: summary.asOf, feed: summary.feed) {
            return try await reject(event, summary, rows: result.rows.count, fault, store)
        }
        _ = try await store.append(completed(event, summary, result, version))
        return .done
    }

    private enum Result: Sendable {
        case found(JSONValue)
        case away(String)
        case missing
    }

    private func result(of event: JobCompleted) async throws -> Result {
        if let result = event.result { return .found(result) }
        guard let sha256 = event.resultSHA256 else { return .found(.null) }
        do {
            guard let bytes = try await jobs.result(sha256) else { return .missing }
            return .found(try WireJSON.parse(bytes))
        } catch let error as ServiceClientError where error.isPassing {
            return .away(error.description)
        }
    }

    private func completed(_ event: JobCompleted, _ summary: JobSpecSummary, _ result: SignalRunResult, _ version: SignalVersion) -> CompletedRun {
        CompletedRun(
            jobID: event.jobID,
            attemptID: event.attemptID,
            signalID: summary.signalID,
            versionID: version.id,
            versionSHA256: version.sha256,
            occurrenceID: summary.occurrenceID,
            dueAt: summary.dueAt,
            asOf: summary.asOf,
            feed: summary.feed,
            deadlineSeconds: version.manifest.deadlineSeconds,
            knowledge: found.knowledge,
            envSHA256: result.envSHA256,
            dataSHA256: result.dataSHA256,
            referencePrices: result.referencePrices.mapValues(\.value),
            rows: result.rows
        )
    }

    private func reject(_ event: JobCompleted, _ summary: JobSpecSummary, rows: Int, _ fault: RowFault, _ store: any SignalsStore) async throws
        -> HandlerOutcome
    {
        _ = try await store.record(ended(event, summary, .rejected, rows: rows, row: fault.row, reason: fault.reason), now: time.now())
        return .done
    }

    private func ended(_ event: JobCompleted, _ summary: JobSpecSummary, _ outcome: EndedRun.Outcome, rows: Int, row: Int?, reason: String)
        -> EndedRun
    {
        // A NUL, which a stranger's code may well print, is the one character that Postgres cannot keep.
        let reason = String(reason.prefix(1_000)).replacing("\0", with: "")
        return EndedRun(
            jobID: event.jobID,
            attemptID: event.attemptID,
            signalID: summary.signalID,
            versionID: summary.versionID,
            occurrenceID: summary.occurrenceID,
            outcome: outcome,
            reportedRows: rows,
            badRow: row,
            reason: reason,
            dueAt: summary.dueAt
        )
    }
}

extension DecodingError {
    /// Where the fault is, in the names of the wire.
    var wirePath: String {
        let context: Context
        switch self {
        case .typeMismatch(_, let found), .valueNotFound(_, let found), .keyNotFound(_, let found), .dataCorrupted(let found): context = found
        @unknown default: return "an unknown place"
        }
        let path = context.codingPath.map { key in key.intValue.map { "[\($0)]" } ?? key.stringValue }.joined(separator: ".")
        return "\(path.isEmpty ? "the whole" : path): \(context.debugDescription)"
    }
}
