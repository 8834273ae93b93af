import Contracts
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    private struct NewSubscription: Decodable {
        var signalID: SignalID
    }

    /// `GET /api/subscriptions`
    func listSubscriptions(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["limit", "cursor"])
        let caller = try subscriber(request)
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        let after = try request.query.value("cursor", as: SubscriptionID.self)
        let found = try await store.subscriptions(caller.accountID, after: after, limit: limit + 1)
        let page = found.prefix(limit)
        return Self.json(
            SignalAnswers.page(page.map(SignalAnswers.subscription), nextCursor: found.count > limit ? page.last?.id.description : nil)
        )
    }

    /// `POST /api/subscriptions`: the same again gives the same subscription.
    func subscribe(_ request: Request) async throws -> Response {
        let caller = try subscriber(request)
        guard caller.roles.contains(Role.subscriber) || caller.roles.contains(Role.admin) else {
            throw Problem.forbidden(code: "insufficient_role", detail: "This needs the role subscriber.")
        }
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let body = try request.json(NewSubscription.self)
        guard let signal = try await store.signal(body.signalID), signal.state == .published else {
            throw Problem.notFound(detail: "There is no such signal.", field: "signal_id")
        }
        guard !caller.owns(signal.accountID) else {
            throw Problem.conflict(code: "own_signal", detail: "One's own signals can be read without a subscription.", field: "signal_id")
        }
        let now = time.now()
        let response = try await effects.run(request) { store in
            let (subscription, isNew) = try await store.subscribe(caller.accountID, to: signal.id, now: now)
            return Self.json(SignalAnswers.subscription(subscription), status: isNew ? .created : .ok)
        }
        entitlements.forget(caller.accountID)
        return response
    }

    /// `DELETE /api/subscriptions/{id}`
    func unsubscribe(_ request: Request) async throws -> Response {
        let caller = try subscriber(request)
        let id = try request.parameter("id", as: SubscriptionID.self)
        let now = time.now()
        let response = try await effects.run(request) { store in
            guard try await store.unsubscribe(id, accountID: caller.accountID, now: now) != nil else { throw Problem.notFound(field: "id") }
            return .noContent
        }
        entitlements.forget(caller.accountID)
        return response
    }

    /// Subscriptions are a person's business; no scope covers them.
    private func subscriber(_ request: Request) throws -> Caller {
        let caller = try request.requiredCaller()
        guard caller.scopes == nil else { throw Refusal.insufficientScope }
        return caller
    }
}
