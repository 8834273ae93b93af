import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    /// `GET /api/signals/{id}/ledger`: links and roots for everybody, also of withdrawn and deleted signals; payloads and nonces for the entitled.
    func ledger(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["after_seq", "limit"])
        let signal = try await verifiableSignal(request)
        let afterSeq = Int64(try request.query.integer("after_seq", default: 0))
        let limit = try request.query.integer("limit", range: 1...LedgerExports.maximumRows, default: 1_000)
        guard
            let export = try await exports.export(signal.id, afterSeq: afterSeq, limit: limit, isEntitled: try await isEntitled(request, to: signal))
        else {
            throw Problem.notFound(field: "id")
        }
        return .json(bytes: try await cpu.run(lane: .general) { try WireJSON.encode(export) })
    }

    /// The signal of the path, if the caller may see its public record.
    func verifiableSignal(_ request: Request) async throws -> Signal {
        let id = try request.parameter("id", as: SignalID.self)
        guard let signal = try await store.signalEvenIfDeleted(id), let head = try await store.head(id),
            Entitlement.mayVerify(owner: signal.accountID, state: signal.state, hasRows: head.seq > 0, caller: request.caller)
        else {
            throw Problem.notFound(field: "id")
        }
        return signal
    }

    private func isEntitled(_ request: Request, to signal: Signal) async throws -> Bool {
        guard let caller = request.caller else { return false }
        let isSubscribed = try await entitlements.isSubscribed(caller.accountID, to: signal.id)
        return Entitlement.toPredictions(
            signalID: signal.id,
            owner: signal.accountID,
            state: signal.state,
            caller: caller,
            isSubscribed: isSubscribed
        ) == .granted
    }

    /// `GET /api/signals/ledger/seals`: every seal in order, so that the chain of roots can be followed from the first.
    func seals(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["after", "limit"])
        let after = Int64(try request.query.integer("after", default: 0))
        let limit = try request.query.integer("limit", range: 1...1_000, default: 100)
        let page = try await store.seals(after: after, limit: limit, maximumHeads: exports.maximumHeads)
        let body = try await cpu.run(lane: .general) {
            WireJSON.encode([
                "items": .array(try page.seals.map { try WireJSON.value(of: LedgerExport.Seal($0)) }),
                "next_after": page.hasMore ? page.seals.last.map { .integer($0.number) } ?? .null : .null,
            ])
        }
        return .json(bytes: body)
    }

    /// `GET /api/signals/ledger/keys`: the public keys by which seals are signed, as a JWK set.
    func ledgerKeys(_ request: Request) async throws -> Response {
        var keys = try await store.ledgerKeys().compactMap { key -> JWK? in try? WireJSON.decode(from: Array(key.jwk.utf8)) }
        // A service that has not sealed anything yet still says by which key it will.
        if !keys.contains(where: { $0.keyID == signingKey.keyID }) { keys.append(signingKey.verifyingKey.jwk()) }
        return try .json(JWKSet(keys: keys))
    }

    /// `GET /api/signals/ledger/days/{day}`: the last seal of a UTC day, to be kept where the operator of this platform cannot reach it.
    func lastSealOfDay(_ request: Request) async throws -> Response {
        let day = request.parameters["day"] ?? ""
        guard let start = Timestamp(iso8601: day + "T00:00:00Z") else { throw Problem.notFound(field: "day") }
        let end = start + .seconds(86_400)
        guard let seal = try await store.lastSeal(before: end), let sealedAt = seal.sealedAt, sealedAt >= start else {
            throw Problem.notFound(field: "day")
        }
        return Self.json([
            "day": .string(day), "is_over": .bool(time.now() >= end), "seal": try WireJSON.value(of: LedgerExport.Seal(seal)),
        ])
    }
}
