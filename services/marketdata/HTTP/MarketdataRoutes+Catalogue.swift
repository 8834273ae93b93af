import Bars
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    private var catalogue: Catalogue { Catalogue(store: store, cpu: importer.cpu, time: time) }

    // MARK: Datasets

    /// `GET /api/datasets`
    func listDatasets(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["cursor", "limit", "text", "asset_class"])
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        var query = DatasetQuery(limit: limit + 1)
        query.containing = try Self.searched(request.query)
        query.assetClass = try Self.assetClass(request.query)
        if let cursor = try request.query.cursor(parts: 1) {
            guard let name = DatasetName(cursor.parts[0]) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "This is not a cursor of this list.", field: "cursor")
            }
            query.after = (name.symbol, name.series)
        }
        let found = try await store.datasets(query)
        return try .json(CursorPage(found: found.map { DatasetAnswer($0) }, limit: limit) { Cursor([$0.name]) })
    }

    /// `GET /api/datasets/{name}`
    func dataset(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        return try await answer(request) { _, asOf in asOf }
    }

    /// `GET /internal/v1/datasets/{name}`: an executor reads within its job token only.
    func internalDataset(_ request: Request, jobTokens: JobTokenVerifier) async throws -> Response {
        try await answer(request) { name, asOf in
            guard let claims = try jobClaims(of: request, jobTokens) else { return asOf }
            return try claims.admit(instrument: name.symbol, asOf: asOf)
        }
    }

    private func answer(_ request: Request, _ admitted: (DatasetName, Timestamp?) throws -> Timestamp?) async throws -> Response {
        try request.query.reject(unknownExcept: ["as_of"])
        let asOf = try BarQuery.moment("as_of", request.query)
        let text = request.parameters["name"] ?? ""
        guard let name = DatasetName(text) else { throw MarketdataError.unknownDataset(text) }
        let moment = try admitted(name, asOf)
        let found = try await catalogue.dataset(name, asOf: moment)
        return try await importer.cpu.run { try .json(DatasetDetailAnswer(found, asOf: moment)) }
    }

    // MARK: Coverage

    /// `GET /api/instruments/{symbol}/coverage`
    func coverage(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["interval", "price", "session", "start", "end"])
        let symbol = request.parameters["symbol"] ?? ""
        guard InstrumentSymbol.canExist(symbol) else { throw MarketdataError.unknownInstrument(symbol) }
        var query = Catalogue.CoverageQuery(symbol: symbol)
        if let text = request.query.string("interval") {
            guard let interval = try? BarInterval(text: text) else {
                throw Problem.badRequest(code: "invalid_parameter", detail: "interval is like 1s, 1m or 1d.", field: "interval")
            }
            query.interval = interval
        }
        query.price = try request.query.choice("price", of: PriceSide.allCases.map(\.rawValue)).flatMap { PriceSide(rawValue: $0) }
        let session = try request.query.choice("session", of: ["regular", "extended"]).flatMap { SessionKind(rawValue: $0) }
        query.session = session ?? .regular
        query.first = try Self.day("start", request.query)
        query.last = try Self.day("end", request.query)
        let found = try await catalogue.coverage(query)
        return try await importer.cpu.run { try .json(CoverageAnswer(found)) }
    }

    private static func day(_ name: String, _ query: Query) throws -> CivilDay? {
        guard let text = query.string(name) else { return nil }
        guard let day = CivilDay(text: text), (CivilDay(year: 1600, month: 1, day: 1)...CivilDay(year: 2400, month: 1, day: 1)).contains(day) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "\(name) is a day such as 2016-10-08.", field: name)
        }
        return day
    }

    // MARK: Calendars

    /// `GET /api/calendars`
    func listCalendars(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["cursor", "limit"])
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        let cursor = try request.query.cursor(parts: 1)
        let found = try await catalogue.calendars(after: cursor?.parts[0], limit: limit + 1)
        return try .json(CursorPage(found: found.map { CalendarSummaryAnswer($0) }, limit: limit) { Cursor([$0.name]) })
    }

    /// `GET /api/calendars/{name}`
    func calendar(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: [])
        let name = request.parameters["name"] ?? ""
        guard name.utf8.count <= 120, name.unicodeScalars.allSatisfy({ $0.value >= 32 }) else { throw MarketdataError.calendarNotFound(name) }
        do { return try .json(CalendarAnswer(try await catalogue.calendar(named: name))) } catch MarketdataError.unknownCalendar {
            throw MarketdataError.calendarNotFound(name)
        }
    }

    // MARK: What lists are searched by

    /// A part of a symbol to look for.
    static func searched(_ query: Query) throws -> String? {
        guard let text = query.string("text") else { return nil }
        guard text.utf8.count <= 64, text.unicodeScalars.allSatisfy({ $0.value >= 32 }) else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "At most 64 bytes of text would be right.", field: "text")
        }
        return text.uppercased()
    }

    static func assetClass(_ query: Query) throws -> AssetClass? {
        try query.choice("asset_class", of: AssetClass.words).flatMap { AssetClass(rawValue: $0) }
    }
}
