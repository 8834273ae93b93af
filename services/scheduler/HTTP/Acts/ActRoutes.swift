import Contracts
import Cryptography
import HTTPServing
import Schedules
import ServiceRuntime

/// What owners do with their schedules, and what executors and signals ask about them. Beside `SchedulerRoutes`, over stores that only Postgres has.
struct ActRoutes: Sendable {
    let acts: ScheduleActs
    let backfills: BackfillStore
    let planner: BackfillPlanner
    let cadence: CadenceStore
    let announcements: AnnouncementDesk
    let time: any TimeSource
    /// Called when there is a new backfill.
    var onBackfill: @Sendable () -> Void = {}

    /// Adds the public routes for callers who are known.
    func addPublicRoutes(to known: RouteGroup) {
        known.post("/api/schedules/preview", previewUnsaved)
        known.get("/api/schedules/{id}", schedule)
        known.get("/api/schedules/{id}/preview", preview)
        known.post("/api/schedules/{id}/pause", pause)
        known.post("/api/schedules/{id}/resume", resume)
        known.post("/api/schedules/{id}/run", run)
        known.get("/api/schedules/{id}/cadence", cadenceOfSchedule)
        known.post("/api/schedules/{id}/backfills", startBackfill)
        known.get("/api/schedules/{id}/backfills", listBackfills)
        known.get("/api/schedules/{id}/backfills/{backfill}", backfill)
        known.get("/api/schedules/{id}/backfills/{backfill}/runs", listBackfillRuns)
        known.delete("/api/schedules/{id}/backfills/{backfill}", cancelBackfill)
    }

    /// Adds the routes of the internal port.
    func addInternalRoutes(to router: Router, authenticating callers: ([String]) -> any Middleware) {
        router.grouped(callers(["executor"])).post("/internal/v1/announcements", announce)
        router.grouped(callers(["signals"])).get("/internal/v1/signals/{signal_id}/cadence/days", cadenceOfSignal)
    }

    /// `POST /internal/v1/announcements`
    private func announce(_ request: Request) async throws -> Response {
        let wanted = try request.json(AnnouncementsRequest.self)
        guard (1...200).contains(wanted.worker.utf8.count) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 200 characters would be right.", field: "worker")
        }
        guard (1...AnnouncementsRequest.maximumHorizonSeconds).contains(wanted.horizonSeconds) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 60 seconds would be right.", field: "horizon_seconds")
        }
        return try .json(AnnouncementsAnswer(announcements: try await announcements.announcements(horizonSeconds: wanted.horizonSeconds)))
    }

    // MARK: Pause, resume, run

    /// `GET /api/schedules/{id}`
    private func schedule(_ request: Request) async throws -> Response { try await answer(try await visible(request)) }

    private func answer(_ schedule: Schedule) async throws -> Response {
        try .json(ScheduleAnswer(schedule, market: try await acts.market(of: schedule)))
    }

    private struct Reason: Decodable {
        var reason: String?
    }

    /// `POST /api/schedules/{id}/pause`: the same again changes nothing.
    private func pause(_ request: Request) async throws -> Response {
        let principal = try request.jobReader()
        let wanted = request.body.isEmpty ? Reason() : try request.json(Reason.self)
        let id = try request.parameter("id", as: ScheduleID.self)
        return try await answer(try await acts.pause(id, reason: wanted.reason, by: principal))
    }

    /// `POST /api/schedules/{id}/resume`: the same again changes nothing.
    private func resume(_ request: Request) async throws -> Response {
        let principal = try request.jobReader()
        try refuseBody(request)
        return try await answer(try await acts.resume(try request.parameter("id", as: ScheduleID.self), by: principal))
    }

    private struct RunAnswer: Encodable {
        let jobID: JobID
        let kind: JobKind
    }

    /// `POST /api/schedules/{id}/run`: a dry run of the live version; its result is at `/api/jobs/{job_id}`.
    private func run(_ request: Request) async throws -> Response {
        let principal = try request.jobReader()
        try refuseBody(request)
        let (job, isNew) = try await acts.runNow(
            try request.parameter("id", as: ScheduleID.self),
            key: try request.idempotencyKey(),
            by: principal
        )
        return try .json(RunAnswer(jobID: job, kind: .dryRun), status: isNew ? .accepted : .ok)
    }

    // MARK: Preview

    private struct Unsaved: Decodable {
        let schedule: Cadence
        var policy: SchedulePolicy?
    }

    /// `POST /api/schedules/preview`: of a manifest's `schedule` and `policy` that nobody has published.
    private func previewUnsaved(_ request: Request) async throws -> Response {
        _ = try request.jobReader()
        let wanted = try request.json(Unsaved.self)
        if let policy = wanted.policy, let fault = SchedulePolicyRules.fault(in: policy, of: wanted.schedule, deadlineSeconds: 86_400) {
            throw Problem.unprocessable(code: "invalid_schedule", detail: fault.message, field: "policy.\(fault.key)")
        }
        do {
            return try .json(SchedulePreview(wanted.schedule, policy: wanted.policy ?? SchedulePolicy(), after: time.now()))
        } catch {
            throw Problem.unprocessable(code: "invalid_schedule", detail: "\(error)", field: "schedule")
        }
    }

    /// `GET /api/schedules/{id}/preview`
    private func preview(_ request: Request) async throws -> Response {
        let schedule = try await visible(request)
        guard let manifest = schedule.publication?.manifest, schedule.state == .active else { throw ScheduleActs.notLive }
        do {
            let sessions = try await acts.market(of: schedule)?.sessions ?? .unknown
            return try .json(SchedulePreview(manifest.schedule, policy: manifest.policy, sessions: sessions, after: time.now()))
        } catch let error as ScheduleError {
            throw Problem.unprocessable(code: "invalid_schedule", detail: "\(error)", field: "id")
        }
    }

    // MARK: Cadence

    /// `GET /api/schedules/{id}/cadence?from=&to=`
    private func cadenceOfSchedule(_ request: Request) async throws -> Response {
        let schedule = try await visible(request)
        return try await answer(of: schedule, request)
    }

    /// `GET /internal/v1/signals/{signal_id}/cadence/days?from=&to=`
    private func cadenceOfSignal(_ request: Request) async throws -> Response {
        let id = try request.parameter("signal_id", as: SignalID.self)
        guard let schedule = try await acts.store.schedule(of: id) else { throw Problem.notFound(field: "signal_id") }
        return try await answer(of: schedule, request)
    }

    private func answer(of schedule: Schedule, _ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["from", "to"])
        let today = CivilDate(of: time.now())
        let last = try query.value("to", as: CivilDate.self) ?? today
        let first = try query.value("from", as: CivilDate.self) ?? CivilDate(daysSince1970: last.daysSince1970 - 29)
        guard first <= last, last.daysSince1970 - first.daysSince1970 < 366 else {
            throw Problem.badRequest(
                code: "invalid_range",
                detail: "At most 366 days, the first of them before the last, would be right.",
                field: "from"
            )
        }
        return try .json(
            CadenceLedgerAnswer(schedule, from: first, to: last, days: try await cadence.days(of: schedule.id, from: first, through: last))
        )
    }

    // MARK: Backfills

    private struct NewBackfill: Decodable {
        let from: Timestamp
        let to: Timestamp
        var overlap: Backfill.Overlap?
    }

    /// `POST /api/schedules/{id}/backfills`
    private func startBackfill(_ request: Request) async throws -> Response {
        let principal = try request.jobReader()
        let schedule = try await acts.schedule(try request.parameter("id", as: ScheduleID.self), for: principal)
        let wanted = try request.json(NewBackfill.self)
        let asked = Backfill.Asked(from: wanted.from, to: wanted.to, overlap: wanted.overlap ?? .sequential)
        let key = try request.idempotencyKey().map { "client:\(schedule.id):\($0)" }
        // Before anybody finds out what is due: the same request has the same answer, whatever became of schedule and market since.
        let obstacle = try await backfills.obstacle(to: schedule, key: key)
        if case .known = obstacle, let obstacle { return try answer(to: asked, obstacle) }
        guard schedule.state == .active, let publication = schedule.publication else { throw ScheduleActs.notLive }
        if let obstacle { return try answer(to: asked, obstacle) }
        do {
            let (planned, dueTimes) = try await planner.plan(schedule, publication: publication, asked: asked, now: time.now())
            return try answer(to: asked, try await backfills.add(planned, dueTimes: dueTimes, key: key ?? "own:\(planned.id)"))
        } catch let refusal as Backfill.Refusal {
            throw refusal.problem
        }
    }

    private func answer(to asked: Backfill.Asked, _ admission: BackfillStore.Admission) throws -> Response {
        switch admission {
        case .made(let backfill):
            onBackfill()
            return try .json(BackfillAnswer(backfill), status: .accepted)
        case .known(let known):
            guard known.answers(asked) else {
                throw Problem.unprocessable(
                    code: "idempotency_key_reused",
                    detail: "This Idempotency-Key came with another backfill before.",
                    field: "Idempotency-Key"
                )
            }
            return try .json(BackfillAnswer(known))
        case .underWay:
            throw Problem.conflict(code: "backfill_under_way", detail: "The schedule has an open backfill; wait for it, or cancel it.", field: "id")
        case .tooMany:
            throw Problem.tooManyRequests(
                code: "too_many_backfills",
                detail: "An account has at most \(Backfill.maximumOpen) open backfills.",
                retryAfterSeconds: 60
            )
        }
    }

    /// `GET /api/schedules/{id}/backfills`: newest first.
    private func listBackfills(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["cursor", "limit"])
        let limit = try query.integer("limit", range: 1...200, default: 50)
        let before: BackfillID? = try place(try query.cursor(parts: 1)) { BackfillID($0) }
        let schedule = try await visible(request)
        let found = try await backfills.backfills(of: schedule.id, before: before, limit: limit + 1)
        return try .json(CursorPage(found: found.map { BackfillAnswer($0) }, limit: limit) { Cursor([$0.backfillID.description]) })
    }

    /// `GET /api/schedules/{id}/backfills/{backfill}`
    private func backfill(_ request: Request) async throws -> Response { try .json(BackfillAnswer(try await visibleBackfill(request))) }

    /// `GET /api/schedules/{id}/backfills/{backfill}/runs`: in the order of time; their results are those of their jobs.
    private func listBackfillRuns(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["cursor", "limit"])
        let limit = try query.integer("limit", range: 1...200, default: 50)
        let after: Timestamp? = try place(try query.cursor(parts: 1)) { Timestamp(iso8601: $0) }
        let backfill = try await visibleBackfill(request)
        let found = try await backfills.runs(of: backfill.id, after: after, limit: limit + 1)
        return try .json(CursorPage(found: found.map { BackfillRunAnswer($0) }, limit: limit) { Cursor([$0.dueAt.iso8601]) })
    }

    /// `DELETE /api/schedules/{id}/backfills/{backfill}`: makes no more runs and cancels those that have not ended. The same again cancels what was left.
    private func cancelBackfill(_ request: Request) async throws -> Response {
        let backfill = try await visibleBackfill(request)
        for job in try await backfills.cancel(backfill.id, now: time.now()) { _ = try await acts.store.cancel(job) }
        onBackfill()
        return try .json(BackfillAnswer(try await visibleBackfill(request)), status: .accepted)
    }

    // MARK: What most routes begin with

    private func visible(_ request: Request) async throws -> Schedule {
        let principal = try request.jobReader()
        return try await acts.schedule(try request.parameter("id", as: ScheduleID.self), for: principal)
    }

    private func visibleBackfill(_ request: Request) async throws -> Backfill {
        let schedule = try await visible(request)
        guard let backfill = try await backfills.backfill(try request.parameter("backfill", as: BackfillID.self)), backfill.scheduleID == schedule.id
        else { throw Problem.notFound(field: "backfill") }
        return backfill
    }

    private func place<Place>(_ cursor: Cursor?, _ read: (String) -> Place?) throws -> Place? {
        guard let cursor else { return nil }
        guard let place = cursor.parts.first.flatMap(read) else {
            throw Problem.badRequest(code: "invalid_cursor", detail: "This is not a cursor of this list.", field: "cursor")
        }
        return place
    }

    /// Nothing, or an object without fields.
    private func refuseBody(_ request: Request) throws {
        guard !request.body.isEmpty else { return }
        guard let name = try request.json([String: JSONValue].self).keys.min() else { return }
        throw Problem.badRequest(code: "unknown_field", detail: "This route takes no fields.", field: String(name.prefix(64)))
    }
}

extension Request {
    /// The client's `Idempotency-Key`, if it sent one that can be kept.
    func idempotencyKey() throws -> String? {
        guard let key = headers["Idempotency-Key"] else { return nil }
        guard (1...100).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 100 visible ASCII characters would be right.", field: "Idempotency-Key")
        }
        return key
    }
}

extension Backfill.Refusal {
    var problem: Problem {
        switch self {
        case .nothingDue(let followsMarket):
            .unprocessable(
                code: "nothing_due",
                detail: "The schedule was never due in this range"
                    + (followsMarket ? ", as far as its market's sessions and bars of that time are known." : "."),
                field: "from"
            )
        case .tooMany:
            .unprocessable(
                code: "too_many_due_times",
                detail: "The range has more than \(Backfill.maximumDueTimes) due times, as many as a backfill has at most.",
                field: "to"
            )
        case .notPast: .unprocessable(code: "not_past", detail: "A backfill ends in the past.", field: "to")
        case .backwards: .badRequest(code: "invalid_range", detail: "A range that begins before it ends would be right.", field: "from")
        case .replay(let instrument):
            .unprocessable(
                code: "replay_instrument",
                detail:
                    "\(instrument) is a replay: its bars are known when they are released, not when they end, so no past close of them can be run.",
                field: "id"
            )
        case .unknownInstrument(let instrument):
            .unprocessable(
                code: "unknown_instrument",
                detail: "There is no instrument \(instrument) any more, whose market says when it was due.",
                field: "id"
            )
        case .refused(let code, let detail, let field): .unprocessable(code: code, detail: detail, field: field)
        case .marketBusy:
            .tooManyRequests(
                code: "marketdata_busy",
                detail: "There is too much to do to say when the schedule was due in the past; try again.",
                retryAfterSeconds: 5
            )
        // This replica is not away: the gateway takes none out of turn for a 503 to a POST, which it never repeats (Tests/cli/test_gateway.py).
        case .marketAway:
            .unavailable(code: "marketdata_away", detail: "When the market was open in the past cannot be said at the moment; try again.")
        // Not 502, which says of a service that it may be back in a moment: this does not pass by itself.
        case .marketFault:
            Problem(
                status: .internalError,
                code: "marketdata_fault",
                detail:
                    "When the schedule was due in the past cannot be said; the reason is in the scheduler's log, and an operator has to look at it."
            )
        }
    }
}

extension ActRoutes {
    /// Everything that the routes stand on.
    static func make(
        _ store: PostgresSchedulerStore,
        signingKey: SigningKey,
        time: any TimeSource,
        markets: PastMarkets,
        hint: @escaping @Sendable (ResourceClass) -> Void = { _ in },
        onBackfill: @escaping @Sendable () -> Void = {}
    ) -> ActRoutes {
        ActRoutes(
            acts: ScheduleActs(store: store, time: time, hint: hint),
            backfills: BackfillStore(store: store),
            planner: BackfillPlanner(markets: markets, time: time),
            cadence: CadenceStore(store: store),
            announcements: AnnouncementDesk(reader: AnnouncementReader(pool: store.pool), signingKey: signingKey, time: time),
            time: time,
            onBackfill: onBackfill
        )
    }
}
