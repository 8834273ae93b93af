import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// What the routes of jobs need beside the ledger.
struct JobDoors: Sendable {
    let batches: BatchStore
    let costs: CostStore
    let queue: QueueStore
    let feeds: JobFeeds
    let time: any TimeSource

    init(store: PostgresSchedulerStore, feeds: JobFeeds, time: any TimeSource) {
        batches = BatchStore(store: store)
        costs = CostStore(pool: store.pool)
        queue = QueueStore(pool: store.pool)
        self.feeds = feeds
        self.time = time
    }

    /// Adds what takes further reads: where it stands in the queue, how far its children are.
    func complete(_ answer: inout JobAnswer, of job: Job, for view: JobView) async throws {
        if job.state == .pending, job.blockedBy == 0, let outlook = try await queue.outlook(of: job) {
            answer.queuePosition = outlook.position
            answer.queuePositionIsBounded = outlook.isBounded
            answer.expectedStartAt = outlook.expectedStart(availableAt: job.availableAt, now: time.now())
        }
        let children = try await batches.tally(ofChildrenOf: job, kinds: view.kinds)
        if children.total > 0 { answer.children = TallyAnswer(children) }
    }
}

extension SchedulerRoutes {
    static let maximumBatchBytes = 16 * 1024 * 1024
    /// How many jobs that did not end well are shown of a batch.
    static let shownFailures = 10
    /// How many days costs are summed over at most.
    static let mostCostDays: Int64 = 366

    func addJobDoors(to router: RouteGroup) {
        guard let doors = jobDoors else { return }
        router.get("/api/jobs/batches/{id}") { try await batch($0, doors) }
        router.delete("/api/jobs/batches/{id}") { try await cancelBatch($0, doors) }
        router.get("/api/jobs/costs") { try await costs($0, doors) }
        router.get("/api/jobs/stream") { try await accountStream($0, doors) }
        router.get("/api/jobs/{id}/stream") { try await jobStream($0, doors) }
    }

    /// `POST /internal/v1/jobs/batches`: all of its jobs, or none.
    func createBatch(_ request: Request) async throws -> Response {
        guard let doors = jobDoors else { throw Problem.notFound() }
        let wanted = try request.json(BatchRequest.self)
        guard (1...190).contains(wanted.idempotencyKey.utf8.count), !wanted.idempotencyKey.utf8.contains(0) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 190 characters would be right.", field: "idempotency_key")
        }
        guard (1...BatchRequest.mostJobs).contains(wanted.jobs.count) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to \(BatchRequest.mostJobs) jobs would be right.", field: "jobs")
        }
        let id = BatchID.make()
        let trace = RequestContext.current?.trace.traceparent
        var jobs: [NewJob] = []
        for (place, item) in wanted.jobs.enumerated() {
            let field = "jobs[\(place)]"
            try check(
                item.kind,
                item.resourceClass,
                attempts: item.maxAttempts ?? JobLimits.maximumAttempts,
                spec: item.spec,
                of: request,
                field: field + "."
            )
            var waits = item.waitsFor ?? []
            for (number, other) in (item.waitsForItems ?? []).enumerated() {
                guard jobs.indices.contains(other) else {
                    throw Problem.badRequest(
                        code: "invalid_value",
                        detail: "The place of a job that stands before this one would be right.",
                        field: "\(field).waits_for_items[\(number)]"
                    )
                }
                waits.append(JobDependency(on: jobs[other].id))
            }
            guard waits.count <= JobDependency.most else {
                throw Problem.badRequest(
                    code: "too_many_items",
                    detail: "At most \(JobDependency.most) jobs would be right.",
                    field: "\(field).waits_for"
                )
            }
            jobs.append(
                NewJob(
                    accountID: wanted.accountID,
                    kind: item.kind,
                    resourceClass: item.resourceClass,
                    priority: item.priority ?? .normal,
                    spec: item.spec,
                    inputSHA256: SHA256.digest(WireJSON.encode(item.compared.spec)),
                    idempotencyKey: "batch:\(id):\(place)",
                    maximumAttempts: item.maxAttempts ?? JobLimits.maximumAttempts,
                    availableAt: item.availableAt,
                    parentJobID: item.parentJobID,
                    traceparent: trace,
                    waitsFor: waits,
                    batchID: id
                )
            )
        }
        let input = SHA256.digest(try WireJSON.encode(wanted.jobs.map(\.compared)))
        let (capped, limits) = try await intake.withinCaps(jobs, roles: wanted.roles)
        let submission = try await doors.batches.submit(
            capped,
            as: id,
            of: wanted.accountID,
            key: wanted.idempotencyKey,
            input: input,
            queueLimits: limits
        )
        switch submission {
        case .queueFull(let most): throw Self.queueFull(most: most)
        case .created: return try .json(BatchReceipt(batchID: id, created: true, jobs: jobs.map(\.id)), status: .created)
        case .existing(let id, let jobs): return try .json(BatchReceipt(batchID: id, created: false, jobs: jobs))
        case .keyReused:
            throw Problem.unprocessable(
                code: "idempotency_key_reused",
                detail: "This idempotency_key came with other jobs before.",
                field: "idempotency_key"
            )
        case .unknownDependency(let place, let other):
            throw Problem.unprocessable(
                code: "unknown_job",
                detail: "There is no job \(other) of this account or of the platform's own that could be waited for.",
                field: "jobs[\(place)].waits_for"
            )
        }
    }

    /// Refuses what does not fit a kind's rules.
    func check(_ kind: JobKind, _ resourceClass: ResourceClass, attempts: Int, spec: JSONValue, of request: Request, field: String = "") throws {
        guard !kind.rawValue.isEmpty, kind.rawValue.utf8.count <= 64, !kind.rawValue.utf8.contains(0) else {
            throw Problem.badRequest(code: "invalid_value", detail: "The name of a kind of job would be right.", field: field + "kind")
        }
        let rules = JobKindRules.of(kind)
        guard rules.submitters.contains(request.callingService ?? "") else {
            throw Problem.forbidden(
                code: "kind_not_allowed",
                detail: "Jobs of the kind \(kind) may be asked for by: \(rules.submitters.joined(separator: ", "))."
            )
        }
        guard rules.classes.contains(resourceClass) else {
            throw Problem.unprocessable(
                code: "class_not_allowed",
                detail: "A job of the kind \(kind) is of one of the classes: \(rules.classes.map(\.rawValue).joined(separator: ", ")).",
                field: field + "resource_class"
            )
        }
        guard (1...100).contains(attempts) else {
            throw Problem.badRequest(code: "invalid_value", detail: "1 to 100 would be right.", field: field + "max_attempts")
        }
        guard spec.hasStorableNumbers else { throw Self.unstorable(field + "spec") }
    }

    /// `GET /api/jobs/batches/{id}`
    private func batch(_ request: Request, _ doors: JobDoors) async throws -> Response {
        let (batch, tally, kinds) = try await visibleBatch(request, doors)
        let failures = try await doors.batches.failures(in: batch.id, kinds: kinds, limit: Self.shownFailures)
        return try .json(BatchAnswer(batch, tally, failures: failures))
    }

    /// `DELETE /api/jobs/batches/{id}`: cancels what has not ended of it.
    private func cancelBatch(_ request: Request, _ doors: JobDoors) async throws -> Response {
        let (batch, before, kinds) = try await visibleBatch(request, doors)
        guard before.open > 0 || before.count(.cancelled) > 0 else {
            throw Problem.conflict(code: "batch_ended", detail: "All jobs of the batch have ended; they can no longer be cancelled.", field: "id")
        }
        let cancelled = try await doors.batches.cancel(batch.id, kinds: kinds)
        let tally = try await doors.batches.tally(of: batch.id, kinds: kinds)
        let failures = try await doors.batches.failures(in: batch.id, kinds: kinds, limit: Self.shownFailures)
        return try .json(BatchAnswer(batch, tally, failures: failures, cancelled: cancelled), status: .accepted)
    }

    /// A batch of which the caller may see nothing is not there at all.
    private func visibleBatch(_ request: Request, _ doors: JobDoors) async throws -> (BatchStore.Batch, JobTally, [JobKind]?) {
        let view = JobView(of: try request.jobReader())
        let id = try request.parameter("id", as: BatchID.self)
        guard let batch = try await doors.batches.batch(id), view.accountID.map({ $0 == batch.accountID }) ?? true else {
            throw Problem.notFound(field: "id")
        }
        let tally = try await doors.batches.tally(of: id, kinds: view.kinds)
        guard tally.total > 0 else { throw Problem.notFound(field: "id") }
        return (batch, tally, view.kinds)
    }

    /// `GET /api/jobs/costs`
    private func costs(_ request: Request, _ doors: JobDoors) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["from", "to", "group", "account_id"])
        let view = JobView(of: try request.jobReader())
        let today = CivilDate(of: doors.time.now())
        let to = try date("to", of: query) ?? today
        let from = try date("from", of: query) ?? CivilDate(daysSince1970: to.daysSince1970 - 29)
        guard from <= to, to.daysSince1970 - from.daysSince1970 < Self.mostCostDays else {
            throw Problem.unprocessable(
                code: "invalid_range",
                detail: "from is not after to, and not more than \(Self.mostCostDays) days before it.",
                field: "from"
            )
        }
        let group = try query.choice("group", of: CostStore.Grouping.allCases.map(\.rawValue)).flatMap(CostStore.Grouping.init(rawValue:)) ?? .kind
        let asked = try query.value("account_id", as: AccountID.self)
        if view.accountID != nil, group == .account || (asked != nil && asked != view.accountID) {
            throw Problem.forbidden(code: "insufficient_role", detail: "Costs of other accounts are shown to administrators.")
        }
        let sums = try await doors.costs.sums(by: group, from: from, to: to, account: view.accountID ?? asked, kinds: view.kinds)
        return try .json(CostsAnswer(from: from, to: to, grouping: group, sums: sums))
    }

    private func date(_ name: String, of query: Query) throws -> CivilDate? {
        guard let text = query.string(name) else { return nil }
        guard let date = CivilDate(text) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is a date such as 2016-10-08, in UTC.", field: name)
        }
        return date
    }
}
