import BlobStore
import Contracts
import HTTPServing

extension SignalsRoutes {
    /// A blob as an answer, which is whole in memory until its client has taken it: so only within a budget. Nil when the blob is not there.
    func file(_ sha256: SHA256Digest, within budget: ByteBudget) async throws -> Response? {
        guard let entry = try await blobs.entry(sha256) else { return nil }
        guard let share = budget.take(Int(entry.bytes)) else {
            // Not 503: that would say of the whole replica what is true of files, and the gateway would believe it.
            throw Problem.tooManyRequests(
                code: "overloaded",
                detail: "Too many files are being fetched at the moment; try again.",
                retryAfterSeconds: 2
            )
        }
        guard let bytes = try await blobs.get(sha256) else { return nil }
        var response = Response.bytes(bytes, contentType: "application/octet-stream")
        response.held = share
        return response
    }
}
