import Contracts
import HTTPServing
import ServiceRuntime

/// What the routes of logs need besides the ledger.
struct LogDoors: Sendable {
    let logs: LogStore
    let news: LogNews
    let door: StreamDoor

    /// The reports with their logs counted and cut by what their accounts may leave; as they are when nobody can count.
    func charged(_ finished: [FinishedJob]) async -> [FinishedJob] { (try? await logs.charge(finished)) ?? finished }
}

extension SchedulerRoutes {
    func addLogRoutes(to router: RouteGroup) {
        guard logDoors != nil else { return }
        router.get("/api/jobs/logs", searchLogs)
        router.get("/api/jobs/{id}/logs/stream", streamLog)
    }

    /// `GET /api/jobs/{id}/logs`: what an attempt printed, the last one unless another is asked for; with `q` the lines that hold a text.
    func jobLog(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["attempt", "q"])
        let wanted = try query.integer("attempt", range: 1...100)
        let search = try logSearch(query)
        let job = try await visibleJob(request)
        guard let doors = logDoors else { return try .json(LogAnswer(try await store.log(of: job.id), of: job)) }
        // A released job is taken up again with the same number: its last try counts.
        let all = try await doors.logs.attempts(of: job.id)
        let log = wanted.map { wanted in all.last { $0.attempt == wanted } } ?? all.last
        if wanted != nil, log == nil { throw Problem.notFound(field: "attempt") }
        if let search { return try .json(LogLinesAnswer(job, log, search)) }
        return try .json(LogAnswer(log, of: job, attempts: Set(all.map(\.attempt)).sorted()))
    }

    /// `GET /api/jobs/{id}/logs/stream`: what a job prints, as it prints it.
    func streamLog(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["after"])
        guard let doors = logDoors else { throw Problem.notFound() }
        let caller = try request.jobReader()
        let visitor = try StreamDoor.Visitor(request, scope: "jobs:write")
        let job = try await visibleJob(request)
        let (header, parameter) = (request.headers["Last-Event-ID"], request.query.string("after"))
        var place: LogPlace?
        if let text = header ?? parameter, !text.isEmpty {
            guard let known = LogPlace(text) else {
                let field = header == nil ? "after" : "Last-Event-ID"
                throw Problem.badRequest(code: "invalid_parameter", detail: "The id of an event of this stream would be right.", field: field)
            }
            place = known
        }
        let taken = try doors.news.places.take(caller.accountID)
        let stream = LogStream(news: doors.news)
        let after = place
        return .events(
            EventStreamBody(until: caller.expiresAt) { events in
                defer { taken.give() }
                try await stream.serve(events, job.id, after: after) { await doors.door.refusal(of: visitor) }
            }
        )
    }

    /// How many jobs one page of a search looks at, at most 64 KiB each.
    static let logsOfAScan = 500

    /// `GET /api/jobs/logs`: the newest logs that hold a text. A page goes through ``logsOfAScan`` jobs at most; `next_cursor` goes on from there.
    func searchLogs(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["signal_id", "q", "from", "to", "cursor", "limit"])
        guard let doors = logDoors else { throw Problem.notFound() }
        let view = JobView(of: try request.jobReader())
        _ = try query.required("q")
        guard let search = try logSearch(query) else { throw Problem.badRequest(code: "missing_parameter", detail: "q is needed.", field: "q") }
        let limit = try query.integer("limit", range: 1...100, default: 20)
        var scope = LogSearchScope(accountID: view.accountID, kinds: view.kinds ?? JobKind.ofOwners)
        scope.signalID = try query.value("signal_id", as: SignalID.self)
        scope.from = try query.timestamp("from")
        scope.to = try query.timestamp("to")
        if let cursor = try query.cursor(parts: 1) { scope.before = try self.place(cursor, as: JobID.self) }
        let (found, end) = try await doors.logs.search(search, in: scope, scan: Self.logsOfAScan, limit: limit)
        let items = found.map { LogMatch(id: $0.id, log: $0.log, search: search) }
        return try .json(CursorPage(items: items, next: end.map { Cursor([$0.description]) }))
    }

    private func logSearch(_ query: Query) throws -> LogSearch? {
        guard let text = query.string("q") else { return nil }
        guard LogSearch.lengths.contains(text.utf8.count), !text.utf8.contains(0) else {
            let (least, most) = (LogSearch.lengths.lowerBound, LogSearch.lengths.upperBound)
            throw Problem.badRequest(code: "invalid_parameter", detail: "A text of \(least) to \(most) bytes would be right.", field: "q")
        }
        return LogSearch(text)
    }
}

/// Lines of one log that hold a text.
struct LogLinesAnswer: Encodable, Sendable {
    let jobID: JobID
    let attempt: Int
    let lines: [LogSearch.Line]
    /// How many there are; no more than the first are shown.
    let count: Int

    init(_ job: Job, _ log: AttemptLog?, _ search: LogSearch) {
        jobID = job.id
        attempt = log?.attempt ?? job.attempt
        (lines, count) = search.lines(of: log?.text ?? "")
    }
}

/// A log that holds a text.
struct LogMatch: Encodable, Sendable {
    let jobID: JobID
    let attempt: Int
    let storedAt: Timestamp
    let lines: [LogSearch.Line]
    let count: Int

    init(id: JobID, log: JobLog, search: LogSearch) {
        jobID = id
        attempt = log.attempt
        storedAt = log.storedAt
        (lines, count) = search.lines(of: log.text)
    }
}
