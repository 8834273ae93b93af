import Contracts
import HTTPServing

extension SchedulerRoutes {
    /// `GET /api/jobs`: what the caller may see, newest first unless asked otherwise.
    func listJobs(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["state", "kind", "signal_id", "parent", "batch", "created_from", "created_to", "order", "cursor", "limit"])
        let limit = try query.integer("limit", range: 1...200, default: 50)
        let cursor = try query.cursor(parts: 1)
        let view = JobView(of: try request.jobReader())
        var filter = JobFilter(accountID: view.accountID, kinds: view.kinds, limit: limit + 1)
        filter.state = try query.choice("state", of: JobState.allCases.map(\.rawValue)).flatMap(JobState.init(rawValue:))
        if let text = query.string("kind") {
            let asked = text.split(separator: ",", omittingEmptySubsequences: false).map { JobKind(String($0)) }
            guard asked.count <= 32, !asked.contains(JobKind("")) else {
                throw Problem.badRequest(code: "invalid_parameter", detail: "kind is up to 32 names of kinds with commas between.", field: "kind")
            }
            filter.kinds = asked.filter { view.kinds?.contains($0) ?? true }
        }
        filter.signalID = try query.value("signal_id", as: SignalID.self)
        filter.parentJobID = try query.value("parent", as: JobID.self)
        filter.batchID = try query.value("batch", as: BatchID.self)
        filter.createdFrom = try query.timestamp("created_from")
        filter.createdTo = try query.timestamp("created_to")
        if let from = filter.createdFrom, let to = filter.createdTo, from >= to {
            throw Problem.unprocessable(code: "empty_range", detail: "created_to lies after created_from.", field: "created_to")
        }
        filter.isOldestFirst = try query.choice("order", of: ["newest", "oldest"]) == "oldest"
        if let cursor { filter.beyond = try place(cursor, as: JobID.self) }
        let jobs = try await store.jobs(filter)
        return try .json(CursorPage(found: jobs.map { JobAnswer($0) }, limit: limit) { Cursor([$0.jobID.description]) })
    }

    /// `GET /api/jobs/{id}`
    func job(_ request: Request) async throws -> Response {
        let job = try await visibleJob(request)
        var answer = JobAnswer(job)
        answer.spec = job.spec
        try await jobDoors?.complete(&answer, of: job, for: JobView(of: try request.jobReader()))
        return try .json(answer)
    }

    /// `DELETE /api/jobs/{id}`: cancels; a running job's worker is told.
    func cancelJob(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["children"])
        let withChildren = try request.query.boolean("children")
        let job = try await visibleJob(request)
        let cancellation = try await store.cancel(job.id)
        // Children of a job that has ended by itself can still be called off.
        if withChildren { _ = try await jobDoors?.batches.cancelChildren(of: job, kinds: JobView(of: try request.jobReader()).kinds) }
        if withChildren, case .alreadyEnded = cancellation { return try .json(JobAnswer(job), status: .accepted) }
        return try await answer(to: cancellation, id: job.id)
    }

    func answer(to cancellation: Cancellation, id: JobID) async throws -> Response {
        switch cancellation {
        case .unknown: throw Problem.notFound(field: "id")
        case .alreadyEnded(let state) where state != .cancelled:
            throw Problem.conflict(code: "job_ended", detail: "The job has ended as \(state.rawValue); it can no longer be cancelled.", field: "id")
        case .cancelled, .requested, .alreadyEnded:
            guard let job = try await store.job(id) else { throw Problem.notFound(field: "id") }
            return try .json(JobAnswer(job), status: .accepted)
        }
    }

    func visibleJob(_ request: Request) async throws -> Job {
        let view = JobView(of: try request.jobReader())
        let id = try request.parameter("id", as: JobID.self)
        // A job that the caller may not see is not there at all.
        guard let job = try await store.job(id), view.shows(job) else { throw Problem.notFound(field: "id") }
        return job
    }

    func place<Place: LosslessStringConvertible>(_ cursor: Cursor, as _: Place.Type) throws -> Place {
        guard let text = cursor.parts.first, let place = Place(text) else {
            throw Problem.badRequest(
                code: "invalid_cursor",
                detail: "This is not a cursor of this list: take next_cursor of the page before.",
                field: "cursor"
            )
        }
        return place
    }
}

extension Request {
    /// Who may read jobs and schedules: a logged-in user, or an API key that may also write them.
    func jobReader() throws -> Principal {
        let principal = try authenticated()
        try principal.require(scope: "jobs:write")
        return principal
    }
}
