import Contracts
import HTTPServing

extension SchedulerRoutes {
    /// `GET /api/jobs`: the caller's own, newest first.
    func listJobs(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["state", "kind", "signal_id", "cursor", "limit"])
        let limit = try query.integer("limit", range: 1...200, default: 50)
        let cursor = try query.cursor(parts: 1)
        var filter = JobFilter(accountID: try request.jobReader().accountID, limit: limit + 1)
        filter.state = try query.choice("state", of: JobState.allCases.map(\.rawValue)).flatMap(JobState.init(rawValue:))
        filter.kind = query.string("kind").map { JobKind($0) }
        filter.signalID = try query.value("signal_id", as: SignalID.self)
        if let cursor { filter.before = try place(cursor, as: JobID.self) }
        let jobs = try await store.jobs(filter)
        return try .json(CursorPage(found: jobs.map { JobAnswer($0) }, limit: limit) { Cursor([$0.jobID.description]) })
    }

    /// `GET /api/jobs/{id}`
    func job(_ request: Request) async throws -> Response { try .json(JobAnswer(try await ownJob(request))) }

    /// `GET /api/jobs/{id}/logs`: what the last attempt printed.
    func jobLog(_ request: Request) async throws -> Response {
        let job = try await ownJob(request)
        return try .json(LogAnswer(try await store.log(of: job.id), of: job))
    }

    /// `DELETE /api/jobs/{id}`: cancels; a running job's worker is told.
    func cancelJob(_ request: Request) async throws -> Response {
        let principal = try request.authenticated()
        try principal.require(scope: "jobs:write")
        let id = try request.parameter("id", as: JobID.self)
        return try await answer(to: store.cancel(id, account: principal.accountID), id: id)
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

    private func ownJob(_ request: Request) async throws -> Job {
        let principal = try request.jobReader()
        let id = try request.parameter("id", as: JobID.self)
        // Another account's job is not there at all.
        guard let job = try await store.job(id), job.accountID == principal.accountID else { throw Problem.notFound(field: "id") }
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
