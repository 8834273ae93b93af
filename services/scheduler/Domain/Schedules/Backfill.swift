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

    /// A range as it was sent.
    struct Asked: Sendable, Hashable {
        let from: Timestamp
        let to: Timestamp
        let overlap: Overlap

        /// The part of it that can be run.
        func stretch(now: Timestamp) throws(Refusal) -> Stretch {
            guard from <= to else { throw .backwards }
            guard to <= now else { throw .notPast }
            return Stretch(after: max(from, now - reach) - .microseconds(1), through: to)
        }
    }

    /// Times in `(after, through]`.
    struct Stretch: Sendable, Hashable {
        let after: Timestamp
        let through: Timestamp
    }

    /// A due time, and the moment whose knowledge its run has.
    struct DueTime: Sendable, Hashable {
        let dueAt: Timestamp
        let asOf: Timestamp
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
    /// What its sender asked for; nil of a backfill of before that was kept.
    var asked: Asked?
    /// How many of its due times have their run, where these are written down because they come from a market; nil where the clock alone says them.
    var position: Int?
    /// Every due time of a grid up to here has its run.
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
    func job(at due: DueTime) throws -> NewJob {
        let spec = SignalRunSpec(
            signalID: publication.signalID,
            versionID: publication.versionID,
            versionSHA256: publication.versionSHA256,
            files: publication.files,
            manifest: publication.manifest,
            occurrenceID: nil,
            dueAt: due.dueAt,
            asOf: due.asOf,
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
            idempotencyKey: "\(id)/\(due.dueAt.iso8601)"
        )
    }
}

extension Backfill {
    /// Why a range cannot be run, as its sender gets to read it.
    enum Refusal: Error, Sendable, Hashable {
        case nothingDue(followsMarket: Bool)
        case tooMany
        case notPast
        case backwards
        /// A bar of a replay is known when it was released, and not at its end: at the due times of its bars nothing of them was known.
        case replay(String)
        case unknownInstrument(String)
        /// In the words of the service that knows the market's past, and of which field.
        case refused(code: String, detail: String, field: String)
        /// The service that knows the market's past has too much to do, or lost hold of what it read.
        case marketBusy
        /// The service that knows the market's past does not say.
        case marketAway
        /// It says something that nobody here can do anything about.
        case marketFault
    }

    /// A backfill of a grid's due times in a stretch of the range that was asked for.
    static func of(
        _ grid: ScheduleGrid,
        in stretch: Stretch,
        _ schedule: Schedule,
        publication: SignalPublished,
        asked: Asked,
        now: Timestamp
    ) throws(Refusal) -> Backfill {
        let count = grid.count(after: stretch.after, through: stretch.through, most: maximumDueTimes + 1)
        guard count <= maximumDueTimes else { throw .tooMany }
        guard count > 0, let first = grid.next(after: stretch.after), let last = grid.last(after: stretch.after, through: stretch.through) else {
            throw .nothingDue(followsMarket: false)
        }
        return Backfill(schedule, publication, asked, from: first, to: last, count: count, cursor: stretch.after, createdAt: now)
    }

    /// A backfill of the due times that a market gave.
    static func of(_ dueTimes: [DueTime], _ schedule: Schedule, publication: SignalPublished, asked: Asked, now: Timestamp) throws(Refusal)
        -> Backfill
    {
        guard dueTimes.count <= maximumDueTimes else { throw .tooMany }
        guard let first = dueTimes.first?.dueAt, let last = dueTimes.last?.dueAt else { throw .nothingDue(followsMarket: true) }
        return Backfill(schedule, publication, asked, from: first, to: last, count: dueTimes.count, position: 0, cursor: last, createdAt: now)
    }

    private init(
        _ schedule: Schedule,
        _ publication: SignalPublished,
        _ asked: Asked,
        from: Timestamp,
        to: Timestamp,
        count: Int,
        position: Int? = nil,
        cursor: Timestamp,
        createdAt: Timestamp
    ) {
        self.init(
            id: .make(),
            state: .open,
            scheduleID: schedule.id,
            accountID: schedule.accountID,
            publication: publication,
            from: from,
            to: to,
            overlap: asked.overlap,
            dueCount: count,
            asked: asked,
            position: position,
            cursor: cursor,
            createdAt: createdAt
        )
    }

    /// Whether it is what a request asks for. One of before requests were kept is known by its due times, which the range held.
    func answers(_ request: Asked) -> Bool {
        if let asked { return asked == request }
        return request.overlap == overlap && request.from <= from && to <= request.to
    }

    /// Whether every due time has its run.
    var hasMadeAll: Bool { position.map { $0 >= dueCount } ?? (cursor >= to) }

    /// How many more may get a run while `open` earlier ones have not ended.
    func room(open: Int) -> Int { state == .open ? max(0, overlap.openAtOnce - open) : 0 }

    /// The next due times of a grid that get a run while `open` earlier ones have not ended.
    func nextSlice(open: Int) throws -> [DueTime] {
        let room = room(open: open)
        guard room > 0 else { return [] }
        return try ScheduleGrid(publication.manifest.schedule).points(after: cursor, through: to, limit: room).map { DueTime(dueAt: $0, asOf: $0) }
    }

    /// Takes note that the due times of a slice have their runs.
    mutating func pass(_ slice: [DueTime]) {
        if let position { self.position = position + slice.count } else if let last = slice.last { cursor = last.dueAt }
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
