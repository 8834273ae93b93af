import Bars
import Contracts
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    /// `GET /api/instruments/{symbol}/actions`: those that were known and in force at a moment.
    func listActions(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["as_of", "revisions_as_of"])
        let symbol = request.parameters["symbol"] ?? ""
        let now = time.now()
        let asOf = try BarQuery.moment("as_of", request.query)
        let revisions = try BarQuery.moment("revisions_as_of", request.query)
        guard InstrumentSymbol.canExist(symbol), let found = try await store.description(of: symbol, on: .moment(min(asOf ?? now, now))) else {
            throw MarketdataError.unknownInstrument(symbol)
        }
        let instrument = found.instrument
        // A replay's moment is on another clock: there the bars themselves tell.
        let question = BarRequest(symbol: symbol, interval: .days(1), asOf: asOf, revisionsAsOf: revisions)
        let view = try await KnowledgeView.of(instrument, request: question, store: store, now: now)
        let clock = try TradingClock(try await calendars.calendar(named: instrument.calendar))
        var actions: [ActionsAnswer.Action] = []
        for action in try await store.actions(of: view.source.id, recordedBy: view.recordedBy) {
            let instant = action.inForceFrom(clock)
            if instant <= view.cut { actions.append(ActionsAnswer.Action(action, inForceFrom: instant)) }
        }
        return try .json(ActionsAnswer(instrument: instrument.symbol, instrumentID: instrument.id, actions: actions))
    }

    /// `GET /api/instruments/{symbol}/quality`: who may read bars may know what is odd about them.
    func qualityReport(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        try request.query.reject(unknownExcept: ["start", "end"])
        let symbol = request.parameters["symbol"] ?? ""
        guard InstrumentSymbol.canExist(symbol) else { throw MarketdataError.unknownInstrument(symbol) }
        let start = try BarQuery.moment("start", request.query)
        let end = try BarQuery.moment("end", request.query)
        if let start, let end, end <= start {
            throw MarketdataError.invalid(field: "end", code: "invalid_parameter", detail: "A time after start would be right.")
        }
        return try .json(try await quality.report(on: symbol, start: start, end: end))
    }

    /// The date of `?at=`, on which a symbol is meant.
    func nameDate(_ query: Query) throws -> NameDate? {
        guard let text = query.string("at") else { return nil }
        guard let day = CivilDay(text: text), (1_600...2_400).contains(day.components.year) else {
            throw MarketdataError.invalid(field: "at", code: "invalid_parameter", detail: "A date such as 2001-05-01 would be right.")
        }
        return .day(day)
    }
}
