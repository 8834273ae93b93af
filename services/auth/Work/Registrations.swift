import Contracts
import ServiceRuntime

/// Makes accounts with their first user.
struct Registrations: Sendable {
    let store: any AuthStore
    let passwords: PasswordHasher
    let throttling: Throttling
    let time: any TimeSource
    /// Whether strangers may register.
    let isOpen: Bool
    /// How many may come from one address.
    let policy: ThrottlePolicy

    /// Whether somebody may register now, and the hash of the password for `create`.
    ///
    /// Apart from the transaction: a quarter of a second under locks would be a quarter of a second too long.
    func prepare(password: String, origin: RequestOrigin) async throws -> String {
        guard isOpen else { throw AuthError.registrationClosed }
        try await throttling.attempt([(.registration(address: origin.address), policy)])
        return try await passwords.hash(password)
    }

    /// An administrator, made on the command line.
    func createAdmin(email: EmailAddress, password: String, displayName: String) async throws -> User {
        let hash = try await passwords.hash(password)
        return try await store.transaction { transaction in
            try await create(
                email: email,
                passwordHash: hash,
                displayName: displayName,
                roles: Role.allCases,
                action: .adminCreated,
                origin: .local,
                in: transaction
            )
        }
    }

    /// Adds the account and its user, and says so.
    func create(
        email: EmailAddress,
        passwordHash: String,
        displayName: String,
        roles: [Role],
        action: AuditEntry.Action,
        origin: RequestOrigin,
        in transaction: any AuthTransaction
    ) async throws -> User {
        let now = time.now()
        let account = Account(id: .make(), kind: .person, name: displayName, createdAt: now)
        let user = User(
            id: .make(),
            accountID: account.id,
            email: email,
            displayName: displayName,
            passwordHash: passwordHash,
            passwordChangedAt: now,
            roles: roles.sorted(),
            version: 1,
            versionRaisedAt: now,
            disabledAt: nil,
            createdAt: now
        )
        try await transaction.insert(account)
        try await transaction.insert(user)
        try await transaction.record(
            AuditEntry(
                action,
                accountID: account.id,
                actorID: user.id,
                subject: user.id.description,
                detail: ["roles": .array(user.roles.names.map(JSONValue.string))],
                origin: origin,
                at: now
            )
        )
        try await transaction.announce(AccountCreated(accountID: account.id, userID: user.id, roles: user.roles.names), version: 1)
        try await transaction.announce(user.changed, version: user.version)
        return user
    }
}
