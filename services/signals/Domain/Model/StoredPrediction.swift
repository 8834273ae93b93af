import Contracts

/// A prediction as it stands in the ledger, with what was found out about it since.
struct StoredPrediction: Sendable, Hashable {
    var statement: PredictionStatement
    var entry: LedgerEntry
    var seal: SealReference?
    var outcome: SettledOutcome?
}

/// The seal that binds a prediction.
struct SealReference: Sendable, Hashable {
    var number: Int64
    var root: SHA256Digest
    var sealedAt: Timestamp
}

/// A realised outcome in the record.
struct SettledOutcome: Sendable, Hashable {
    var realised: RealisedOutcome
    var counts: Bool
    var settledAt: Timestamp
}

/// The end of a signal's chain as the store keeps it.
struct SignalHead: Sendable, Hashable {
    var signalID: SignalID
    var seq: Int64
    var link: SHA256Digest
    var madeAt: Timestamp?
    var sealedSeq: Int64
    /// Changes whenever a subscriber would read something else.
    var revision: Int64
}

/// Which predictions to read, newest first unless `afterSeq` asks for what came after.
struct PredictionQuery: Sendable, Hashable {
    var signalID: SignalID
    /// Only rows with a higher seq, oldest of them first.
    var afterSeq: Int64?
    /// Only rows with a lower seq.
    var beforeSeq: Int64?
    var limit: Int
}

/// A run that ended well and whose rows passed the rules.
struct CompletedRun: Sendable, Hashable {
    var jobID: JobID
    var attemptID: AttemptID?
    var signalID: SignalID
    var versionID: SignalVersionID
    var versionSHA256: SHA256Digest
    var occurrenceID: OccurrenceID?
    var dueAt: Timestamp
    var asOf: Timestamp
    var feed: FeedKind
    var deadlineSeconds: Int
    /// By the symbols of the instruments that the rows speak of.
    var knowledge: [String: MarketKnowledge]
    var envSHA256: SHA256Digest
    var dataSHA256: SHA256Digest
    var referencePrices: [String: DecimalText]
    var rows: [PredictionRow]

    /// The statement of one row, once it is known when it was made.
    func statement(_ row: PredictionRow, madeAt: Timestamp) -> PredictionStatement {
        PredictionStatement(
            signalID: signalID,
            versionSHA256: versionSHA256,
            envSHA256: envSHA256,
            dataSHA256: dataSHA256,
            jobID: jobID,
            row: row,
            dueAt: dueAt,
            asOf: asOf,
            referencePrice: referencePrices[row.instrument],
            feed: feed,
            late: LatenessRule.isLate(
                madeAt: madeAt,
                dueAt: dueAt,
                deadlineSeconds: deadlineSeconds,
                targetFrom: row.targetFrom,
                asOf: asOf,
                feed: feed,
                knowledge: knowledge[row.instrument] ?? .unknown
            )
        )
    }
}

/// A run that left no predictions.
struct EndedRun: Sendable, Hashable {
    enum Outcome: String, Sendable, Hashable { case rejected, failed }

    var jobID: JobID
    var attemptID: AttemptID?
    var signalID: SignalID
    var versionID: SignalVersionID?
    var occurrenceID: OccurrenceID?
    var outcome: Outcome
    var reportedRows: Int
    var badRow: Int?
    var reason: String
    var dueAt: Timestamp?
}

/// What came of recording a run.
struct AppendOutcome: Sendable, Hashable {
    /// False when the run had been recorded (or refused) before.
    var isNew: Bool
    var firstSeq: Int64
    var lastSeq: Int64
    var head: SHA256Digest
    var madeAt: Timestamp
    var late: Bool
}

/// A prediction that waits for its outcome.
struct PendingOutcome: Sendable, Hashable {
    var prediction: StoredPrediction
    var giveUpAt: Timestamp
}
