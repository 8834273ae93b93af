import Contracts
import Cryptography
import HTTPServing
import Schedules
import ServiceRuntime

/// What a caller does with a schedule that it may touch.
struct ScheduleActs: Sendable {
    let store: PostgresSchedulerStore
    let time: any TimeSource
    let hint: @Sendable (ResourceClass) -> Void

    /// The schedule, if the caller may touch it: its own, or any for an administrator in person.
    func schedule(_ id: ScheduleID, for principal: Principal) async throws -> Schedule {
        guard let schedule = try await store.schedule(id), ScheduleView(of: principal).shows(schedule) else { throw Problem.notFound(field: "id") }
        return schedule
    }

    /// What is known of the market that a schedule follows or keeps to.
    func market(of schedule: Schedule) async throws -> (sessions: MarketSessions, fault: String?)? {
        guard let market = schedule.market else { return nil }
        return try await store.market(market)
    }

    func pause(_ id: ScheduleID, reason: String?, by principal: Principal) async throws -> Schedule {
        if let reason {
            guard reason.unicodeScalars.count <= SchedulePause.maximumReasonLength, !reason.utf8.contains(0) else {
                throw Problem.badRequest(
                    code: "invalid_value",
                    detail: "At most \(SchedulePause.maximumReasonLength) characters would be right.",
                    field: "reason"
                )
            }
        }
        return try await change(id, by: principal) { schedule, author, now, transaction in
            try await PauseKeeper.pause(schedule, by: author, reason: reason, now: now, in: transaction)
        }
    }

    func resume(_ id: ScheduleID, by principal: Principal) async throws -> Schedule {
        let isAdministrator = ScheduleView(of: principal).accountID == nil
        return try await change(id, by: principal) { schedule, author, now, transaction in
            // What the platform has stopped its owner cannot let go on.
            if schedule.pause?.by == .administrator, !isAdministrator { throw Self.pausedByAdministrator }
            return try await PauseKeeper.resume(schedule, by: author, now: now, in: transaction)
        }
    }

    private func change(
        _ id: ScheduleID,
        by principal: Principal,
        _ act: @Sendable (Schedule, SchedulePause.Author, Timestamp, any SchedulerTransaction) async throws -> Schedule
    ) async throws -> Schedule {
        let view = ScheduleView(of: principal)
        let changed = try await store.transaction { transaction in
            guard let schedule = try await transaction.lockedSchedule(id), view.shows(schedule) else { throw Problem.notFound(field: "id") }
            guard schedule.state == .active else { throw Self.notLive }
            let author: SchedulePause.Author = schedule.accountID == principal.accountID ? .owner : .administrator
            return try await act(schedule, author, time.now(), transaction)
        }
        // What was still owed when it was paused may have become a job.
        hint(.signal)
        return changed
    }

    /// Runs the live version once, now, for its author's eyes: a dry run, which no record knows of.
    func runNow(_ id: ScheduleID, key: String?, by principal: Principal) async throws -> (job: JobID, isNew: Bool) {
        let view = ScheduleView(of: principal)
        let outcome = try await store.onConnection { transaction -> (job: JobID, isNew: Bool, resourceClass: ResourceClass) in
            guard let schedule = try await transaction.lockedSchedule(id), view.shows(schedule) else { throw Problem.notFound(field: "id") }
            guard schedule.state == .active, let publication = schedule.publication else { throw Self.notLive }
            let job = try RunNow.job(of: publication, schedule: id, key: key, now: time.now())
            // The same key gets the same run, whatever has been published since.
            if key != nil, let known = try await transaction.jobID(like: job) { return (known, false, job.resourceClass) }
            if let open = try await transaction.openRunNow(of: id) {
                throw Problem.tooManyRequests(
                    code: "run_under_way",
                    detail: "The run \(open) of this schedule has not ended yet; wait for it, or cancel it.",
                    retryAfterSeconds: 5
                )
            }
            _ = try await transaction.insert([job])
            try await transaction.noteRunNow(job.id, of: id)
            return (job.id, true, job.resourceClass)
        }
        if outcome.isNew { hint(outcome.resourceClass) }
        return (outcome.job, outcome.isNew)
    }

    static let pausedByAdministrator = Problem.forbidden(
        code: "paused_by_administrator",
        detail: "An administrator has paused this schedule; only an administrator lets it go on."
    )
    static let notLive = Problem.conflict(code: "not_live", detail: "The schedule's signal is not live, so there is nothing to run.", field: "id")
}

/// Which schedules a caller may touch: its account's own; an administrator all, in person.
struct ScheduleView: Sendable {
    /// Nil is all accounts.
    let accountID: AccountID?

    init(of principal: Principal) { accountID = JobView(of: principal).accountID }

    func shows(_ schedule: Schedule) -> Bool { accountID.map { $0 == schedule.accountID } ?? true }
}

/// The job of a run by hand.
enum RunNow {
    static func job(of publication: SignalPublished, schedule: ScheduleID, key: String?, now: Timestamp) throws -> NewJob {
        let spec = SignalRunSpec(
            signalID: publication.signalID,
            versionID: publication.versionID,
            versionSHA256: publication.versionSHA256,
            files: publication.files,
            manifest: publication.manifest,
            occurrenceID: nil,
            dueAt: now,
            asOf: now,
            feed: publication.feed
        )
        let json = try WireJSON.value(of: spec)
        return NewJob(
            accountID: publication.accountID,
            kind: .dryRun,
            resourceClass: publication.manifest.class,
            priority: .normal,
            spec: json,
            inputSHA256: SHA256.digest(WireJSON.encode(json)),
            idempotencyKey: "run:" + SHA256.digest(utf8: "\(schedule)\n\(key ?? EventID.make().description)").hex,
            maximumAttempts: 2,
            traceparent: RequestContext.current?.trace.traceparent
        )
    }
}
