import Contracts
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    private struct NewSignal: Decodable {
        var name: String
        var description: String?
    }

    private struct ChangedSignal: Decodable {
        var name: String?
        var description: String?
    }

    private struct PublishBody: Decodable {
        var version: Int?
    }

    private struct UnpublishBody: Decodable {
        var reason: String?
    }

    /// `GET /api/signals`
    func listSignals(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["instrument", "interval", "q", "mine", "limit", "cursor"])
        var filter = SignalFilter(viewer: request.caller?.accountID)
        filter.onlyOwn = try request.query.boolean("mine")
        filter.instrument = request.query.string("instrument")
        filter.text = request.query.string("q").flatMap { $0.isEmpty ? nil : $0 }
        guard filter.text.map({ $0.unicodeScalars.count <= 200 }) ?? true else {
            throw Problem.badRequest(code: "invalid_parameter", detail: "q has at most 200 characters.", field: "q")
        }
        if let interval = request.query.string("interval") {
            guard let seconds = BarInterval(interval)?.seconds else {
                throw Problem.badRequest(code: "invalid_parameter", detail: "interval is a bar length such as 15s, 1m or 1d.", field: "interval")
            }
            filter.intervalSeconds = seconds
        }
        let limit = try request.query.integer("limit", range: 1...200, default: 50)
        let after = try request.query.value("cursor", as: SignalID.self)
        let found = try await store.signals(filter, after: after, limit: limit + 1)
        let page = found.prefix(limit)
        let viewer = request.caller
        return Self.json(
            SignalAnswers.page(
                page.map { SignalAnswers.signal($0, viewer: viewer) },
                nextCursor: found.count > limit ? page.last?.id.description : nil
            )
        )
    }

    /// `POST /api/signals`
    func createSignal(_ request: Request) async throws -> Response {
        let caller = try requireProvider(request)
        let userID = try request.authenticated().userID
        let body = try request.json(NewSignal.self)
        let name = try Self.name(body.name)
        let description = try Self.description(body.description ?? "")
        let signal = Signal.draft(accountID: caller.accountID, createdBy: userID, name: name, description: description, now: time.now())
        return try await effects.run(request) { store in
            try await store.create(signal)
            return Self.json(
                SignalAnswers.detail(
                    signal,
                    viewer: caller,
                    head: try await store.head(signal.id),
                    cadence: nil,
                    published: nil,
                    isSubscribed: false
                ),
                status: .created
            )
        }
    }

    /// `GET /api/signals/{id}`
    func signal(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: [])
        return try await detail(try await visibleSignal(request), viewer: request.caller)
    }

    private func detail(_ signal: Signal, viewer: Caller?) async throws -> Response {
        let published: SignalVersion? =
            if signal.state == .published, let id = signal.publishedVersionID { try await store.version(id) } else { nil }
        let isSubscribed = if let viewer { try await entitlements.isSubscribed(viewer.accountID, to: signal.id) } else { false }
        return Self.json(
            SignalAnswers.detail(
                signal,
                viewer: viewer,
                head: try await store.head(signal.id),
                cadence: try await store.cadence(signal.id),
                published: published,
                isSubscribed: isSubscribed
            )
        )
    }

    /// `PUT /api/signals/{id}`
    func updateSignal(_ request: Request) async throws -> Response {
        let (signal, caller) = try await ownSignal(request)
        let body = try request.json(ChangedSignal.self)
        let name = try body.name.map { try Self.name($0) }
        let description = try body.description.map { try Self.description($0) }
        let now = time.now()
        return try await effects.run(request) { store in
            guard let changed = try await store.updateSignal(signal.id, name: name, description: description, now: now) else {
                throw Problem.notFound(field: "id")
            }
            return Self.json(SignalAnswers.signal(changed, viewer: caller))
        }
    }

    /// `DELETE /api/signals/{id}`: hides the signal for good; its ledger stays.
    func deleteSignal(_ request: Request) async throws -> Response {
        // A repeat finds no signal any more, but its answer.
        guard try request.requiredCaller().has(scope: Scope.writeSignals) else { throw Refusal.insufficientScope }
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let (signal, _) = try await ownSignal(request)
        let now = time.now()
        return try await effects.run(request) { store in
            guard try await store.deleteSignal(signal.id, now: now) else { throw Problem.notFound(field: "id") }
            return .noContent
        }
    }

    /// `POST /api/signals/{id}/publish`
    func publish(_ request: Request) async throws -> Response {
        let (signal, caller) = try await ownSignal(request)
        if let answer = try await effects.earlierAnswer(to: request) { return answer }
        let body = request.body.isEmpty ? PublishBody() : try request.json(PublishBody.self)
        let found =
            if let number = body.version { try await store.version(signal.id, number: number) } else {
                try await store.versions(signal.id, before: nil, limit: 1).first
            }
        guard let version = found else {
            throw body.version == nil
                ? Problem.conflict(code: "no_version", detail: "Upload a version before publishing.") : Problem.notFound(field: "version")
        }
        if let fault = RunnableRules.fault(in: version.manifest) {
            throw Problem.unprocessable(code: "cannot_run", detail: fault, field: ProjectFile.manifest)
        }
        let feed = try await market.feed(of: version)
        let now = time.now()
        return try await effects.run(request) { store in
            let published = try await store.publish(signal.id, versionID: version.id, feed: feed, now: now)
            return Self.json(
                SignalAnswers.detail(
                    published,
                    viewer: caller,
                    head: try await store.head(signal.id),
                    cadence: try await store.cadence(signal.id),
                    published: version,
                    isSubscribed: false
                )
            )
        }
    }

    /// `POST /api/signals/{id}/unpublish`
    func unpublish(_ request: Request) async throws -> Response {
        let (signal, caller) = try await ownSignal(request)
        let body = request.body.isEmpty ? UnpublishBody() : try request.json(UnpublishBody.self)
        let reason = body.reason ?? "by its provider"
        guard reason.count <= 500 else {
            throw Problem.badRequest(code: "invalid_value", detail: "A reason has at most 500 characters.", field: "reason")
        }
        let now = time.now()
        return try await effects.run(request) { store in
            guard try await store.signal(signal.id)?.state != .draft else {
                throw Problem.conflict(code: "not_published", detail: "The signal is not published.")
            }
            return Self.json(SignalAnswers.signal(try await store.unpublish(signal.id, reason: reason, now: now), viewer: caller))
        }
    }

    private static func name(_ text: String) throws -> String {
        guard Signal.nameCharacters.contains(text.count), isPlain(text, allowingLines: false), text.contains(where: { !$0.isWhitespace }) else {
            throw Problem.badRequest(
                code: "invalid_value",
                detail: "A name has 1 to \(Signal.nameCharacters.upperBound) characters on one line.",
                field: "name"
            )
        }
        return text
    }

    private static func description(_ text: String) throws -> String {
        guard Signal.descriptionCharacters.contains(text.count), isPlain(text, allowingLines: true) else {
            throw Problem.badRequest(
                code: "invalid_value",
                detail: "A description has at most \(Signal.descriptionCharacters.upperBound) characters.",
                field: "description"
            )
        }
        return text
    }

    /// Without control characters; Postgres cannot keep a NUL, and nobody needs the others.
    static func isPlain(_ text: String, allowingLines: Bool) -> Bool {
        // One character may be many scalars; the columns count scalars.
        text.unicodeScalars.count <= 10_000
            && text.unicodeScalars.allSatisfy { scalar in
                scalar.value >= 0x20 && scalar.value != 0x7F || (allowingLines && (scalar == "\n" || scalar == "\t" || scalar == "\r"))
            }
    }
}
