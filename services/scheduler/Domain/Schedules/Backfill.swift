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
    /// Whether its due times are written down, because they come from a market and not from the clock alone.
    var isListed = false
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
        case nothingDue
        case tooMany
        case notPast
        case backwards
        /// A bar of a replay is known when it was released, and not at its end: at the due times of its bars nothing of them was known.
        case replay(String)
        case unknownInstrument(String)
        /// In the words of the service that knows the market's past.
        case refused(code: String, detail: String)
        /// The service that knows the market's past does not say.
        case marketAway
    }

    /// A backfill of the due times in `[from, to]`, with those that a market gave: nil where the grid alone says them.
    static func planned(
        _ schedule: Schedule,
        publication: SignalPublished,
        from: Timestamp,
        to: Timestamp,
        overlap: Overlap,
        now: Timestamp,
        dueTimes: [Timestamp]? = nil
    ) throws(Refusal) -> Backfill {
        try check(from: from, to: to, now: now)
        let before = start(from, now: now)
        let (count, first, last) =
            if let dueTimes {
                (dueTimes.count, dueTimes.first, dueTimes.last)
            } else if case .grid(let grid) = try PastClock(publication) {
                (
                    grid.count(after: before, through: to, most: maximumDueTimes + 1), grid.next(after: before),
                    grid.last(after: before, through: to)
                )
            } else {
                (0, nil, nil)
            }
        guard count <= maximumDueTimes else { throw .tooMany }
        guard count > 0, let first, let last else { throw .nothingDue }
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
            isListed: dueTimes != nil,
            cursor: before,
            createdAt: now
        )
    }

    static func check(from: Timestamp, to: Timestamp, now: Timestamp) throws(Refusal) {
        guard from <= to else { throw .backwards }
        guard to <= now else { throw .notPast }
    }

    /// Behind this the due times begin that a range from `from` on has.
    static func start(_ from: Timestamp, now: Timestamp) -> Timestamp { max(from, now - reach) - .microseconds(1) }

    /// How many more may get a run while `open` earlier ones have not ended.
    func room(open: Int) -> Int { state == .open ? max(0, overlap.openAtOnce - open) : 0 }

    /// The next due times of a grid that get a run while `open` earlier ones have not ended.
    func nextSlice(open: Int) throws -> [Timestamp] {
        let room = room(open: open)
        guard room > 0 else { return [] }
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
