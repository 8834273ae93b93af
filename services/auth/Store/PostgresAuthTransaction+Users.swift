import Contracts
import Postgres

extension PostgresAuthTransaction {
    func insert(_ account: Account) async throws {
        try await connection.execute(
            "INSERT INTO accounts (id, kind, name, created_at) VALUES (\(account.id), \(account.kind.rawValue), \(account.name), \(account.createdAt))"
        )
    }

    func insert(_ user: User) async throws {
        try await refusingTakenEmail {
            try await connection.execute(
                """
                INSERT INTO users (id, account_id, email, display_name, password_hash, password_changed_at, roles, version, version_raised_at,
                    disabled_at, created_at)
                VALUES (\(user.id), \(user.accountID), \(user.email.text), \(user.displayName), \(user.passwordHash), \(user.passwordChangedAt),
                    \(user.roles.names), \(user.version), \(user.versionRaisedAt), \(user.disabledAt), \(user.createdAt))
                """
            )
        }
    }

    func user(email: EmailAddress, locking: Bool) async throws -> User? {
        try await connection.query("SELECT \(User.columns) FROM users WHERE email = \(email.text)\(lock(locking))").first.map { try User(row: $0) }
    }

    func user(_ id: UserID, locking: Bool) async throws -> User? {
        try await connection.query("SELECT \(User.columns) FROM users WHERE id = \(id)\(lock(locking))").first.map { try User(row: $0) }
    }

    func update(_ user: User) async throws {
        try await refusingTakenEmail {
            try await connection.execute(
                """
                UPDATE users SET email = \(user.email.text), display_name = \(user.displayName), password_hash = \(user.passwordHash),
                    password_changed_at = \(user.passwordChangedAt), roles = \(user.roles.names), version = \(user.version),
                    version_raised_at = \(user.versionRaisedAt), disabled_at = \(user.disabledAt)
                WHERE id = \(user.id)
                """
            )
        }
    }

    func users(versionRaisedSince since: Timestamp) async throws -> [User] {
        try await connection.query("SELECT \(User.columns) FROM users WHERE version > 1 AND version_raised_at >= \(since) ORDER BY id")
            .map { try User(row: $0) }
    }

    private func refusingTakenEmail(_ write: () async throws -> Int) async throws {
        do {
            _ = try await write()
        } catch let error as PostgresError where error.isUniqueViolation(of: "users_email_key") {
            throw AuthError.emailTaken
        }
    }
}

extension User {
    /// In the order in which `init(row:)` reads them.
    static let columns: SQL =
        "id, account_id, email, display_name, password_hash, password_changed_at, roles, version, version_raised_at, disabled_at, created_at"

    init(row: PostgresRow) throws {
        let (id, accountID, email, displayName, passwordHash, passwordChangedAt, roles, version, versionRaisedAt, disabledAt, createdAt) =
            try row.decode(
                UserID.self,
                AccountID.self,
                String.self,
                String.self,
                String.self,
                Timestamp.self,
                [String].self,
                Int64.self,
                Timestamp.self,
                Timestamp?.self,
                Timestamp.self
            )
        self.init(
            id: id,
            accountID: accountID,
            email: EmailAddress(stored: email),
            displayName: displayName,
            passwordHash: passwordHash,
            passwordChangedAt: passwordChangedAt,
            roles: roles.compactMap(Role.init(rawValue:)),
            version: version,
            versionRaisedAt: versionRaisedAt,
            disabledAt: disabledAt,
            createdAt: createdAt
        )
    }
}
