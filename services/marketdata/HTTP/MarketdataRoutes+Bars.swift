import Bars
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    /// `GET /api/bars`
    func bars(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        var (question, format) = try BarQuery.read(request.query, besides: ["fetch"])
        // As of a time to come nothing is known but what is known now: a bar that still runs would look whole, also of a client whose clock is ahead.
        if let asOf = question.asOf, asOf > time.now() { question.asOf = nil }
        let lacking = try request.query.boolean("fetch", default: true) ? try await fetchFirst?.prepare(question) : nil
        var response = try await answer(question, format, for: .people)
        if let lacking { response.headers[FetchFirst.header] = lacking }
        return response
    }

    /// `GET /internal/v1/bars`: an executor reads within its job token only.
    func internalBars(_ request: Request, jobTokens: JobTokenVerifier) async throws -> Response {
        var (question, format) = try BarQuery.read(request.query)
        if let claims = try jobClaims(of: request, jobTokens) {
            question.asOf = try claims.admit(instrument: question.symbol, asOf: question.asOf)
            // The token lists whom the symbol meant for the run, not who bore it at another time.
            question.symbolAt = claims.asOf
        }
        return try await answer(question, format, for: .platform)
    }

    private func answer(_ question: BarRequest, _ format: BarQuery.Format, for purpose: ReadPurpose) async throws -> Response {
        let answer = try await reader.read(question, for: purpose)
        if format == .binary, answer.bars.count <= reader.limits.lightAnswerBars { return answer.response(format) }
        return try await importer.cpu.run { answer.response(format) }
    }
}
