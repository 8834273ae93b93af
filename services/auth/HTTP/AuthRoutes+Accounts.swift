import Contracts
import HTTPServing
import ServiceRuntime

extension AuthRoutes {
    private struct RegisterBody: Decodable {
        let email: String
        let password: String
        let displayName: String?
        let roles: [Role]?
    }

    private struct ProfileBody: Decodable {
        let displayName: String?
        let email: String?
        let roles: [Role]?
        let currentPassword: String?
    }

    private struct PasswordBody: Decodable {
        let currentPassword: String
        let newPassword: String
    }

    /// `POST /api/register`
    func register(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let body = try request.json(RegisterBody.self)
        let email = try Self.email(body.email)
        try PasswordPolicy.check(body.password, for: email)
        let name = try User.displayName(body.displayName ?? String(email.text.prefix { $0 != "@" }))
        let roles = try User.chosenRoles(body.roles ?? [.subscriber])
        let hash = try await registrations.prepare(password: body.password, origin: request.origin)
        return try await idempotency.run(request.standingFor(email.text, name, "\(roles.names)")) { transaction in
            let user = try await registrations.create(
                email: email,
                passwordHash: hash,
                displayName: name,
                roles: roles,
                action: .userRegistered,
                origin: request.origin,
                in: transaction
            )
            return try .json(UserAnswer(user), status: .created)
        }
    }

    /// `GET /api/me`
    func profile(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        return try .json(UserAnswer(try request.caller().user))
    }

    /// `PUT /api/me`: what is not named stays as it is.
    func updateProfile(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let user = try request.caller().user
        let body = try request.json(ProfileBody.self)
        let change = ProfileChange(
            displayName: try body.displayName.map { try User.displayName($0) },
            email: try body.email.map { try Self.email($0) },
            roles: body.roles
        )
        let request = request.standingFor(change.displayName ?? "-", change.email?.text ?? "-", "\(change.roles?.names ?? [])")
        if let answer = try await earlierAnswer(to: request) { return answer }
        // Whoever sets the address can take the account over.
        if let email = change.email, email != user.email { try await profiles.confirm(user, body.currentPassword ?? "", origin: request.origin) }
        return try await idempotency.run(request) { transaction in
            try .json(UserAnswer(try await profiles.update(user, change, origin: request.origin, in: transaction)))
        }
    }

    /// `POST /api/me/password`
    func changePassword(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let caller = try request.caller()
        let body = try request.json(PasswordBody.self)
        try PasswordPolicy.check(body.newPassword, for: caller.user.email, field: "new_password")
        let request = request.standingFor("password")
        if let answer = try await earlierAnswer(to: request) { return answer }
        try await profiles.confirm(caller.user, body.currentPassword, origin: request.origin)
        let hash = try await profiles.passwords.hash(body.newPassword)
        return try await idempotency.run(request) { transaction in
            try await profiles.changePassword(
                of: caller.user,
                toHash: hash,
                keeping: caller.session.id,
                origin: request.origin,
                in: transaction
            )
            return .noContent
        }
    }

    /// `GET /api/me/audit`
    func listOwnAudit(_ request: Request) async throws -> Response {
        try await audit(request, of: try request.caller().user.accountID)
    }

    /// `GET /api/me/audit/all`: of every account, for administrators.
    func listAllAudit(_ request: Request) async throws -> Response {
        try await audit(request, of: nil)
    }

    private func audit(_ request: Request, of account: AccountID?) async throws -> Response {
        let page = try PageRequest<AuditTag>(request)
        let entries = try await store.transaction { try await $0.auditEntries(of: account, before: page.after, limit: page.limit + 1) }
        return try page.response(entries.map(AuditAnswer.init), id: \.id)
    }

    private static func email(_ text: String) throws(AuthError) -> EmailAddress {
        guard let email = EmailAddress(text) else {
            throw .invalid(field: "email", code: "invalid_value", detail: "An e-mail address looks like name@example.com.")
        }
        return email
    }

    /// The answer that the request got before, for effects that would be refused a second time before they begin.
    private func earlierAnswer(to request: Request) async throws -> Response? {
        guard let wanted = try Idempotency<AuthIdempotencyStore>.idempotentRequest(of: request) else { return nil }
        let since = time.now() - IdempotentRequest.lifetime
        guard try await store.transaction({ try await $0.answer(to: wanted, since: since) }) != nil else { return nil }
        return try await idempotency.run(request) { _ in .noContent }
    }
}
