import Contracts
import HTTPServing

extension AuthRoutes {
    private struct CreateKeyBody: Decodable {
        let name: String
        let scopes: [String]
        let expiresAt: Timestamp?
        let requestsPerMinute: Int?
        let credits: Int64?
    }

    private struct UpdateKeyBody: Decodable {
        let name: String?
        let enabled: Bool?
        let requestsPerMinute: LimitChange<Int>
        let credits: LimitChange<Int64>

        private enum CodingKeys: CodingKey { case name, enabled, requestsPerMinute, credits }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: CodingKeys.self)
            name = try container.decodeIfPresent(String.self, forKey: .name)
            enabled = try container.decodeIfPresent(Bool.self, forKey: .enabled)
            requestsPerMinute = try container.change(.requestsPerMinute)
            credits = try container.change(.credits)
        }
    }

    private struct RerollKeyBody: Decodable {
        let overlapSeconds: Int64
    }

    /// `GET /api/keys`
    func listKeys(_ request: Request) async throws -> Response {
        let user = try request.caller().user
        let page = try PageRequest<APIKeyTag>(request)
        return try page.response(try await keys.list(of: user, after: page.after, limit: page.limit + 1).map(KeyAnswer.init), id: \.id)
    }

    /// `POST /api/keys`: the only answer that holds the key.
    func createKey(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let user = try request.caller().user
        let body = try request.json(CreateKeyBody.self)
        return try await idempotency.run(request, replay: Self.withoutSecret) { transaction in
            try Self.newKey(
                try await keys.create(
                    name: body.name,
                    scopes: body.scopes,
                    expiresAt: body.expiresAt,
                    requestsPerMinute: body.requestsPerMinute,
                    credits: body.credits,
                    for: user,
                    origin: request.origin,
                    in: transaction
                )
            )
        }
    }

    /// `GET /api/keys/{id}`
    func key(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        return try .json(KeyAnswer(try await keys.key(try request.parameter("id", as: APIKeyID.self), of: try request.caller().user)))
    }

    /// `PUT /api/keys/{id}`: what is not named stays as it is; null takes a limit away.
    func updateKey(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let user = try request.caller().user
        let id = try request.parameter("id", as: APIKeyID.self)
        let body = try request.json(UpdateKeyBody.self)
        return try await idempotency.run(request) { transaction in
            try .json(
                KeyAnswer(
                    try await keys.update(
                        id,
                        name: body.name,
                        enabled: body.enabled,
                        requestsPerMinute: body.requestsPerMinute,
                        credits: body.credits,
                        of: user,
                        origin: request.origin,
                        in: transaction
                    )
                )
            )
        }
    }

    /// `DELETE /api/keys/{id}`
    func revokeKey(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let user = try request.caller().user
        let id = try request.parameter("id", as: APIKeyID.self)
        return try await idempotency.run(request) { transaction in
            try await keys.revoke(id, of: user, origin: request.origin, in: transaction)
            return .noContent
        }
    }

    /// `POST /api/keys/{id}/reroll`
    func rerollKey(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        let user = try request.caller().user
        let id = try request.parameter("id", as: APIKeyID.self)
        let overlap = try RerollOverlap.parse(seconds: try request.json(RerollKeyBody.self).overlapSeconds)
        return try await idempotency.run(request, replay: Self.withoutSecret) { transaction in
            try Self.newKey(try await keys.reroll(id, overlap: overlap, of: user, origin: request.origin, in: transaction))
        }
    }

    private static func newKey(_ made: NewKey) throws -> Response {
        var response = try Response.json(NewKeyAnswer(made), status: .created)
        response.headers["Cache-Control"] = "no-store"
        return response
    }

    /// What is kept for a repeated request: everything but the key.
    private static let withoutSecret: @Sendable (Response) throws -> Response = { response in
        var answer = try WireJSON.decode(NewKeyAnswer.self, from: response.bodyBytes)
        answer.key = nil
        answer.secretAlreadyShown = true
        return try .json(answer, status: response.status)
    }
}

extension KeyedDecodingContainer {
    /// Tells an absent field from null.
    fileprivate func change<Value: Decodable & Sendable & Hashable>(_ key: Key) throws -> LimitChange<Value> {
        guard contains(key) else { return .keep }
        return try decodeNil(forKey: key) ? .clear : .set(try decode(Value.self, forKey: key))
    }
}
