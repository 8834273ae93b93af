internal import Contracts
internal import Cryptography
public import ServiceRuntime

/// Whether what a stream was opened with would still open the door: asked in memory, again and again while the stream lasts.
public struct StreamDoor: Sendable {
    private let keys: any APIKeyVerifier
    private let denied: DenySet
    private let time: any TimeSource

    /// A door that keys and sessions open.
    public init(keys: any APIKeyVerifier, denied: DenySet, time: any TimeSource) {
        self.keys = keys
        self.denied = denied
        self.time = time
    }

    /// Who came in, with what has to be looked at again.
    public struct Visitor: Sendable {
        let principal: Principal
        let keySHA256: SHA256Digest?
        let scope: String

        /// Whoever made the request, for what a key needs this scope.
        public init(_ request: Request, scope: String) throws {
            principal = try request.authenticated()
            try principal.require(scope: scope)
            self.scope = scope
            if case .apiKey = principal.credential {
                let bearer = request.headers["Authorization"].flatMap { $0.split(separator: " ").last.map(String.init) }
                let shown = [request.headers["X-API-Key"], bearer].compactMap { $0.flatMap { APIKeyText(parsing: $0) } }
                guard let key = shown.first else { throw Problem.unauthorized() }
                keySHA256 = key.sha256
            } else {
                keySHA256 = nil
            }
        }
    }

    /// Nothing when it still stands; otherwise why the stream ends.
    public func refusal(of visitor: Visitor) async -> String? {
        switch visitor.principal.credential {
        case .session(let session):
            let (user, version) = (visitor.principal.userID, visitor.principal.userVersion ?? 0)
            if denied.denies(session: session, user: user, version: version) { return "this session has ended" }
            return denied.isCurrent(at: time.monotonicNanoseconds()) ? nil : "whether this session has ended cannot be found out"
        case .apiKey:
            guard let key = visitor.keySHA256, let verdict = try? await keys.verdict(on: key) else {
                return "whether this key is still good cannot be found out"
            }
            // A key whose credits or rate are used up has not ended: what they bound was counted when the stream began.
            switch verdict.outcome {
            case .valid:
                let scope = visitor.scope
                return (verdict.scopes ?? []).contains { $0 == scope || scope.hasPrefix($0 + ":") } ? nil : "this key may no longer listen here"
            case .usageExceeded, .rateLimited: return nil
            default: return "this key has ended"
            }
        }
    }
}
