import BlobStore
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    /// `GET /internal/v1/blobs/{sha256}`: a file of a version, for an executor, within the job's token.
    func internalBlob(_ request: Request, jobTokens: JobTokenVerifier) async throws -> Response {
        let sha256 = try request.parameter("sha256", as: SHA256Digest.self)
        let claims = try request.jobClaims(jobTokens, now: time.now())
        guard claims.files.contains(sha256) else {
            throw Problem.forbidden(code: "outside_job_token", detail: "The job token does not name this file.")
        }
        guard let response = try await file(sha256, within: executorFiles) else { throw Problem.notFound(field: "sha256") }
        return response
    }

    /// `GET /internal/v1/published`: all published signals, so that the scheduler can rebuild its read model.
    func internalPublished(_ request: Request) async throws -> Response {
        var items: [JSONValue] = []
        var after: SignalID?
        while true {
            let page = try await store.publishedSignals(after: after, limit: 200)
            for (signal, version) in page {
                guard let feed = signal.feed, let publishedAt = signal.publishedAt else { continue }
                let body = SignalPublished(signal: signal, version: version, feed: feed, publishedAt: publishedAt)
                guard case .object(var members) = try WireJSON.value(of: body) else { continue }
                // The version under which the event was said: the read model applies only a higher one.
                members["subject_version"] = .integer(signal.version)
                items.append(.object(members))
            }
            guard let last = page.last, page.count == 200 else { break }
            after = last.signal.id
        }
        return Self.json(["signals": .array(items)])
    }
}
