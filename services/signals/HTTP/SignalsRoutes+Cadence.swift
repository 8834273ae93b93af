import Contracts
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    /// `GET /api/signals/{id}/cadence`: how reliably it ran, by UTC day; for whoever may see its chain.
    func cadenceByDay(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["from", "to"])
        guard let cadenceDays else { throw Problem.notFound() }
        let signal = try await verifiableSignal(request)
        let last = try query.value("to", as: CivilDate.self) ?? CivilDate(of: time.now())
        let first = try query.value("from", as: CivilDate.self) ?? CivilDate(daysSince1970: last.daysSince1970 - 29)
        guard first <= last, last.daysSince1970 - first.daysSince1970 < 366 else {
            throw Problem.badRequest(
                code: "invalid_range",
                detail: "At most 366 days, the first of them before the last, would be right.",
                field: "from"
            )
        }
        return try .json(
            CadenceAnswer(signal.id, from: first, to: last, days: try await cadenceDays.days(of: signal.id, from: first, through: last))
        )
    }
}
