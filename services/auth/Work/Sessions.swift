import Contracts
import Cryptography
import ServiceRuntime

/// What a client gets at a login and at each refresh.
struct IssuedTokens: Sendable {
    let accessToken: String
    /// Shown once; the store keeps its hash.
    let refreshToken: String
    let session: Session
    let user: User
}

/// Opens, refreshes and ends sessions.
struct Sessions: Sendable {
    let store: any AuthStore
    let passwords: PasswordHasher
    let throttling: Throttling
    let tokenKeys: TokenKeyRing
    let time: any TimeSource

    /// Opens a session; unknown addresses and wrong passwords are refused alike and after the same work.
    func login(email text: String, password: String, origin: RequestOrigin) async throws -> IssuedTokens {
        let attempt = try await throttling.attemptLogin(email: text, address: origin.address)
        // Asked for before any work, so that a service without keys does not count as a wrong password.
        let signingKey = try tokenKeys.signingKey()
        let email = EmailAddress(text)
        let known = try await store.transaction { transaction -> User? in
            if let email { try await transaction.user(email: email, locking: false) } else { nil }
        }
        guard try await passwords.verify(password, against: known?.passwordHash), let known else {
            try await recordFailure(user: known, origin: origin)
            throw AuthError.invalidCredentials
        }
        let rehashed = passwords.isOutdated(known.passwordHash) ? try await passwords.hash(password) : nil
        return try await store.transaction { transaction in
            let now = time.now()
            // Read anew under the lock: the password may have been changed while this one was being checked.
            guard var user = try await transaction.user(known.id, locking: true), user.passwordHash == known.passwordHash else {
                throw AuthError.invalidCredentials
            }
            guard !user.isDisabled else { throw AuthError.userDisabled }
            if let rehashed {
                user.passwordHash = rehashed
                try await transaction.update(user)
                try await transaction.record(entry(.passwordRehashed, user, subject: user.id.description, origin: origin, at: now))
            }
            let session = Session(
                id: .make(),
                userID: user.id,
                accountID: user.accountID,
                createdAt: now,
                lastUsedAt: now,
                endsAt: now + .seconds(Session.lifetimeSeconds),
                tokenExpiresAt: now + .seconds(AccessTokenClaims.lifetimeSeconds),
                address: origin.address,
                userAgent: origin.userAgent
            )
            try await transaction.insert(session)
            try await transaction.record(entry(.loginSucceeded, user, subject: session.id.description, origin: origin, at: now))
            try await transaction.forgive(attempt, at: now)
            return try await issue(session, user, signingKey, in: transaction, at: now)
        }
    }

    /// Uses up a refresh token and gives the next; one that comes a second time ends its session.
    func refresh(_ text: String, origin: RequestOrigin) async throws -> IssuedTokens {
        guard let sha256 = RefreshToken.digest(of: text) else { throw AuthError.invalidRefreshToken }
        let signingKey = try tokenKeys.signingKey()
        let outcome = try await store.transaction { transaction -> Result<IssuedTokens, AuthError> in
            let now = time.now()
            guard let token = try await transaction.refreshToken(sha256), var session = try await transaction.session(token.sessionID, locking: true),
                let user = try await transaction.user(session.userID, locking: false)
            else { return .failure(.invalidRefreshToken) }
            switch RefreshDecision.decide(token: token, session: session, user: user, now: now) {
            case .refuse(let error): return .failure(error)
            case .revokeFamily:
                // Not thrown, or the revocation would be rolled back.
                try await transaction.record(entry(.refreshReused, user, subject: session.id.description, origin: origin, at: now))
                try await transaction.revoke(session, .refreshReused, actor: nil, origin: origin, at: now)
                return .failure(.refreshTokenReused)
            case .rotate:
                session.lastUsedAt = now
                session.tokenExpiresAt = now + .seconds(AccessTokenClaims.lifetimeSeconds)
                try await transaction.use(sha256, at: now)
                try await transaction.update(session)
                return .success(try await issue(session, user, signingKey, in: transaction, at: now))
            }
        }
        return try outcome.get()
    }

    /// Ends a session of the caller; somebody else's, or one that is over, does not exist for the caller.
    func revoke(
        _ id: SessionID,
        _ reason: Session.Revocation,
        by user: User,
        origin: RequestOrigin,
        in transaction: any AuthTransaction
    ) async throws {
        let now = time.now()
        guard let session = try await transaction.session(id, locking: true), session.userID == user.id, session.isLive(at: now) else {
            throw AuthError.notFound
        }
        try await transaction.revoke(session, reason, actor: user.id, origin: origin, at: now)
    }

    /// Whom an access token speaks for: its signature, then the session and the user as they are at this moment.
    func authenticate(_ accessToken: String) async throws -> (session: Session, user: User) {
        let claims: AccessTokenClaims
        do {
            claims = try JWT.verify(
                accessToken,
                keys: tokenKeys.verifyingKey,
                now: time.now(),
                audience: AccessTokenClaims.audience,
                issuer: AccessTokenClaims.issuer
            )
        } catch {
            throw error == .expired ? AuthError.tokenExpired : AuthError.tokenInvalid
        }
        let found = try await store.transaction { transaction -> (Session, User)? in
            guard let session = try await transaction.session(claims.sessionID, locking: false),
                let user = try await transaction.user(session.userID, locking: false)
            else { return nil }
            return (session, user)
        }
        guard let (session, user) = found, user.id == claims.userID else { throw AuthError.tokenInvalid }
        guard session.isLive(at: time.now()) else { throw AuthError.sessionRevoked }
        guard !user.isDisabled else { throw AuthError.userDisabled }
        guard claims.userVersion >= user.version else { throw AuthError.tokenSuperseded }
        return (session, user)
    }

    private func issue(
        _ session: Session,
        _ user: User,
        _ signingKey: SigningKey,
        in transaction: any AuthTransaction,
        at now: Timestamp
    ) async throws -> IssuedTokens {
        let text = RefreshToken.makeText()
        let token = RefreshToken(
            sha256: SHA256.digest(utf8: text),
            sessionID: session.id,
            accountID: session.accountID,
            issuedAt: now,
            expiresAt: session.endsAt
        )
        try await transaction.insert(token)
        let claims = AccessTokenClaims(
            userID: user.id,
            accountID: user.accountID,
            sessionID: session.id,
            userVersion: user.version,
            roles: user.roles.names,
            now: now
        )
        return IssuedTokens(accessToken: try JWT.sign(claims, with: signingKey), refreshToken: text, session: session, user: user)
    }

    private func recordFailure(user: User?, origin: RequestOrigin) async throws {
        let now = time.now()
        // The address that was typed is not written down: it may be a password in the wrong field.
        let entry = AuditEntry(
            .loginFailed,
            accountID: user?.accountID,
            actorID: nil,
            subject: user?.id.description ?? "unknown",
            origin: origin,
            at: now
        )
        try await store.transaction { try await $0.record(entry) }
    }

    private func entry(_ action: AuditEntry.Action, _ user: User, subject: String, origin: RequestOrigin, at now: Timestamp) -> AuditEntry {
        AuditEntry(action, accountID: user.accountID, actorID: user.id, subject: subject, origin: origin, at: now)
    }
}

extension AuthTransaction {
    /// Ends a session, writes it down and says it.
    func revoke(
        _ session: Session,
        _ reason: Session.Revocation,
        actor: UserID?,
        origin: RequestOrigin,
        at now: Timestamp
    ) async throws {
        var ended = session
        let event = ended.revoke(reason, at: now)
        try await update(ended)
        try await record(
            AuditEntry(
                .sessionRevoked,
                accountID: session.accountID,
                actorID: actor,
                subject: session.id.description,
                detail: ["reason": .string(reason.rawValue)],
                origin: origin,
                at: now
            )
        )
        // A session is revoked once: its only version.
        try await announce(event, version: 1)
    }

    /// Ends all sessions of a user but one.
    func revokeSessions(
        of user: User,
        except kept: SessionID?,
        _ reason: Session.Revocation,
        actor: UserID?,
        origin: RequestOrigin,
        at now: Timestamp
    ) async throws {
        var after: SessionID?
        while true {
            let page = try await liveSessions(of: user.id, at: now, after: after, limit: 100)
            for listed in page where listed.id != kept {
                // Read again under its lock: it may have been refreshed since, and then its last token ends later.
                guard let session = try await session(listed.id, locking: true), session.isLive(at: now) else { continue }
                try await revoke(session, reason, actor: actor, origin: origin, at: now)
            }
            guard page.count == 100, let last = page.last else { return }
            after = last.id
        }
    }
}
