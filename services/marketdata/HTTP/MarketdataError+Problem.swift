import Bars
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
        case .calendarNotFound(let name): .notFound(code: "unknown_calendar", detail: "There is no calendar \(name.prefix(64)).", field: "name")
        case .unknownDataset(let name): .notFound(code: "unknown_dataset", detail: "There is no dataset \(name.prefix(120)).", field: "name")
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
        case .tooManyReplays(let limit):
            .conflict(code: "too_many_replays", detail: "This account runs \(limit) replays already, the most that it may: pause or end one first.")
        case .noRoomForReplays:
            .tooManyRequests(code: "no_room_for_replays", detail: "As many replays run as there may be; try again later.", retryAfterSeconds: 60)
        case .nothingToReplay:
            .unprocessable(code: "nothing_to_replay", detail: "The instrument has no bars from this start on.", field: "start")
        case .outsideJobToken(let what): .forbidden(code: "outside_job_token", detail: "The job token does not cover \(what).")
        case .tooManyBaseRows(let interval, let asked, let field, let maximum, let affordable):
            Self.tooManyBaseRows(interval: interval, asked: asked, field: field, maximum: maximum, affordable: affordable)
        case .tooManyHeavyReads:
            // Not 503: that would say of the whole replica what is true of one question, and the gateway would believe it.
            .tooManyRequests(
                code: "too_many_heavy_reads",
                detail: "Too many long questions are being answered at the moment; try again.",
                retryAfterSeconds: 2
            )
        case .rangeTooLong(let right):
            .unprocessable(code: "range_too_long", detail: "One report does not span so much: \(right).", field: "start")
        case .daysRemoved(let instrument):
            .conflict(code: "days_removed", detail: "Old bars of \(instrument) were removed while they were read; ask again.", field: "instrument")
        case .damagedChunk(let instrument, let day, _):
            Problem(
                status: .internalError,
                code: "damaged_chunk",
                detail: "The stored bars of \(instrument) on \(day.text) cannot be read; an operator has to import that day again."
            )
        }
    }

    private static func tooManyBaseRows(interval: String, asked: Int, field: String, maximum: Int, affordable: Int) -> Problem {
        let right =
            affordable < 1
            ? "a shorter interval would be right." : "\(field) of at most \(affordable), or an earlier end of the stretch, would be right."
        var problem = Problem.unprocessable(
            code: "too_many_base_rows",
            detail: "\(asked) bars of \(interval) would be made of more than \(maximum) stored bars, the most that one request may read: \(right)",
            field: field
        )
        problem.extra["maximum_base_rows"] = .integer(Int64(maximum))
        return problem
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
        case .intervalRequired: return .unprocessable(code: code, detail: detail, field: "interval")
        case .ambiguousDates: return .unprocessable(code: code, detail: detail, field: "date_order")
        case .badOption(let name, _): return .badRequest(code: code, detail: detail, field: name)
        default: return .unprocessable(code: code, detail: detail)
        }
    }
}
