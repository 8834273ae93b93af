import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension MarketdataRoutes {
    /// What an executor may read, by its job token; nothing for other callers, who may read everything.
    func jobClaims(of request: Request, _ jobTokens: JobTokenVerifier) throws -> JobTokenClaims? {
        guard request.callingService == "executor" else { return nil }
        guard let token = request.headers["X-Auspex-Job"] else {
            throw Problem.unauthorized(code: "job_token_missing", detail: "An executor reads bars with a job token.")
        }
        do { return try jobTokens.verify(token, now: time.now()) } catch {
            throw Problem.unauthorized(code: "invalid_job_token", detail: "The job token is not valid.")
        }
    }
}

extension JobTokenClaims {
    /// The moment whose knowledge counts for a job that asks for an instrument as of some moment; refuses what its token does not cover.
    func admit(instrument symbol: String, asOf asked: Timestamp?) throws -> Timestamp {
        guard instruments.contains(symbol) else { throw MarketdataError.outsideJobToken("this instrument") }
        let moment = asked ?? asOf
        guard moment <= asOf else { throw MarketdataError.outsideJobToken("knowledge after its as_of") }
        return moment
    }
}
