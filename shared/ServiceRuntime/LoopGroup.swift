/// The loops of a service: those that serve requests, and one control loop for renewals, relays and health.
///
/// What must not be late (a lease renewal) never shares a loop with what may be slow (a request).
public final class LoopGroup: Sendable {
    /// The loops that serve requests.
    public let serving: [EventLoop]
    /// The loop of everything that keeps the service alive.
    public let control: EventLoop

    private init(serving: [EventLoop], control: EventLoop) {
        self.serving = serving
        self.control = control
    }

    /// Starts `count` serving loops and the control loop.
    public static func start(count: Int) throws -> LoopGroup {
        precondition(count > 0, "a service needs at least one serving loop")
        return LoopGroup(serving: try (0..<count).map { try EventLoop.start(name: "serve-\($0)") }, control: try EventLoop.start(name: "control"))
    }

    /// All loops, the control loop last.
    public var all: [EventLoop] { serving + [control] }

    /// Ends all loops.
    public func stop() async {
        for loop in all { await loop.stop() }
    }
}
