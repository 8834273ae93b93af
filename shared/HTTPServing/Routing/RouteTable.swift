internal import Contracts
internal import ServiceRuntime
internal import Synchronization

/// What the copies of a router and its groups share.
final class RouteTable: Sendable {
    private let state = Mutex((trie: RouteTrie(), routes: [Route](), frozen: false))
    private let problemOf: @Sendable (any Error) -> Problem?
    private let logger = Logger("http")

    /// Set once, when a server takes the router: from then on requests need no lock.
    private nonisolated(unsafe) var frozenTrie: RouteTrie?

    init(problemOf: @escaping @Sendable (any Error) -> Problem?) {
        self.problemOf = problemOf
    }

    var all: [(method: Method, pattern: String)] { state.withLock { $0.routes.map { ($0.method, $0.pattern) } } }

    func add(_ method: Method, _ path: String, maximumBodyBytes: Int?, _ handler: @escaping Handler) {
        precondition(path.hasPrefix("/"), "a route begins with a slash: \(path)")
        state.withLock { state in
            precondition(!state.frozen, "routes are added before the server starts: \(path)")
            let route = Route(
                method: method,
                pattern: path,
                handler: handler,
                maximumBodyBytes: maximumBodyBytes,
                index: state.routes.count
            )
            state.trie.insert(route)
            state.routes.append(route)
        }
    }

    /// Called before the first request, on the thread that starts the server's loops: what they read later was written before.
    func freeze() {
        state.withLock { state in
            guard !state.frozen else { return }
            state.frozen = true
            frozenTrie = state.trie
        }
    }

    func match(_ method: Method, _ bytes: [UInt8], _ path: Range<Int>) -> RouteMatch {
        if let frozenTrie { return frozenTrie.match(method, bytes, path) }
        return state.withLock { $0.trie.match(method, bytes, path) }
    }

    func respond(to request: Request, match: RouteMatch) async -> Response {
        switch match {
        case .found(let route, let parameters):
            var request = request
            request.parameters = parameters
            request.routePattern = route.pattern
            do {
                return try await route.handler(request)
            } catch {
                return response(to: error, request)
            }
        case .options(let allow):
            return Response(status: .noContent, headers: ["Allow": allow])
        case .otherMethods(let allow):
            return .problem(
                Problem(
                    status: .methodNotAllowed,
                    code: "method_not_allowed",
                    detail: "This path knows: \(allow).",
                    headers: ["Allow": allow]
                ),
                requestID: request.requestID
            )
        case .unknown:
            return .problem(.notFound(code: "no_such_route", detail: "There is no such path."), requestID: request.requestID)
        case .malformed:
            return .problem(MessageFault.malformedTarget.problem, requestID: request.requestID)
        }
    }

    private func response(to error: any Error, _ request: Request) -> Response {
        let problem: Problem
        switch error {
        case let error as Problem: problem = error
        case let error as any ProblemRepresentable: problem = error.problem
        case is CPUPoolError: problem = .tooManyRequests(code: "busy", detail: "Too much of this work is waiting; try again.", retryAfterSeconds: 2)
        case is CancellationError: problem = .unavailable(code: "cancelled", detail: "The request was cancelled.")
        default:
            if let known = problemOf(error) {
                problem = known
            } else {
                // The short description is written for others to read; the full one stays here.
                logger.error(
                    "a request failed",
                    [
                        "error": .string(String(reflecting: error)), "method": .string(request.method.rawValue),
                        "route": .string(request.routePattern ?? "-"),
                    ]
                )
                problem = .internalError
            }
        }
        return .problem(problem, requestID: request.requestID)
    }
}
