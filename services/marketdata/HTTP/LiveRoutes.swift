import Bars
import Contracts
import HTTPServing
import ServiceRuntime

/// Which instruments are live from a source, and how they stand. Administrators only.
struct LiveRoutes: Sendable {
    let store: any MarketdataStore
    let sources: SourceCatalogue
    let subscriptions: LiveSubscriptionStore
    let live: LiveStore
    let calendars: Calendars
    let time: any TimeSource

    /// How many of its holes are told of each instrument.
    private static let holes = 10

    /// Adds the public routes; `authentication` finds out who asks.
    func add(to router: inout Router, authentication: any Middleware) {
        let people = router.grouped(authentication)
        people.get("/api/sources/{id}/live", list)
        people.put("/api/sources/{id}/live", put)
        people.delete("/api/sources/{id}/live", delete)
    }

    /// `GET /api/sources/{id}/live`
    private func list(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let source = try source(request).id
        let closed = try await live.closedThrough(feed: source)
        let holes = try await subscriptions.holes(of: source, each: Self.holes)
        var items: [LiveSubscriptionAnswer] = []
        for one in try await subscriptions.all(of: source) { items.append(try await answer(one, closed[one.instrumentID], holes)) }
        return try .json(LiveSubscriptionsAnswer(items: items))
    }

    private struct Wanted: Decodable {
        let symbol: String?
        let stream: String?
    }

    /// `PUT /api/sources/{id}/live?instrument=`: the same again changes nothing, but a symbol that the source refused is tried again.
    private func put(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        let description = try source(request)
        let instrument = try await instrument(request)
        let body = try request.json(Wanted.self)
        let symbol = body.symbol ?? instrument.symbol
        guard (1...64).contains(symbol.utf8.count), symbol.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != 0x2C }) else {
            throw MarketdataError.invalid(field: "symbol", code: "invalid_symbol", detail: "1 to 64 printable characters without blanks and commas.")
        }
        let seconds = try barSeconds(body.stream ?? "trades")
        guard let streaming = sources.source(description.id) as? any StreamingSource else {
            throw description.streams
                ? Problem.conflict(code: "source_not_configured", detail: "The settings of this source are absent.", field: "id")
                : Problem.unprocessable(code: "source_does_not_stream", detail: "This source tells of the past only.", field: "id")
        }
        do { _ = try streaming.stream(seconds.map { .bars(seconds: $0) } ?? .trades) } catch let error as SourceError {
            throw Problem.unprocessable(code: "stream_not_available", detail: "This source does not stream that: \(error).", field: "stream")
        }
        switch try await subscriptions.put(instrument.id, source: description.id, symbol: symbol, barSeconds: seconds) {
        case .done(let made):
            Logger("live-feed").notice(
                "an instrument is live",
                ["source": .string(description.id), "instrument": .string(instrument.symbol), "symbol": .string(symbol)]
            )
            let closed = try await live.closedThrough(feed: description.id)
            let holes = try await subscriptions.holes(of: description.id, each: Self.holes)
            return try .json(try await answer(made, closed[made.instrumentID], holes))
        case .elsewhere(let other):
            throw Problem.conflict(
                code: "live_elsewhere",
                detail: "The instrument is live from \(other): take it away there first, as bars of two sources would be mixed.",
                field: "instrument"
            )
        case .symbolTaken(let other):
            throw Problem.conflict(code: "symbol_taken", detail: "Under this symbol the source tells of \(other) already.", field: "symbol")
        }
    }

    /// `DELETE /api/sources/{id}/live?instrument=`
    private func delete(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        let source = try source(request).id
        let instrument = try await instrument(request)
        guard try await subscriptions.delete(instrument.id, source: source) else {
            throw Problem.notFound(code: "not_live", detail: "The instrument is not live from this source.", field: "instrument")
        }
        Logger("live-feed").notice("an instrument is live no more", ["source": .string(source), "instrument": .string(instrument.symbol)])
        return .noContent
    }

    private func answer(
        _ subscription: LiveSubscription,
        _ closed: (SeriesKey, Int64)?,
        _ holes: [InstrumentID: [LiveSubscriptionStore.Hole]]
    ) async throws -> LiveSubscriptionAnswer {
        var lag: Double?
        let through = closed?.0 == subscription.series ? closed?.1 : nil
        if let through, let instrument = try await store.instrument(id: subscription.instrumentID) {
            let now = time.now().microseconds
            var sessions = LiveSessions(try TradingClock(try await calendars.calendar(named: instrument.calendar)))
            if sessions.isOpen(in: now..<now + 1) { lag = Double(max(0, now - through)) / 1_000_000 }
        }
        return LiveSubscriptionAnswer(
            subscription,
            closedThrough: through.map { Timestamp(microseconds: $0) },
            lagSeconds: lag,
            holes: holes[subscription.instrumentID] ?? []
        )
    }

    private func source(_ request: Request) throws -> SourceDescription {
        let id = request.parameters["id"] ?? ""
        guard let found = sources.descriptions.first(where: { $0.id == id }) else {
            throw Problem.notFound(code: "unknown_source", detail: "There is no such source.", field: "id")
        }
        return found
    }

    private func barSeconds(_ text: String) throws -> Int? {
        if text == "trades" { return nil }
        guard let interval = try? BarInterval(text: text), LiveSubscription.barSeconds.contains(interval.seconds) else {
            throw MarketdataError.invalid(
                field: "stream",
                code: "invalid_stream",
                detail: "trades, or the length of the source's bars: one that divides an hour, such as 5s, 1m or 1h."
            )
        }
        return interval.seconds
    }

    private func instrument(_ request: Request) async throws -> Instrument {
        try request.query.reject(unknownExcept: ["instrument"])
        guard let symbol = request.query.string("instrument") else {
            throw Problem.badRequest(code: "missing_parameter", detail: "instrument is needed.", field: "instrument")
        }
        guard InstrumentSymbol.canExist(symbol), let found = try await store.instrument(symbol: symbol) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        guard found.replayOf == nil else {
            throw MarketdataError.invalid(field: "instrument", code: "invalid_instrument", detail: "A replay cannot be live.")
        }
        return found
    }
}
