import Contracts
import Synchronization

/// What the installer says in the steps of one build, for all who wait for it: as it is said, and as a whole within the bound of a job's log.
final class BuildLog: Sendable {
    /// Hears what is said; called while it is said, so it must be quick. The flag says whether the text has a gap.
    typealias Listener = @Sendable (String, Bool) -> Void

    private struct State {
        var captured = CapturedLog(capacity: FinishedJob.maximumLogBytes)
        /// The beginning of a line: a secret is looked for in whole lines.
        var begun = ""
        var listeners: [Int: Listener] = [:]
        var count = 0
        var isOfKeptLock = false
    }

    /// Longer lines are handed on in parts.
    private static let longestLineBytes = 8192

    private let state = Mutex(State())
    private let secrets: IndexSecrets

    init(secrets: IndexSecrets = IndexSecrets()) {
        self.secrets = secrets
    }

    /// Takes what a step said, in any pieces.
    func append(_ text: String) {
        state.withLock { state in
            state.begun += text
            guard let end = state.begun.utf8.lastIndex(of: UInt8(ascii: "\n")) else {
                guard state.begun.utf8.count > Self.longestLineBytes else { return }
                // A secret that the cut would divide is behind it, or is hidden already.
                state.begun = secrets.hidden(in: state.begun)
                let cut = state.begun.index(state.begun.endIndex, offsetBy: -1024, limitedBy: state.begun.startIndex)
                if let cut { tell(&state, upTo: cut) }
                return
            }
            tell(&state, upTo: state.begun.utf8.index(after: end))
        }
    }

    /// Hands on a last line that has no end: the step has said all it will say.
    func endStep() {
        state.withLock { state in
            if state.begun.isEmpty { return }
            state.begun += "\n"
            tell(&state, upTo: state.begun.endIndex)
        }
    }

    private func tell(_ state: inout State, upTo end: String.Index) {
        let text = secrets.hidden(in: String(state.begun[..<end]))
        state.begun.removeSubrange(..<end)
        state.captured.append(Array(text.utf8))
        for listener in state.listeners.values { listener(text, false) }
    }

    /// Tells what was said so far and what follows; gives the number by which to ``leave(_:)``.
    func listen(_ listener: @escaping Listener) -> Int {
        state.withLock { state in
            if state.captured.totalBytes > 0 { listener(state.captured.text, state.captured.isTruncated) }
            state.count += 1
            state.listeners[state.count] = listener
            return state.count
        }
    }

    func leave(_ number: Int) { state.withLock { _ = $0.listeners.removeValue(forKey: number) } }

    /// All of it, the middle left out where it is too long.
    var text: String { state.withLock { $0.captured.text } }
    /// Whether the middle is left out.
    var isTruncated: Bool { state.withLock { $0.captured.isTruncated } }

    /// Whether the lock that is built was kept before: its author has waited for these packages once, and that they are built anew is ours.
    var isOfKeptLock: Bool { state.withLock { $0.isOfKeptLock } }
    func noteKeptLock() { state.withLock { $0.isOfKeptLock = true } }
}
