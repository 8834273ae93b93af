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
        failureKind: FailureKind? = nil,
        reason: String? = nil,
        message: String? = nil,
        jobID: JobID? = nil
    ) {
        self.id = id
        self.signalID = signalID
        self.kind = kind
        self.dueAt = dueAt
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
        self.init(id: event.occurrenceID.uuid, signalID: event.signalID, kind: kind, dueAt: event.dueAt, reason: event.reason)
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
            message: event.errorMessage ?? (event.outcome == .cancelled ? "the run was cancelled" : nil),
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

    /// What both say together.
    func merged(with other: Trouble) -> Trouble {
        let (worse, milder) = (kind.rank, reason ?? "") >= (other.kind.rank, other.reason ?? "") ? (self, other) : (other, self)
        var merged = worse
        if worse.kind == milder.kind { merged.reason = [worse.reason, milder.reason].compactMap(\.self).max() }
        // A job's end and the outcome of its due time are two words about one thing: each brings what the other lacks.
        merged.failureKind = worse.failureKind ?? milder.failureKind
        merged.message = worse.message ?? milder.message
        merged.jobID = worse.jobID ?? milder.jobID
        return merged
    }

    /// What makes troubles of one kind alike: whose fault, and the first line of the words with their numbers taken out.
    var likeness: String {
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
