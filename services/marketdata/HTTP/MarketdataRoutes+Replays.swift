import Bars
import Contracts
import HTTPServing

extension MarketdataRoutes {
    private struct NewReplay: Decodable {
        let instrument: String
        let start: Timestamp?
        let end: Timestamp?
        let interval: String?
        let speed: Double?
        let loop: Bool?
    }

    /// `POST /api/replays`, providers and administrators
    func createReplay(_ request: Request) async throws -> Response {
        try requireSession(request, anyOf: "admin", "provider")
        try request.query.reject(unknownExcept: [])
        let body = try request.json(NewReplay.self)
        // The same request again must not meet the limits that its first answer already counts in.
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        guard InstrumentSymbol.canExist(body.instrument) else { throw MarketdataError.unknownInstrument(body.instrument) }
        let speed = body.speed ?? 1
        guard speed.isFinite, speed >= 0.001, speed <= 10_000_000 else {
            throw MarketdataError.invalid(
                field: "speed",
                code: "invalid_speed",
                detail: "Recorded seconds a second, 0.001 to 10000000, would be right."
            )
        }
        var seconds: Int?
        if let text = body.interval {
            do { seconds = try BarInterval(text: text).seconds } catch {
                throw MarketdataError.invalid(field: "interval", code: "invalid_interval", detail: "An interval such as 1s, 1m or 1h would be right.")
            }
        }
        for (field, moment) in [("start", body.start), ("end", body.end)] {
            if let moment, !BarQuery.hasBars(at: moment) {
                throw MarketdataError.invalid(field: field, code: "invalid_\(field)", detail: BarQuery.years)
            }
        }
        if let start = body.start, let end = body.end, end <= start {
            throw MarketdataError.invalid(field: "end", code: "invalid_end", detail: "A time after start would be right.")
        }
        let wish = Replays.Wish(
            symbol: body.instrument,
            start: body.start,
            end: body.end,
            intervalSeconds: seconds,
            speed: speed,
            loops: body.loop ?? false
        )
        let draft = try await replays.draft(wish, account: try request.authenticated().accountID)
        let response = try await effects.run(request) {
            try .json(ReplayAnswer(try await $0.createReplay(draft, within: replays.limits)), status: .created)
        }
        replays.feed?.wake()
        return response
    }

    /// `GET /api/replays`, newest first
    func listReplays(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["cursor", "limit"])
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        let cursor = try request.query.cursor(parts: 1)
        var after: ReplayID?
        if let text = cursor?.parts[0] {
            guard let id = ReplayID(text) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "This is not a cursor of this list.", field: "cursor")
            }
            after = id
        }
        let found = try await store.replays(after: after, limit: limit + 1)
        return try .json(CursorPage(found: found.map { ReplayAnswer($0) }, limit: limit) { Cursor([$0.id.description]) })
    }

    /// `GET /api/replays/{id}`
    func replay(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: [])
        return try .json(ReplayAnswer(try await replays.find(request.parameter("id", as: ReplayID.self))))
    }

    /// `DELETE /api/replays/{id}`: ends it; what was released stays known.
    func stopReplay(_ request: Request) async throws -> Response {
        try await change(request, from: [.running, .paused, .finished], to: .stopped) { _ in .noContent }
    }

    /// `POST /api/replays/{id}/pause`
    func pauseReplay(_ request: Request) async throws -> Response {
        try await change(request, from: [.running], to: .paused) { try .json(ReplayAnswer($0)) }
    }

    /// `POST /api/replays/{id}/resume`
    func resumeReplay(_ request: Request) async throws -> Response {
        try await change(request, from: [.paused], to: .running) { try .json(ReplayAnswer($0)) }
    }

    private func change(
        _ request: Request,
        from: Set<Replay.State>,
        to: Replay.State,
        answer: @escaping @Sendable (Replay) throws -> Response
    ) async throws -> Response {
        try requireSession(request, anyOf: "admin", "provider")
        try request.query.reject(unknownExcept: [])
        let principal = try request.authenticated()
        let id = try request.parameter("id", as: ReplayID.self)
        let isAdministrator = principal.has(role: "admin")
        let response = try await effects.run(request) { effects in
            try answer(
                try await replays.change(id, from: from, to: to, account: principal.accountID, isAdministrator: isAdministrator, on: effects)
            )
        }
        replays.feed?.wake()
        return response
    }
}
