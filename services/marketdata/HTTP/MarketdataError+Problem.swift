import Contracts
import HTTPServing

extension MarketdataError: ProblemRepresentable {
    /// What clients read of a refusal: the one place where marketdata's errors become HTTP.
    var problem: Problem {
        switch self {
        case .unknownInstrument(let symbol):
            .notFound(code: "unknown_instrument", detail: "There is no instrument \(symbol.prefix(64)).", field: "instrument")
        case .symbolTaken(let symbol): .conflict(code: "symbol_taken", detail: "There is an instrument \(symbol) already.", field: "symbol")
        case .unknownCalendar(let name):
            .unprocessable(code: "unknown_calendar", detail: "There is no calendar \(name.prefix(64)).", field: "calendar")
        case .invalid(let field, let code, let detail): .badRequest(code: code, detail: detail, field: field)
        case .intervalNotAvailable(let asked, let stored):
            .unprocessable(
                code: "interval_not_available",
                detail: "Bars of \(asked) cannot be made of the stored ones (\(stored.joined(separator: ", "))): a multiple of one would be right.",
                field: "interval"
            )
        case .priceNotAvailable(let price):
            .unprocessable(code: "price_not_available", detail: "The instrument has no \(price) bars.", field: "price")
        case .unknownReplay: .notFound(code: "unknown_replay", detail: "There is no such replay.")
        case .replayState(let state): .conflict(code: "replay_state", detail: "The replay is \(state), which does not allow this.")
        case .nothingToReplay:
            .unprocessable(code: "nothing_to_replay", detail: "The instrument has no bars from this start on.", field: "start")
        case .outsideJobToken(let what): .forbidden(code: "outside_job_token", detail: "The job token does not cover \(what).")
        case .damagedChunk:
            Problem(status: .internalError, code: "damaged_chunk", detail: "A stored day cannot be read; an operator has to import it again.")
        }
    }
}

extension ImportError: ProblemRepresentable {
    /// The bad rows are listed by line, a hundred at most.
    var problem: Problem {
        switch self {
        case .badRows(let problems):
            var problem = Problem.unprocessable(code: code, detail: detail)
            problem.extra["bad_rows"] = .array(problems.kept.map(BadRowAnswer.json))
            problem.extra["bad_row_count"] = .integer(Int64(problems.total))
            return problem
        case .symbolRequired: return .badRequest(code: code, detail: detail, field: "symbol")
        case .badOption(let name, _): return .badRequest(code: code, detail: detail, field: name)
        default: return .unprocessable(code: code, detail: detail)
        }
    }
}
