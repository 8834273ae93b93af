import Contracts
import ServiceRuntime

/// What a client may change of a user; nil leaves it as it is.
struct ProfileChange: Sendable {
    var displayName: String?
    var email: EmailAddress?
    var roles: [Role]?
}

/// Changes users: their own profile and password, and what an administrator does to them.
struct Profiles: Sendable {
    let store: any AuthStore
    let passwords: PasswordHasher
    let throttling: Throttling
    let time: any TimeSource

    /// Changes one's own profile; new roles void the access tokens made so far.
    func update(_ user: User, _ change: ProfileChange, origin: RequestOrigin, in transaction: any AuthTransaction) async throws -> User {
        let now = time.now()
        guard var changed = try await transaction.user(user.id, locking: true), !changed.isDisabled else { throw AuthError.userDisabled }
        let before = changed
        changed.displayName = change.displayName ?? changed.displayName
        changed.email = change.email ?? changed.email
        if let roles = change.roles { changed.roles = try User.chosenRoles(roles, keeping: before.roles) }
        guard changed != before else { return before }
        let fields = Self.changedFields(before, changed)
        if changed.roles != before.roles { changed.raiseVersion(at: now) }
        try await transaction.update(changed)
        try await transaction.record(
            AuditEntry(
                .userUpdated,
                accountID: user.accountID,
                actorID: user.id,
                subject: user.id.description,
                detail: ["fields": .array(fields.map(JSONValue.string))],
                origin: origin,
                at: now
            )
        )
        if changed.version != before.version { try await transaction.announceChange(of: changed) }
        return changed
    }

    /// Sets a new password after `confirm` saw the present one; all sessions but `session` end.
    func changePassword(
        of user: User,
        toHash hash: String,
        keeping session: SessionID,
        origin: RequestOrigin,
        in transaction: any AuthTransaction
    ) async throws {
        let now = time.now()
        // Another change may have come in between: then it was another password that was confirmed.
        guard var changed = try await transaction.user(user.id, locking: true), changed.passwordHash == user.passwordHash else {
            throw AuthError.wrongPassword
        }
        changed.passwordHash = hash
        changed.passwordChangedAt = now
        try await transaction.update(changed)
        try await transaction.record(
            AuditEntry(.passwordChanged, accountID: user.accountID, actorID: user.id, subject: user.id.description, origin: origin, at: now)
        )
        try await transaction.revokeSessions(of: user, except: session, .passwordChanged, actor: user.id, origin: origin, at: now)
    }

    /// Sets a password from the command line, ends all sessions and voids all access tokens.
    func resetPassword(of email: EmailAddress, to password: String) async throws {
        let hash = try await passwords.hash(password)
        try await store.transaction { transaction in
            let now = time.now()
            guard var user = try await transaction.user(email: email, locking: true) else { throw AuthError.notFound }
            user.passwordHash = hash
            user.passwordChangedAt = now
            user.raiseVersion(at: now)
            try await transaction.update(user)
            try await transaction.record(
                AuditEntry(.passwordReset, accountID: user.accountID, actorID: nil, subject: user.id.description, origin: .local, at: now)
            )
            try await transaction.revokeSessions(of: user, except: nil, .passwordChanged, actor: nil, origin: .local, at: now)
            try await transaction.forgetLogins(of: .login(email: email.text))
            try await transaction.announceChange(of: user)
        }
    }

    /// Keeps a user out, or lets the user in again.
    func setDisabled(_ disabled: Bool, email: EmailAddress) async throws {
        try await store.transaction { transaction in
            let now = time.now()
            guard var user = try await transaction.user(email: email, locking: true) else { throw AuthError.notFound }
            guard user.isDisabled != disabled else { return }
            user.disabledAt = disabled ? now : nil
            user.raiseVersion(at: now)
            try await transaction.update(user)
            try await transaction.record(
                AuditEntry(
                    disabled ? .userDisabled : .userEnabled,
                    accountID: user.accountID,
                    actorID: nil,
                    subject: user.id.description,
                    origin: .local,
                    at: now
                )
            )
            if disabled { try await transaction.revokeSessions(of: user, except: nil, .userDisabled, actor: nil, origin: .local, at: now) }
            try await transaction.announceChange(of: user)
        }
    }

    /// Asks for the present password, counted so that a stolen session cannot guess it, and apart from logins so that no stranger can use it up.
    func confirm(_ user: User, _ password: String, origin: RequestOrigin) async throws {
        let subject = ThrottleSubject.password(of: user.id)
        try await throttling.attempt([(subject, .passwordUser)])
        guard try await passwords.verify(password, against: user.passwordHash) else { throw AuthError.wrongPassword }
        try await store.transaction { try await $0.setThrottle(subject, nil) }
    }

    private static func changedFields(_ before: User, _ after: User) -> [String] {
        var fields: [String] = []
        if before.displayName != after.displayName { fields.append("display_name") }
        if before.email != after.email { fields.append("email") }
        if before.roles != after.roles { fields.append("roles") }
        return fields
    }
}

extension AuthTransaction {
    /// Says that a user has changed, and that what was known of the user's keys is void.
    func announceChange(of user: User) async throws {
        try await announce(user.changed, version: user.version)
        for var key in try await openKeys(of: user.id) {
            key.generation += 1
            try await update(key)
            try await announce(key.changed, version: key.generation)
        }
    }
}
