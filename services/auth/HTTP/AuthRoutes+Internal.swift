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
                budget: verdict.key.flatMap { $0.wireBudget(defaultRequestsPerMinute: defaultRequestsPerMinute) },
                checkedAt: time.now()
            )
        )
    }

    /// `POST /internal/v1/keys/credits/take`
    func takeCredits(_ request: Request) async throws -> Response {
        let body = try request.json(CreditBlockRequest.self)
        return try .json(try await credits.take(body.blockID, of: body.budgetID, for: request.callingService ?? "-"))
    }

    /// `POST /internal/v1/keys/credits/return`
    func takeBackCredits(_ request: Request) async throws -> Response {
        let body = try request.json(CreditReturn.self)
        guard body.blocks.count <= CreditReturn.maximumBlocks else {
            throw AuthError.invalid(field: "blocks", code: "invalid_value", detail: "At most \(CreditReturn.maximumBlocks) blocks at once.")
        }
        try await credits.takeBack(body.blocks)
        return .noContent
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

extension APIKey {
    /// What the services count for the key; nil when nothing is limited.
    fileprivate func wireBudget(defaultRequestsPerMinute: Int?) -> APIKeyBudget? {
        let rate = budget.requestsPerMinute ?? defaultRequestsPerMinute
        guard rate != nil || budget.credits != nil else { return nil }
        return APIKeyBudget(id: budgetID, version: budget.version, requestsPerMinute: rate, countsCredits: budget.credits != nil)
    }
}
