import Contracts
import Cryptography
import HTTPServing
import Requirements
import ServiceRuntime

/// The internal routes by which executors agree on the packages of a version: each within its job's token, which names the version.
struct LockRoutes: Sendable {
    let locks: EnvironmentLocks
    let time: any TimeSource

    /// Adds them to the router of the internal port.
    func add(to router: inout Router, authenticating callers: ([String]) -> any Middleware, jobTokens: JobTokenVerifier) {
        let executors = router.grouped(callers(["executor"]))
        executors.get("/internal/v1/locks/{platform}") { request in
            guard let lock = try await locks.find(try place(request, jobTokens)) else { throw Problem.notFound(field: "platform") }
            return Self.text(lock)
        }
        executors.put("/internal/v1/locks/{platform}", maximumBodyBytes: LockText.maximumBytes) { request in
            let place = try place(request, jobTokens)
            guard let lock = String(validating: request.body, as: UTF8.self), !lock.isEmpty, LockText.isPlain(lock) else {
                throw Problem.badRequest(code: "bad_lock", detail: "Exact versions with the hashes of their files would be right.", field: "body")
            }
            guard let kept = try await locks.keep(lock, at: place) else {
                throw Problem.forbidden(code: "outside_job_token", detail: "The job token names no version of the signal.")
            }
            return Self.text(kept)
        }
    }

    private static func text(_ lock: String) -> Response { .bytes(Array(lock.utf8), contentType: "text/plain; charset=utf-8") }

    private func place(_ request: Request, _ jobTokens: JobTokenVerifier) throws -> EnvironmentLocks.Place {
        let claims = try request.jobClaims(jobTokens, now: time.now())
        guard let signalID = claims.signalID, let version = claims.codeSHA256 else {
            throw Problem.forbidden(code: "outside_job_token", detail: "The job token names no version of a signal.")
        }
        let platform = try request.parameter("platform", as: String.self)
        let belongs: (UInt8) -> Bool = { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || [0x2D, 0x2E, 0x5F].contains($0) }
        guard (1...100).contains(platform.utf8.count), platform.utf8.allSatisfy(belongs) else { throw Problem.notFound(field: "platform") }
        return EnvironmentLocks.Place(signalID: signalID, versionSHA256: version, platform: platform)
    }
}

extension Request {
    /// What the job token beside the service's own says; refuses a request without a good one.
    func jobClaims(_ verifier: JobTokenVerifier, now: Timestamp) throws -> JobTokenClaims {
        guard let token = headers["X-Auspex-Job"] else {
            throw Problem.unauthorized(code: "job_token_missing", detail: "This needs a job token in X-Auspex-Job.")
        }
        do {
            return try verifier.verify(token, now: now)
        } catch {
            throw Problem.unauthorized(code: "invalid_job_token", detail: "The job token is not valid.")
        }
    }
}
