import Contracts

/// One thing that was looked at when the executor found out what it can have.
struct SandboxProbe: Sendable, Hashable {
    /// How it stands.
    enum State: String, Sendable {
        /// It is there and works.
        case ok
        /// It is not there, and the sandbox is weaker for it or does not work.
        case missing
        /// Good to know, and no part of the verdict.
        case info
    }

    /// A word or two, the same on every machine.
    var name: String
    var state: State
    /// What was found.
    var detail: String
    /// What an operator can do about it; nil when there is nothing to do.
    var remedy: String?

    /// In a line.
    var line: String { "\(name): \(detail)" + (remedy.map { "; \($0)" } ?? "") }

    /// For programs.
    var json: JSONValue {
        .object([
            "name": .string(name), "state": .string(state.rawValue), "detail": .string(detail), "remedy": remedy.map { .string($0) } ?? .null,
        ])
    }
}
