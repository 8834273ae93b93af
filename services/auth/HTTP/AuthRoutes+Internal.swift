import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension AuthRoutes {
    private struct VerifyBody: Decodable {
        let keySHA256: SHA256Digest
    }

    private struct RevokedAnswer: Encodable {
        struct DeniedSession: Encodable {
            let sessionID: SessionID
            let expiresAt: Timestamp
        }
        struct ChangedUser: Encodable {
            let userID: UserID
            let userVersion: Int64
        }
        let sessions: [DeniedSession]
        let users: [ChangedUser]
    }

    /// `POST /internal/v1/keys/verify`
    func verifyKey(_ request: Request) async throws -> Response {
        let body = try request.json(VerifyBody.self)
        let verdict = try await keys.verdict(on: body.keySHA256)
        if let key = verdict.key, verdict.outcome == .valid { usage.note(key.id) }
        metrics.countVerdict(verdict.wireOutcome.rawValue)
        return try .json(
            APIKeyVerdict(
                outcome: verdict.wireOutcome,
                keyID: verdict.key?.id,
                accountID: verdict.key?.accountID,
                userID: verdict.key?.userID,
                roles: verdict.roles.names,
                scopes: verdict.key?.scopes ?? [],
                expiresAt: verdict.key?.expiresAt,
                generation: verdict.key?.generation ?? 0,
                checkedAt: time.now()
            )
        )
    }

    /// `GET /internal/v1/sessions/revoked`: everything that makes a token void although it has not ended.
    func revokedSessions(_ request: Request) async throws -> Response {
        let now = time.now()
        // A token made just before the change is good for its lifetime and the leeway of the verifiers' clocks.
        let since = now - .seconds(AccessTokenClaims.lifetimeSeconds + 60)
        let (sessions, users) = try await store.transaction { transaction in
            (try await transaction.deniedSessions(at: now - .seconds(60)), try await transaction.users(versionRaisedSince: since))
        }
        return try .json(
            RevokedAnswer(
                sessions: sessions.map { .init(sessionID: $0.id, expiresAt: $0.tokenExpiresAt) },
                users: users.map { .init(userID: $0.id, userVersion: $0.version) }
            )
        )
    }
}

extension KeyVerdict {
    /// The outcome in the words of the protocol between the services.
    fileprivate var wireOutcome: APIKeyVerdict.Outcome {
        switch outcome {
        case .valid: .valid
        case .notFound: .notFound
        case .disabled: .disabled
        case .expired: .expired
        }
    }
}
