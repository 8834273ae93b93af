import Bars
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    private static let fewBars = 2_000

    /// `GET /api/bars`
    func bars(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        let (question, format) = try BarQuery.read(request.query, besides: ["fetch"])
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

    /// Writing thousands of bars is too much for a loop; the binary form is the columns as they are.
    private func answer(_ question: BarRequest, _ format: BarQuery.Format, for purpose: ReadPurpose) async throws -> Response {
        let answer = try await reader.read(question, for: purpose)
        if format == .binary, answer.bars.count <= Self.fewBars { return answer.response(format) }
        return try await importer.cpu.run { answer.response(format) }
    }
}
