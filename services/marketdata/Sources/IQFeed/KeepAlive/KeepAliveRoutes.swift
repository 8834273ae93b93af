import HTTPServing
import ServiceRuntime

/// What the watchdog tells the service that asks for the client program.
struct KeepAliveAnswer: Codable, Sendable, Equatable {
    let live: Bool
    let detail: String

    static let path = "/internal/v1/iqfeed/client"
    /// How long the watchdog waits for a client program that is about to work: less than anybody waits for a connection.
    static let patience = Duration.seconds(4)

    private struct Nothing: Encodable {}

    /// Asks the watchdog to make sure that the client program works; throws `SourceError.unavailable` when it says that it does not.
    ///
    /// With the watchdog itself away the client program may still work: connecting tells.
    static func ask(_ keepAlive: ServiceClient) async throws {
        let answer: KeepAliveAnswer
        do {
            answer = try await keepAlive.post(path, body: Nothing(), isIdempotent: true)
        } catch let error as ServiceClientError {
            Logger("iqfeed").warning("the watchdog does not answer", ["error": .string("\(error)")])
            return
        }
        guard answer.live else { throw SourceError.unavailable(answer.detail) }
    }
}

/// The watchdog's one door besides health and metrics.
struct KeepAliveRoutes: Sendable {
    let keepAlive: KeepAlive

    /// Adds the route; `authentication` lets marketdata itself in.
    func add(to router: inout Router, authentication: any Middleware) {
        router.grouped(authentication).post(KeepAliveAnswer.path) { _ in
            do {
                try await keepAlive.whenLive(within: KeepAliveAnswer.patience)
                return try .json(KeepAliveAnswer(live: true, detail: ""))
            } catch SourceError.unavailable(let why) {
                return try .json(KeepAliveAnswer(live: false, detail: why))
            }
        }
    }
}
