import Contracts
import Cryptography
import FoundationEssentials

/// What went wrong, the worst last: when several things are said of one due time the worst counts.
enum TroubleKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// The schedule was paused when it was due.
    case paused
    /// It was run after its time.
    case late
    /// It was not run at all.
    case missed
    /// The run failed.
    case failed
    /// The run ended, but its rows were refused.
    case rejected

    var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
}

/// What is known of one due time that went wrong.
///
/// Several events tell of it, doubled and in any order. What two of them say together does not depend on which came first: ``merged(with:)`` is
/// commutative, associative, and takes the same word twice for one.
struct Trouble: Sendable, Hashable {
    /// The due time's row at the scheduler; the job where no schedule asked.
    let id: UUID
    let signalID: SignalID
    var kind: TroubleKind
    var dueAt: Timestamp
    /// The last due time and how many there are, of many that are told of as one.
    var lastDueAt: Timestamp
    var count: Int64
    var failureKind: FailureKind?
    /// Why, in the platform's words.
    var reason: String?
    /// What the code or its run said; for its author alone.
    var message: String?
    var jobID: JobID?

    static let maximumReasonBytes = 1_000
    static let maximumMessageBytes = 2_000

    init(
        id: UUID,
        signalID: SignalID,
        kind: TroubleKind,
        dueAt: Timestamp,
        lastDueAt: Timestamp? = nil,
        count: Int64 = 1,
        failureKind: FailureKind? = nil,
        reason: String? = nil,
        message: String? = nil,
        jobID: JobID? = nil
    ) {
        self.id = id
        self.signalID = signalID
        self.kind = kind
        self.dueAt = dueAt
        self.lastDueAt = lastDueAt ?? dueAt
        self.count = count
        self.failureKind = failureKind
        self.reason = reason.map { FinishedJob.plain($0, maximumBytes: Self.maximumReasonBytes) }
        self.message = message.map { FinishedJob.plain($0, maximumBytes: Self.maximumMessageBytes) }
        self.jobID = jobID
    }

    /// What a due time's outcome says; nothing when nothing went wrong.
    init?(_ event: OccurrenceSettled) {
        let kind: TroubleKind
        switch event.outcome {
        case .failed: kind = .failed
        case .missed: kind = .missed
        case .late: kind = .late
        case .skipped where event.reason == "paused": kind = .paused
        case .fired, .skipped: return nil
        }
        self.init(
            id: event.occurrenceID.uuid,
            signalID: event.signalID,
            kind: kind,
            dueAt: event.dueAt,
            lastDueAt: event.rangeTo,
            count: Int64(max(1, event.dueCount ?? 1)),
            reason: event.reason
        )
    }

    /// What the end of a run says; nothing when it ended well or is not for the record.
    init?(_ event: JobCompleted) {
        guard event.kind == .signalRun, event.outcome != .completed, let summary = event.specSummary else { return nil }
        self.init(
            id: summary.occurrenceID?.uuid ?? event.jobID.uuid,
            signalID: summary.signalID,
            kind: .failed,
            dueAt: summary.dueAt,
            failureKind: event.failureKind,
            message: event.errorMessage
                ?? (event.outcome == .cancelled ? "the run was cancelled" : event.failureKind == nil ? "the run failed" : nil),
            jobID: event.jobID
        )
    }

    /// What the refusal of a run's rows says.
    init(_ event: RunRejected, dueAt: Timestamp) {
        self.init(
            id: event.occurrenceID?.uuid ?? event.jobID.uuid,
            signalID: event.signalID,
            kind: .rejected,
            dueAt: dueAt,
            failureKind: .invalidOutput,
            message: event.row.map { "row \($0): \(event.reason)" } ?? event.reason,
            jobID: event.jobID
        )
    }

    /// What it says of rows that came into the ledger too late to count; nothing when they came in time.
    init?(_ event: RunRecorded, dueAt: Timestamp) {
        guard event.late else { return nil }
        self.init(
            id: event.occurrenceID?.uuid ?? event.jobID.uuid,
            signalID: event.signalID,
            kind: .late,
            dueAt: dueAt,
            reason: "recorded too late to count",
            jobID: event.jobID
        )
    }

    /// Whether only the due time's outcome has been told of a failed run. The end of the run or the refusal of its rows says what it was, and is on
    /// its way: both are said in the transaction that failed the due time, or before it.
    var awaitsItsRun: Bool { kind == .failed && failureKind == nil && message == nil }

    /// What both say together.
    func merged(with other: Trouble) -> Trouble {
        let (worse, milder) = (kind.rank, reason ?? "") >= (other.kind.rank, other.reason ?? "") ? (self, other) : (other, self)
        var merged = worse
        if worse.kind == milder.kind { merged.reason = [worse.reason, milder.reason].compactMap(\.self).max() }
        // A job's end and the outcome of its due time are two words about one thing: each brings what the other lacks.
        merged.failureKind = worse.failureKind ?? milder.failureKind
        merged.message = worse.message ?? milder.message
        merged.jobID = worse.jobID ?? milder.jobID
        merged.lastDueAt = max(worse.lastDueAt, milder.lastDueAt)
        merged.count = max(worse.count, milder.count)
        return merged
    }

    /// What makes troubles of one kind alike: whose fault, and the first line of the words with their numbers taken out.
    var likeness: String {
        // The scheduler says that a run began late, the ledger that its rows came late: one thing to know.
        if kind == .late { return "" }
        let words = (message ?? reason ?? "").split(whereSeparator: \.isNewline).first ?? ""
        var plain = ""
        for character in words.prefix(400) {
            if !character.isASCII || !character.isNumber { plain.append(character) } else if plain.last != "#" { plain.append("#") }
        }
        return SHA256.digest(utf8: "\(failureKind?.rawValue ?? "")\u{0}\(plain)").hex.prefix(utf8Bytes: 24)
    }
}

/// Troubles of one signal that are alike, on one day.
struct Incident: Sendable, Hashable {
    let id: UUID
    let signalID: SignalID
    let kind: TroubleKind
    let failureKind: FailureKind?
    let reason: String?
    let message: String?
    let jobID: JobID?
    let count: Int64
    let readCount: Int64
    let firstDueAt: Timestamp
    let lastDueAt: Timestamp
    let revision: Int64
}
