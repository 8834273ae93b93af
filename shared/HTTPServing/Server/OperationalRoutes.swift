public import ServiceRuntime

/// What operators and container engines ask of every service, on its internal port: `/healthz`, `/readyz`, `/metrics`.
public struct OperationalRoutes: Sendable {
    private struct ReadinessAnswer: Encodable {
        struct Check: Encodable {
            let name: String
            let ready: Bool
            let detail: String
        }
        let ready: Bool
        let checks: [Check]
    }

    private let readiness: Readiness

    /// Routes that report `readiness`.
    public init(readiness: Readiness) { self.readiness = readiness }

    /// Adds the routes.
    public func add(to router: inout Router) {
        router.get("/healthz") { _ in .json(bytes: Array(#"{"status":"alive"}"#.utf8)) }
        router.get("/readyz") { [readiness] _ in
            let (ready, states) = readiness.report()
            let checks = states.map { ReadinessAnswer.Check(name: $0.name, ready: $0.ready, detail: $0.detail) }
            return try .json(ReadinessAnswer(ready: ready, checks: checks), status: ready ? .ok : .unavailable)
        }
        router.get("/metrics") { _ in
            .bytes(Array(Metrics.shared.render().utf8), contentType: "text/plain; version=0.0.4; charset=utf-8")
        }
    }
}
