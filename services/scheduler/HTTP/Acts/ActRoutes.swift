import Contracts
import HTTPServing
import ServiceRuntime

/// What owners do with their schedules, and what executors and signals ask about them.
struct ActRoutes: Sendable {
    let announcements: AnnouncementDesk

    /// Adds the routes of the internal port.
    func addInternalRoutes(to router: Router, authenticating callers: ([String]) -> any Middleware) {
        router.grouped(callers(["executor"])).post("/internal/v1/announcements", announce)
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
}
