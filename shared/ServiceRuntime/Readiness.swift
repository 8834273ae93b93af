internal import Synchronization

/// Whether the things that a service depends on are there.
public final class Readiness: Sendable {
    /// The state of one dependency.
    public struct State: Sendable {
        /// The dependency.
        public let name: String
        /// Whether it is there.
        public let ready: Bool
        /// In a few words, why not; never a secret.
        public let detail: String
    }

    private let states = Mutex<[String: State]>([:])
    private let draining = Mutex(false)

    /// Nothing registered yet: ready.
    public init() {}

    /// Adds a dependency, not ready until its check says so.
    public func register(_ name: String) -> ReadinessCheck {
        states.withLock { $0[name] = State(name: name, ready: false, detail: "not reached yet") }
        return ReadinessCheck(name: name, readiness: self)
    }

    /// Tells callers to go elsewhere: the service is stopping.
    public func drain() {
        draining.withLock { $0 = true }
    }

    /// Whether all is there, and the state of each part.
    public func report() -> (ready: Bool, states: [State]) {
        let states = states.withLock { $0.values.sorted { $0.name < $1.name } }
        if draining.withLock({ $0 }) { return (false, states + [State(name: "service", ready: false, detail: "stopping")]) }
        return (states.allSatisfy(\.ready), states)
    }

    fileprivate func set(_ state: State) {
        states.withLock { $0[state.name] = state }
    }
}

/// The hand with which a component reports on its dependency.
public struct ReadinessCheck: Sendable {
    private let name: String
    private let readiness: Readiness

    fileprivate init(name: String, readiness: Readiness) {
        self.name = name
        self.readiness = readiness
    }

    /// Reports that the dependency is there or away.
    public func set(ready: Bool, detail: String = "") {
        readiness.set(Readiness.State(name: name, ready: ready, detail: detail))
    }
}
