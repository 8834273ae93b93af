import Contracts
import HTTPServing
import Schedules

extension SchedulerRoutes {
    /// `GET /api/schedules`: those of the caller's own signals.
    func listSchedules(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["cursor", "limit"])
        let limit = try query.integer("limit", range: 1...200, default: 50)
        let after = try query.cursor(parts: 1).map { try place($0, as: ScheduleID.self) }
        let schedules = try await store.schedules(of: request.jobReader().accountID, after: after, limit: limit + 1)
        var markets: [String: (sessions: MarketSessions, fault: String?)] = [:]
        for market in Set(schedules.compactMap(\.market)) { markets[market] = try await store.market(market) }
        let answers = schedules.map { schedule in ScheduleAnswer(schedule, market: schedule.market.flatMap { markets[$0] }) }
        return try .json(CursorPage(found: answers, limit: limit) { Cursor([$0.scheduleID.description]) })
    }

    /// `GET /api/schedules/{id}/occurrences`: the latest first.
    func listOccurrences(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["cursor", "limit"])
        let principal = try request.jobReader()
        let limit = try query.integer("limit", range: 1...200, default: 50)
        let id = try request.parameter("id", as: ScheduleID.self)
        guard let schedule = try await store.schedule(id), schedule.accountID == principal.accountID else { throw Problem.notFound(field: "id") }
        let cursor = try query.cursor(parts: 1)
        let before: Timestamp? = try cursor.map { cursor in
            guard let time = cursor.parts.first.flatMap({ Timestamp(iso8601: $0) }) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "This is not a cursor of this list.", field: "cursor")
            }
            return time
        }
        let found = try await store.occurrences(of: id, before: before, limit: limit + 1)
        return try .json(CursorPage(found: found.map { OccurrenceAnswer($0) }, limit: limit) { Cursor([$0.dueAt.iso8601]) })
    }

    /// `GET /internal/v1/signals/{signal_id}/cadence`
    func cadence(_ request: Request) async throws -> Response {
        let id = try request.parameter("signal_id", as: SignalID.self)
        guard let schedule = try await store.schedule(of: id) else { throw Problem.notFound(field: "signal_id") }
        let last = try await store.occurrences(of: schedule.id, before: nil, limit: 1).first
        return try .json(CadenceAnswer(schedule, last: last))
    }
}
