import Bars
import Contracts
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    /// `GET /api/instruments`
    func listInstruments(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["cursor", "limit", "text", "asset_class"])
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        let cursor = try request.query.cursor(parts: 1)
        let text = try Self.searched(request.query)
        let assetClass = try Self.assetClass(request.query)
        let found = try await store.instruments(after: cursor?.parts[0], containing: text, assetClass: assetClass, limit: limit + 1)
        return try .json(CursorPage(found: found.map { InstrumentAnswer($0) }, limit: limit) { Cursor([$0.symbol]) })
    }

    /// `GET /api/instruments/{symbol}`
    func instrument(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["at"])
        let symbol = request.parameters["symbol"] ?? ""
        let date = try nameDate(request.query)
        guard InstrumentSymbol.canExist(symbol),
            let found = try await store.description(of: symbol, on: date ?? .moment(time.now()), strictly: date != nil)
        else { throw MarketdataError.unknownInstrument(symbol) }
        let names = try await store.names(of: found.instrument.id)
        let retention = try await store.retention(of: found.instrument.replayOf ?? found.instrument.id)
        return try .json(InstrumentAnswer(found.instrument, series: found.series, names: names, retention: retention))
    }

    /// `GET /internal/v1/instruments/{symbol}`
    func internalInstrument(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let symbol = request.parameters["symbol"] ?? ""
        guard InstrumentSymbol.canExist(symbol), let found = try await store.description(of: symbol, on: .moment(time.now())) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        return try .json(InstrumentAnswer(found.instrument))
    }

    private struct NewInstrument: Decodable {
        let symbol: String
        let assetClass: String
        let calendar: String?
        let tickSize: DecimalText?
        let lotSize: DecimalText?
        let volumeUnit: String?
    }

    /// `POST /api/instruments`, administrators only
    func createInstrument(_ request: Request) async throws -> Response {
        try requireSession(request, anyOf: "admin")
        try request.query.reject(unknownExcept: [])
        let body = try request.json(NewInstrument.self)
        guard InstrumentSymbol.isValid(body.symbol) else {
            throw MarketdataError.invalid(
                field: "symbol",
                code: "invalid_symbol",
                detail: "1 to 40 of A-Z, 0-9, dot, dash and underscore would be right."
            )
        }
        guard let assetClass = AssetClass(rawValue: body.assetClass) else {
            throw MarketdataError.invalid(
                field: "asset_class",
                code: "invalid_asset_class",
                detail: "One of \(AssetClass.allCases.map(\.rawValue).joined(separator: ", "))."
            )
        }
        var unit = assetClass.usualVolumeUnit
        if let text = body.volumeUnit {
            guard let known = VolumeUnit(rawValue: text) else {
                throw MarketdataError.invalid(
                    field: "volume_unit",
                    code: "invalid_volume_unit",
                    detail: "One of \(VolumeUnit.allCases.map(\.rawValue).joined(separator: ", "))."
                )
            }
            unit = known
        }
        for (field, value) in [("tick_size", body.tickSize), ("lot_size", body.lotSize)] {
            if let value, !(0...1e12).contains(DecimalNumber(value.text)?.double ?? -1) || DecimalNumber(value.text)?.double == 0 {
                throw MarketdataError.invalid(field: field, code: "invalid_\(field)", detail: "A decimal above zero, at most 1e12, would be right.")
            }
        }
        let name = body.calendar ?? assetClass.usualCalendar
        guard let calendar = try await store.calendar(named: name) ?? CalendarCatalogue.all[name] else { throw MarketdataError.unknownCalendar(name) }
        let instrument = Instrument(
            id: .make(),
            symbol: body.symbol,
            assetClass: assetClass,
            calendar: calendar.name,
            timeZone: calendar.timeZone,
            tickSize: body.tickSize,
            lotSize: body.lotSize,
            volumeUnit: unit,
            baseIntervalSeconds: nil,
            feed: .live,
            replayOf: nil,
            active: true,
            version: 1,
            createdAt: time.now()
        )
        return try await effects.run(request) { store in
            try await store.create(instrument)
            return try .json(InstrumentAnswer(instrument), status: .created)
        }
    }

    /// A session of somebody with one of the roles; no API key has a scope for this.
    func requireSession(_ request: Request, anyOf roles: String...) throws { try request.requireSession(anyOf: roles) }

    private struct WatchList: Decodable {
        struct Entry: Decodable {
            let instrument: String
            let intervalSeconds: Int
        }
        let watches: [Entry]
    }

    /// `POST /internal/v1/watches`: replaces the caller's set
    func replaceWatches(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let body = try request.json(WatchList.self)
        // Finer closes travel by other ways than events. One schedule's mistake must not cost the others their closes: it is passed over.
        let watches = body.watches.filter { (5...366 * 86_400).contains($0.intervalSeconds) }
        let unknown = try await store.replaceWatches(
            of: request.callingService ?? "",
            with: watches.map { Watch(symbol: $0.instrument, intervalSeconds: $0.intervalSeconds) }
        )
        if !unknown.isEmpty || watches.count < body.watches.count {
            Logger("watches").notice(
                "some watches are passed over",
                ["unknown": .string(unknown.sorted().prefix(20).joined(separator: " ")), "too_fine": .integer(body.watches.count - watches.count)]
            )
        }
        replays.feed?.wake()
        return .noContent
    }
}

extension Request {
    /// Refuses everybody but a person with one of the roles.
    func requireSession(anyOf roles: [String]) throws {
        let principal = try authenticated()
        guard principal.sessionID != nil else {
            throw Problem.forbidden(code: "insufficient_scope", detail: "This needs an access token; no API key has a scope for it.")
        }
        guard roles.contains(where: principal.has(role:)) else {
            throw Problem.forbidden(code: "insufficient_role", detail: "This needs the role \(roles.joined(separator: " or ")).")
        }
    }
}
