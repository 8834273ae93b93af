import BlobStore
import Contracts
import HTTPServing

extension SignalsRoutes {
    /// A blob as an answer, which is whole in memory until its client has taken it: so only within a budget. Nil when the blob is not there.
    func file(_ sha256: SHA256Digest, within budget: ByteBudget) async throws -> Response? {
        guard let entry = try await blobs.entry(sha256) else { return nil }
        guard let share = budget.take(Int(entry.bytes)) else {
            throw Problem.unavailable(code: "overloaded", detail: "Too many files are being fetched at the moment; try again.", retryAfterSeconds: 2)
        }
        guard let bytes = try await blobs.get(sha256) else { return nil }
        var response = Response.bytes(bytes, contentType: "application/octet-stream")
        response.held = share
        return response
    }
}
