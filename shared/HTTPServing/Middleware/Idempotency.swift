public import Contracts
internal import Cryptography
internal import ServiceRuntime

/// A request that must take effect once, however often it arrives.
public struct IdempotentRequest: Sendable, Hashable {
    /// Who asks; nil for a route without a login, where the key stands alone.
    public let accountID: AccountID?
    /// Method and path, such as `POST /api/signals`.
    public let route: String
    /// The client's `Idempotency-Key`.
    public let key: String
    /// Hash of body and parameters: the same key with others is a mistake.
    public let requestSHA256: SHA256Digest

    /// How long an answer is kept.
    public static let lifetime = Duration.seconds(86_400)
}

/// An answer as it is kept: it holds no secret.
public struct IdempotentAnswer: Sendable, Hashable {
    /// Of the request that was answered.
    public let requestSHA256: SHA256Digest
    /// The status.
    public let status: Int
    /// The media type; nil without a body.
    public let contentType: String?
    /// The body.
    public let body: [UInt8]

    /// An answer out of the store.
    public init(requestSHA256: SHA256Digest, status: Int, contentType: String?, body: [UInt8]) {
        self.requestSHA256 = requestSHA256
        self.status = status
        self.contentType = contentType
        self.body = body
    }
}

/// Keeps answers in the database of the effects, in their own transactions. `PostgresIdempotency` has the implementation that services share.
public protocol IdempotencyStore: Sendable {
    /// The handle of an open transaction, which the effect writes through as well.
    associatedtype Transaction

    /// Runs `body` in a transaction that commits when it returns and is undone when it throws. It may run `body` again after a conflict.
    func withTransaction<T: Sendable>(_ body: @Sendable (Transaction) async throws -> T) async throws -> T

    /// Takes the key for this transaction; false while another one holds it.
    ///
    /// Postgres: `pg_try_advisory_xact_lock` over a hash of account, route and key, so that a second request learns at once (409) instead of
    /// waiting for the first, and a crash frees the key.
    func claim(_ request: IdempotentRequest, in transaction: Transaction) async throws -> Bool

    /// The answer that was given within the last 24 hours, if any.
    func answer(to request: IdempotentRequest, in transaction: Transaction) async throws -> IdempotentAnswer?

    /// Keeps the answer; it becomes durable with the effect or not at all.
    func store(_ answer: IdempotentAnswer, to request: IdempotentRequest, in transaction: Transaction) async throws
}

/// Runs the effects of unsafe requests once per `Idempotency-Key`.
///
/// The effect runs inside the transaction that also stores its answer, so a crash between the two cannot be: either both are there or neither. That is why
/// this is a call around the effect and no middleware around the handler: the handler passes its transaction on.
///
///     router.post("/api/signals") { request in
///         let body = try request.json(NewSignal.self)
///         return try await idempotency.run(request) { transaction in
///             try .json(await signals.insert(body, in: transaction), status: .created)
///         }
///     }
public struct Idempotency<Store: IdempotencyStore>: Sendable {
    private let store: Store

    /// Answers are kept in `store`.
    public init(store: Store) { self.store = store }

    /// Runs the effect, or gives the answer of the first request with the same key (marked `Idempotency-Replayed: true`).
    ///
    /// An effect that throws is undone and nothing is kept: the client may correct the request and use the key again.
    /// - Parameters:
    ///   - replay: what to keep instead of an answer that shows a secret, as a rule with the code `secret_already_shown` and the id.
    ///   - effect: writes through the transaction and makes the answer; may run twice when the database asks for it.
    public func run(
        _ request: Request,
        replay: (@Sendable (Response) throws -> Response)? = nil,
        effect: @escaping @Sendable (Store.Transaction) async throws -> Response
    ) async throws -> Response {
        guard let wanted = try Self.idempotentRequest(of: request) else {
            return try await store.withTransaction { try await effect($0) }
        }
        return try await store.withTransaction { transaction in
            guard try await store.claim(wanted, in: transaction) else {
                throw Problem.conflict(
                    code: "idempotent_request_running",
                    detail: "The first request with this Idempotency-Key has not been answered yet."
                )
            }
            if let answer = try await store.answer(to: wanted, in: transaction) { return try Self.replayed(answer, wanted) }
            let response = try await effect(transaction)
            let kept = try replay?(response) ?? response
            try await store.store(
                IdempotentAnswer(
                    requestSHA256: wanted.requestSHA256,
                    status: kept.status.code,
                    contentType: kept.contentType,
                    body: kept.bodyBytes
                ),
                to: wanted,
                in: transaction
            )
            return response
        }
    }

    /// The answer that was given to the request before, if any: for routes whose effect begins outside this database, or that would refuse a repeat
    /// before they come to their effect.
    public func earlierAnswer(to request: Request) async throws -> Response? {
        guard let wanted = try Self.idempotentRequest(of: request) else { return nil }
        let answer = try await store.withTransaction { try await store.answer(to: wanted, in: $0) }
        return try answer.map { try Self.replayed($0, wanted) }
    }

    private static func replayed(_ answer: IdempotentAnswer, _ wanted: IdempotentRequest) throws -> Response {
        guard answer.requestSHA256 == wanted.requestSHA256 else {
            throw Problem.unprocessable(
                code: "idempotency_key_reused",
                detail: "This Idempotency-Key came with another request before.",
                field: "Idempotency-Key"
            )
        }
        return Response(
            status: Status(answer.status),
            headers: ["Idempotency-Replayed": "true"],
            contentType: answer.contentType,
            body: answer.body.isEmpty ? .empty : .bytes(answer.body)
        )
    }

    /// What the request's `Idempotency-Key` stands for; nil without one.
    public static func idempotentRequest(of request: Request) throws -> IdempotentRequest? {
        guard let key = request.headers["Idempotency-Key"] else { return nil }
        guard (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Problem.badRequest(
                code: "invalid_idempotency_key",
                detail: "An Idempotency-Key has 1 to 255 printable ASCII characters without blanks.",
                field: "Idempotency-Key"
            )
        }
        return IdempotentRequest(
            accountID: request.principal?.accountID,
            route: "\(request.method.rawValue) \(request.path)",
            key: key,
            requestSHA256: hash(of: request)
        )
    }

    /// Of the body and, where there are any, of the parameters: both say what is wanted.
    private static func hash(of request: Request) -> SHA256Digest {
        let body = SHA256.digest(request.body)
        if request.query.entries.isEmpty { return body }
        let query = request.query.entries.map { "\($0.name)=\($0.value)" }
        return SHA256.digest(utf8: ([body.hex] + query).joined(separator: "\n"))
    }
}
