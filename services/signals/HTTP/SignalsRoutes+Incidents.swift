import Contracts
import FoundationEssentials
import HTTPServing

/// What the routes of incidents need.
struct IncidentDoors: Sendable {
    let store: IncidentStore
    let streams: IncidentStreams
}

/// Incidents as the API shows them.
enum IncidentAnswers {
    static func incident(_ incident: Incident) -> JSONValue {
        .object([
            "incident_id": .string(incident.id.uuidString.lowercased()), "signal_id": .string("\(incident.signalID)"),
            "kind": .string(incident.kind.rawValue), "failure_kind": incident.failureKind.map { .string($0.rawValue) } ?? .null,
            "reason": incident.reason.map { .string($0) } ?? .null, "message": incident.message.map { .string($0) } ?? .null,
            "job_id": incident.jobID.map { .string("\($0)") } ?? .null, "due_at": .string(incident.lastDueAt.iso8601),
            "count": .integer(incident.count), "first_at": .string(incident.firstDueAt.iso8601), "last_at": .string(incident.lastDueAt.iso8601),
            "read": .bool(incident.readCount >= incident.count),
        ])
    }
}

extension SignalsRoutes {
    func addIncidentRoutes(to router: RouteGroup) {
        guard incidentDoors != nil else { return }
        router.get("/api/signals/{id}/incidents", listIncidents)
        router.post("/api/signals/{id}/incidents/read", readIncidents)
        router.get("/api/stream", stream)
    }

    /// `GET /api/signals/{id}/incidents`: what went wrong with one's own signal, the latest first.
    func listIncidents(_ request: Request) async throws -> Response {
        let query = request.query
        try query.reject(unknownExcept: ["kind", "unread", "cursor", "limit"])
        let (signal, doors) = try await ownIncidents(request)
        let kind = try query.choice("kind", of: TroubleKind.allCases.map(\.rawValue)).flatMap(TroubleKind.init(rawValue:))
        let unreadOnly = try query.boolean("unread")
        let limit = try query.integer("limit", range: 1...100, default: 50)
        var before: IncidentStore.Place?
        if let cursor = try query.cursor(parts: 2) {
            guard let time = Timestamp(iso8601: cursor.parts[0]), let id = UUID(uuidString: cursor.parts[1]) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "This is not a cursor of this list.", field: "cursor")
            }
            before = .init(lastDueAt: time, id: id)
        }
        let found = try await doors.store.incidents(of: signal.id, kind: kind, unreadOnly: unreadOnly, before: before, limit: limit + 1)
        let page = found.prefix(limit)
        let next = found.count > limit ? page.last.map { Cursor([$0.lastDueAt.iso8601, $0.id.uuidString]).description } : nil
        return Self.json(
            .object([
                "items": .array(page.map(IncidentAnswers.incident)), "next_cursor": next.map { .string($0) } ?? .null,
                "unread": .integer(Int64(try await doors.store.unreadCount(of: signal.id))),
            ])
        )
    }

    private struct ReadBody: Decodable {
        var incidentIDs: [UUID]?

        enum CodingKeys: String, CodingKey { case incidentIDs = "incident_ids" }
    }

    /// `POST /api/signals/{id}/incidents/read`: marks those named, or all.
    func readIncidents(_ request: Request) async throws -> Response {
        let (signal, doors) = try await ownIncidents(request)
        let body = try request.json(ReadBody.self)
        guard (body.incidentIDs?.count ?? 0) <= 1_000 else {
            throw Problem.badRequest(code: "invalid_value", detail: "At most 1000 at once.", field: "incident_ids")
        }
        return Self.json(.object(["marked": .integer(Int64(try await doors.store.markRead(body.incidentIDs, of: signal.id)))]))
    }

    /// Its own account only, and no administrator either: what code says in its errors may hold its secrets.
    private func ownIncidents(_ request: Request) async throws -> (Signal, IncidentDoors) {
        guard let doors = incidentDoors else { throw Problem.notFound() }
        let (signal, caller) = try await ownSignal(request)
        guard caller.owns(signal.accountID) else { throw Refusal.notOwner }
        return (signal, doors)
    }

    /// `GET /api/stream`: what happens, by topics. Of these there is `incidents`: troubles of the caller's own signals.
    func stream(_ request: Request) async throws -> Response {
        try request.query.reject(unknownExcept: ["topics", "after"])
        guard let doors = incidentDoors else { throw Problem.notFound() }
        let caller = try requireProvider(request)
        guard try request.query.required("topics") == "incidents" else {
            throw Problem.badRequest(code: "unknown_topic", detail: "There is the topic incidents.", field: "topics")
        }
        let visitor = try StreamDoor.Visitor(request, scope: Scope.writeSignals)
        let (header, parameter) = (request.headers["Last-Event-ID"], request.query.string("after"))
        var after: Int64?
        if let text = header ?? parameter, !text.isEmpty {
            guard let revision = Int64(text), revision >= 0 else {
                let field = header == nil ? "after" : "Last-Event-ID"
                throw Problem.badRequest(code: "invalid_parameter", detail: "The id of an event of this stream would be right.", field: field)
            }
            after = revision
        }
        guard await doors.streams.count < IncidentStreams.maximumStreams else {
            throw Problem.tooManyRequests(code: "too_many_streams", detail: "This replica serves as many streams as it may.", retryAfterSeconds: 5)
        }
        let (streams, account, place) = (doors.streams, caller.accountID, after)
        return .events(
            EventStreamBody(until: request.principal?.expiresAt) { events in
                try await streams.serve(events, account, after: place, visitor: visitor)
            }
        )
    }
}
