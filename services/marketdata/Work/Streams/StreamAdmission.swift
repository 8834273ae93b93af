import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

/// Whether what a stream was opened with would still open the door: asked in memory, again and again while the stream lasts.
struct StreamAdmission: Sendable {
    let keys: any APIKeyVerifier
    let denied: DenySet
    let time: any TimeSource

    /// What a caller showed.
    enum Credential: Sendable, Hashable {
        case login(SessionID, UserID, userVersion: Int64)
        case apiKey(SHA256Digest)
    }

    /// Nothing when it still stands; otherwise why the stream ends.
    func refusal(of credential: Credential) async -> String? {
        switch credential {
        case .login(let session, let user, let version):
            if denied.denies(session: session, user: user, version: version) { return "this session has ended" }
            return denied.isCurrent(at: time.monotonicNanoseconds()) ? nil : "whether this session has ended cannot be found out"
        case .apiKey(let sha256):
            guard let verdict = try? await keys.verdict(on: sha256) else { return "whether this key is still good cannot be found out" }
            // A key whose credits or rate are used up has not ended: what they bound was counted when the stream began.
            switch verdict.outcome {
            case .valid: return (verdict.scopes ?? []).contains { $0 == "bars" || $0 == "bars:read" } ? nil : "this key may no longer read bars"
            case .usageExceeded, .rateLimited: return nil
            default: return "this key has ended"
            }
        }
    }
}
