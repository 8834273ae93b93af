import BlobStore
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// What an executor that converts an upload reads and writes, within its job's token: the parts of the file that the token names, and the parts of the text.
struct ConversionRoutes: Sendable {
    let store: ConversionStore
    let blobs: any BlobStore
    let jobTokens: JobTokenVerifier
    let time: any TimeSource

    /// Adds the routes of the internal port; `executor` lets only executors through.
    func add(to router: inout Router, authentication executor: any Middleware) {
        let executors = router.grouped(executor)
        executors.get("/internal/v1/conversions/{id}/parts/{number}", part)
        executors.put("/internal/v1/conversions/{id}/table", maximumBodyBytes: Upload.maximumPartBytes, keep)
    }

    private struct Kept: Encodable {
        let sha256: SHA256Digest
    }

    private func files(_ request: Request) throws -> [SHA256Digest] {
        guard let token = request.headers["X-Auspex-Job"] else {
            throw Problem.unauthorized(code: "job_token_missing", detail: "This needs a job token in X-Auspex-Job.")
        }
        let claims: JobTokenClaims
        do { claims = try jobTokens.verify(token, now: time.now()) } catch {
            throw Problem.unauthorized(code: "invalid_job_token", detail: "The job token is not valid.")
        }
        guard claims.kind == JobKind.tableConversion.rawValue else {
            throw Problem.forbidden(code: "outside_job_token", detail: "The job token is not of a conversion.")
        }
        return claims.files
    }

    /// `GET /internal/v1/conversions/{id}/parts/{number}`
    private func part(_ request: Request) async throws -> Response {
        let files = try files(request)
        let (id, number) = (try request.parameter("id", as: UploadID.self), try request.parameter("number", as: Int.self))
        guard let digest = try await store.part(number, of: id, file: files), let bytes = try await blobs.get(digest) else {
            throw Problem.notFound(field: "number")
        }
        return .bytes(bytes, contentType: "application/octet-stream")
    }

    /// `PUT /internal/v1/conversions/{id}/table`: kept by its hash; the job's result says which parts count. What no result names goes after a day.
    private func keep(_ request: Request) async throws -> Response {
        let files = try files(request)
        guard try await store.isOpen(try request.parameter("id", as: UploadID.self), file: files) else { throw Problem.notFound(field: "id") }
        guard !request.body.isEmpty else { throw Problem.badRequest(code: "empty_body", detail: "A part of the text would be right.") }
        return try .json(Kept(sha256: try await blobs.put(request.body)))
    }
}
