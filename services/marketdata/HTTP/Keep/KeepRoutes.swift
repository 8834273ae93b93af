import Bars
import Contracts
import HTTPServing
import Messaging
import Postgres
import PostgresIdempotency
import ServiceRuntime

/// What is kept up to date out of which source, and how that goes. Administrators only.
struct KeepRoutes: Sendable {
    let store: PostgresMarketdataStore
    let rules: KeepStore
    let sources: SourceCatalogue
    let keeper: Keeper
    let fetchFirst: FetchFirst?
    let time: any TimeSource
    private let idempotency: Idempotency<PostgresIdempotencyStore>

    init(
        store: PostgresMarketdataStore,
        rules: KeepStore,
        sources: SourceCatalogue,
        keeper: Keeper,
        fetchFirst: FetchFirst?,
        time: any TimeSource
    ) {
        self.store = store
        self.rules = rules
        self.sources = sources
        self.keeper = keeper
        self.fetchFirst = fetchFirst
        self.time = time
        idempotency = Idempotency(store: PostgresIdempotencyStore(pool: store.pool, takesOldAlong: true) { store.outbox.poke() })
    }

    /// Adds the public routes; `authentication` finds out who asks.
    func add(to router: inout Router, authentication: any Middleware) {
        let people = router.grouped(authentication)
        people.get("/api/sources/keep", list)
        people.post("/api/sources/keep", create)
        people.get("/api/sources/keep/{id}", find)
        people.patch("/api/sources/keep/{id}", change)
        people.delete("/api/sources/keep/{id}", delete)
        people.post("/api/sources/keep/{id}/run", runNow)
    }

    /// `GET /api/sources/keep`
    private func list(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: ["instrument", "cursor", "limit"])
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        var after: KeepRuleID?
        if let cursor = try request.query.cursor(parts: 1) {
            guard let id = KeepRuleID(cursor.parts[0]) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "The cursor is none of this list.", field: "cursor")
            }
            after = id
        }
        var instrument: InstrumentID?
        if let symbol = request.query.string("instrument") {
            guard InstrumentSymbol.canExist(symbol), let found = try await store.instrument(symbol: symbol) else {
                throw MarketdataError.unknownInstrument(symbol)
            }
            instrument = found.id
        }
        let found = try await rules.rules(after: after, instrument: instrument, limit: limit + 1)
        let now = time.now()
        return try .json(CursorPage(found: found.map { KeepRuleAnswer($0, now: now) }, limit: limit) { Cursor([$0.id.description]) })
    }

    private struct NewRule: Decodable {
        let instrument: String
        let source: String
        let sourceSymbol: String?
        let interval: String
        let everySeconds: Int
        let backfillFrom: Timestamp
        let enabled: Bool?
        let assetClass: String?
        let calendar: String?
    }

    /// `POST /api/sources/keep`: a rule, and its instrument where that is new; due at once.
    private func create(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let body = try request.json(NewRule.self)
        guard let description = sources.description(of: body.source) else {
            throw MarketdataError.invalid(
                field: "source",
                code: "unknown_source",
                detail: "One of \(sources.ids.joined(separator: ", ")) would be right."
            )
        }
        guard let kind = HistoryRequest.Kind(text: body.interval) else {
            throw MarketdataError.invalid(
                field: "interval",
                code: "invalid_interval",
                detail: "tick, or a length such as 1s, 1m or 1d, would be right."
            )
        }
        let (instrument, isNew) = try await self.instrument(body)
        let now = time.now()
        let rule = KeepRule(
            id: .make(),
            instrumentID: instrument.id,
            symbol: instrument.symbol,
            calendar: instrument.calendar,
            assetClass: instrument.assetClass,
            source: description.id,
            sourceSymbol: try sourceSymbol(body.sourceSymbol ?? instrument.symbol),
            kind: kind,
            everySeconds: try everySeconds(body.everySeconds),
            backfillFrom: try backfillFrom(body.backfillFrom, now: now),
            isEnabled: body.enabled ?? true,
            nextDueAt: now,
            createdAt: now,
            changedAt: now
        )
        let (store, rules) = (store, rules)
        let response = try await idempotency.run(request) { connection in
            if isNew {
                do { try await store.insert(instrument, on: connection) } catch let error as PostgresError
                    where error.isUniqueViolation(of: "instruments_symbol_key")
                { throw MarketdataError.symbolTaken(instrument.symbol) }
            }
            try await rules.create(rule, on: connection)
            return try .json(KeepRuleAnswer(rule, now: now), status: .created)
        }
        changed(rule)
        return response
    }

    /// The instrument of a new rule, and whether it has to be made.
    private func instrument(_ body: NewRule) async throws -> (Instrument, isNew: Bool) {
        guard InstrumentSymbol.canExist(body.instrument) else { throw Self.invalidInstrument }
        let asked = try body.assetClass.map { text in
            guard let known = AssetClass(rawValue: text) else {
                throw MarketdataError.invalid(
                    field: "asset_class",
                    code: "invalid_asset_class",
                    detail: "One of \(AssetClass.allCases.map(\.rawValue).joined(separator: ", "))."
                )
            }
            return known
        }
        if let found = try await store.instrument(symbol: body.instrument) {
            guard found.replayOf == nil else {
                throw MarketdataError.invalid(
                    field: "instrument",
                    code: "invalid_instrument",
                    detail: "A replay has no bars of its own; another instrument would be right."
                )
            }
            if let asked, asked != found.assetClass {
                throw MarketdataError.invalid(
                    field: "asset_class",
                    code: "invalid_asset_class",
                    detail: "The instrument is there already, as \(found.assetClass.rawValue)."
                )
            }
            if let calendar = body.calendar, calendar != found.calendar {
                throw MarketdataError.invalid(
                    field: "calendar",
                    code: "invalid_calendar",
                    detail: "The instrument is there already, with the calendar \(found.calendar)."
                )
            }
            return (found, false)
        }
        guard InstrumentSymbol.isValid(body.instrument) else { throw Self.invalidInstrument }
        let assetClass = asked ?? AssetClass.guess(symbol: body.instrument)
        let name = body.calendar ?? assetClass.usualCalendar
        guard let calendar = try await store.calendar(named: name) ?? CalendarCatalogue.all[name] else { throw MarketdataError.unknownCalendar(name) }
        let made = Instrument(
            id: .make(),
            symbol: body.instrument,
            assetClass: assetClass,
            calendar: calendar.name,
            timeZone: calendar.timeZone,
            tickSize: nil,
            lotSize: nil,
            volumeUnit: assetClass.usualVolumeUnit,
            baseIntervalSeconds: nil,
            feed: .live,
            replayOf: nil,
            active: true,
            version: 1,
            createdAt: time.now()
        )
        return (made, true)
    }

    private static let invalidInstrument = MarketdataError.invalid(
        field: "instrument",
        code: "invalid_symbol",
        detail: "1 to 40 of A-Z, 0-9, dot, dash and underscore would be right."
    )

    /// `GET /api/sources/keep/{id}`
    private func find(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        return try answer(try await rules.rule(try id(request)))
    }

    private struct ChangedRule: Decodable {
        let sourceSymbol: String?
        let everySeconds: Int?
        let backfillFrom: Timestamp?
        let enabled: Bool?
    }

    /// `PATCH /api/sources/keep/{id}`: what is left out stays; the same again changes nothing.
    private func change(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let body = try request.json(ChangedRule.self)
        let change = KeepStore.Change(
            sourceSymbol: try body.sourceSymbol.map(sourceSymbol),
            everySeconds: try body.everySeconds.map(everySeconds),
            backfillFrom: try body.backfillFrom.map { try backfillFrom($0, now: time.now()) },
            isEnabled: body.enabled
        )
        return try answer(try await rules.change(try id(request), change))
    }

    /// `DELETE /api/sources/keep/{id}`: what it fetched stays.
    private func delete(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        let id = try id(request)
        let rule = try await rules.rule(id)
        guard let rule, try await rules.delete(id) else { throw KeepError.unknownRule }
        fetchFirst?.forget(rule.symbol)
        return .noContent
    }

    /// `POST /api/sources/keep/{id}/run`: while it runs, again when that is done.
    private func runNow(_ request: Request) async throws -> Response {
        try request.requireSession(anyOf: ["admin"])
        try request.query.reject(unknownExcept: [])
        guard let rule = try await rules.runNow(try id(request)) else { throw KeepError.unknownRule }
        guard rule.isEnabled else { throw KeepError.disabled }
        changed(rule)
        return try .json(KeepRuleAnswer(rule, now: time.now()), status: .accepted)
    }

    private func answer(_ rule: KeepRule?) throws -> Response {
        guard let rule else { throw KeepError.unknownRule }
        changed(rule)
        return try .json(KeepRuleAnswer(rule, now: time.now()))
    }

    private func changed(_ rule: KeepRule) {
        fetchFirst?.forget(rule.symbol)
        keeper.wake(rule.id)
    }

    private func id(_ request: Request) throws -> KeepRuleID {
        guard let id = request.parameters["id"].flatMap({ KeepRuleID($0) }) else { throw KeepError.unknownRule }
        return id
    }

    // MARK: Fields

    private func sourceSymbol(_ text: String) throws -> String {
        guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            throw MarketdataError.invalid(
                field: "source_symbol",
                code: "invalid_source_symbol",
                detail: "The instrument as the source spells it: 1 to 64 printable characters without blanks would be right."
            )
        }
        return text
    }

    private func everySeconds(_ seconds: Int) throws -> Int {
        let right = KeepRule.everySeconds
        guard right.contains(seconds) else {
            throw MarketdataError.invalid(
                field: "every_seconds",
                code: "invalid_every_seconds",
                detail: "\(right.lowerBound) to \(right.upperBound) would be right."
            )
        }
        return seconds
    }

    private func backfillFrom(_ moment: Timestamp, now: Timestamp) throws -> Timestamp {
        guard moment < now, CivilDate(of: moment).fields.year >= 1_900 else {
            throw MarketdataError.invalid(
                field: "backfill_from",
                code: "invalid_backfill_from",
                detail: "A time that has passed, of the year 1900 or later, would be right."
            )
        }
        return moment
    }
}

extension SourceCatalogue {
    /// What a source is, configured or not.
    func description(of id: String) -> SourceDescription? { descriptions.first { $0.id == id } }

    var ids: [String] { descriptions.map(\.id) }
}
