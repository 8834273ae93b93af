import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    /// `GET /api/bars`
    func bars(_ request: Request) async throws -> Response {
        try request.authenticated().require(scope: "bars:read")
        let (question, format) = try BarQuery.read(request.query)
        return try await answer(question, format, for: .people)
    }

    /// `GET /internal/v1/bars`: an executor reads within its job token only.
    func internalBars(_ request: Request, jobTokens: JobTokenVerifier) async throws -> Response {
        var (question, format) = try BarQuery.read(request.query)
        if request.callingService == "executor" {
            guard let token = request.headers["X-Auspex-Job"] else {
                throw Problem.unauthorized(code: "job_token_missing", detail: "An executor reads bars with a job token.")
            }
            let claims: JobTokenClaims
            do { claims = try jobTokens.verify(token, now: time.now()) } catch {
                throw Problem.unauthorized(code: "invalid_job_token", detail: "The job token is not valid.")
            }
            guard claims.instruments.contains(question.symbol) else { throw MarketdataError.outsideJobToken("this instrument") }
            let asOf = question.asOf ?? claims.asOf
            guard asOf <= claims.asOf else { throw MarketdataError.outsideJobToken("knowledge after its as_of") }
            question.asOf = asOf
            // The token lists whom the symbol meant for the run, not who bore it at another time.
            question.symbolAt = claims.asOf
        }
        return try await answer(question, format, for: .platform)
    }

    /// Writing thousands of bars is too much for a loop.
    private func answer(_ question: BarRequest, _ format: BarQuery.Format, for purpose: ReadPurpose) async throws -> Response {
        let answer = try await reader.read(question, for: purpose)
        return try await importer.cpu.run { answer.response(format) }
    }
}
