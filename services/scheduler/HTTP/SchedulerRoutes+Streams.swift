import Contracts
import HTTPServing

extension SchedulerRoutes {
    /// `GET /api/jobs/stream`: the caller's own jobs as they change.
    func accountStream(_ request: Request, _ doors: JobDoors) async throws -> Response {
        let caller = try request.jobReader()
        let after = try resumePoint(request)
        let visitor = try StreamDoor.Visitor(request, scope: "jobs:write")
        try await doors.feeds.admit(to: caller.accountID)
        return .events(
            EventStreamBody(until: caller.expiresAt) { stream in
                try await doors.feeds.serve(stream, account: caller.accountID, after: after, visitor)
            }
        )
    }

    /// `GET /api/jobs/{id}/stream`: one job as it changes, until it has ended.
    func jobStream(_ request: Request, _ doors: JobDoors) async throws -> Response {
        let job = try await visibleJob(request)
        let after = try resumePoint(request)
        // Who has seen the end need not come back: a browser takes this for the end of its stream.
        if job.state.isTerminal, let after, after >= job.version { return .noContent }
        let visitor = try StreamDoor.Visitor(request, scope: "jobs:write")
        try await doors.feeds.admit(to: job.accountID)
        return .events(
            EventStreamBody(until: try request.authenticated().expiresAt) { stream in
                try await doors.feeds.serve(stream, job: job, after: after, visitor)
            }
        )
    }

    /// The id that the client has come to: the header of a browser that comes back goes before the parameter of its address.
    private func resumePoint(_ request: Request) throws -> Int64? {
        try request.query.reject(unknownExcept: ["after"])
        let (header, parameter) = (request.headers["Last-Event-ID"], request.query.string("after"))
        guard let text = header ?? parameter, !text.isEmpty else { return nil }
        guard let id = Int64(text), id >= 0 else {
            throw Problem.badRequest(
                code: "invalid_parameter",
                detail: "The id of an event of this stream would be right.",
                field: header == nil ? "after" : "Last-Event-ID"
            )
        }
        return id
    }
}
