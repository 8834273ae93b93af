import Contracts
import Cryptography
import Schedules

/// Names a backfill.
enum BackfillTag {}
typealias BackfillID = ID<BackfillTag>

/// Runs of a schedule's past due times, with what was known then. They are for the author's eyes: nothing of them is recorded, scored or sold.
struct Backfill: Sendable, Hashable {
    enum State: String, Sendable, Hashable {
        case open, completed, cancelled
    }

    /// What becomes of a due time while an earlier run of the same backfill has not ended. Live runs mind no backfill, and no backfill them.
    enum Overlap: String, Sendable, Hashable, Codable, CaseIterable {
        /// One after the other.
        case sequential
        /// Several at once.
        case allowAll = "allow_all"

        /// How many runs may be open at once: what waits for them does so here and not in the ledger of jobs.
        var openAtOnce: Int { self == .sequential ? 1 : 8 }
    }

    let id: BackfillID
    var state: State
    let scheduleID: ScheduleID
    let accountID: AccountID
    /// The version that was live when it was asked for.
    let publication: SignalPublished
    /// The first due time.
    let from: Timestamp
    /// The last due time.
    let to: Timestamp
    let overlap: Overlap
    let dueCount: Int
    /// Every due time up to here has its run.
    var cursor: Timestamp
    var completed = 0
    var failed = 0
    var cancelled = 0
    let createdAt: Timestamp
    var endedAt: Timestamp?

    /// Due times that one backfill has at most.
    static let maximumDueTimes = 10_000
    /// How far back due times are looked for, fifty years: no bar is older, and a grid is walked day by day on the loop that serves.
    static let reach = Duration.seconds(50 * 366 * 86_400)
    /// Backfills that an account has open at most.
    static let maximumOpen = 4

    /// The job of one due time.
    func job(at due: Timestamp) throws -> NewJob {
        let spec = SignalRunSpec(
            signalID: publication.signalID,
            versionID: publication.versionID,
            versionSHA256: publication.versionSHA256,
            files: publication.files,
            manifest: publication.manifest,
            occurrenceID: nil,
            dueAt: due,
            asOf: due,
            feed: .backfill
        )
        let json = try WireJSON.value(of: spec)
        return NewJob(
            accountID: accountID,
            kind: .backfillRun,
            resourceClass: publication.manifest.class,
            priority: .low,
            spec: json,
            inputSHA256: SHA256.digest(WireJSON.encode(json)),
            idempotencyKey: "\(id)/\(due.iso8601)"
        )
    }
}

extension Backfill {
    /// Why a range cannot be run, as its sender gets to read it.
    enum Refusal: Error, Sendable, Hashable {
        case notAGrid
        case nothingDue
        case tooMany
        case notPast
        case backwards
    }

    /// A backfill of the due times in `[from, to]`.
    static func planned(
        _ schedule: Schedule,
        publication: SignalPublished,
        from: Timestamp,
        to: Timestamp,
        overlap: Overlap,
        now: Timestamp
    ) throws(Refusal) -> Backfill {
        guard from <= to else { throw .backwards }
        guard to <= now else { throw .notPast }
        // The grid without bounds: a policy says when it runs live, and the past before a start is what a backfill is for.
        guard let grid = try? ScheduleGrid(publication.manifest.schedule) else { throw .notAGrid }
        switch grid {
        case .interval, .cron: break
        // Which bars closed, and when a market was open long ago, is not known here; what is kept of sessions goes back five weeks.
        default: throw .notAGrid
        }
        let before = max(from, now - reach) - .microseconds(1)
        let count = grid.count(after: before, through: to, most: maximumDueTimes + 1)
        guard count <= maximumDueTimes else { throw .tooMany }
        guard count > 0, let first = grid.next(after: before), let last = grid.last(after: before, through: to) else { throw .nothingDue }
        return Backfill(
            id: .make(),
            state: .open,
            scheduleID: schedule.id,
            accountID: schedule.accountID,
            publication: publication,
            from: first,
            to: last,
            overlap: overlap,
            dueCount: count,
            cursor: before,
            createdAt: now
        )
    }

    /// The next due times that get a run while `open` earlier ones have not ended.
    func nextSlice(open: Int) throws -> [Timestamp] {
        let room = overlap.openAtOnce - open
        guard state == .open, room > 0 else { return [] }
        return try ScheduleGrid(publication.manifest.schedule).points(after: cursor, through: to, limit: room)
    }
}

/// A run of a backfill.
struct BackfillRun: Sendable, Hashable {
    enum State: String, Sendable, Hashable {
        case open, completed, failed, cancelled
    }

    let dueAt: Timestamp
    let jobID: JobID
    let state: State
}
