import Contracts
import Synchronization

/// What the installer says in the steps of one build, within the bound of a job's log.
final class BuildLog: Sendable {
    private let captured = Mutex(CapturedLog(capacity: FinishedJob.maximumLogBytes / 2))

    /// Takes what a step said.
    func append(_ text: String) {
        captured.withLock { $0.append(Array(text.utf8)) }
    }

    /// All of it, the middle left out where it is too long.
    var text: String { captured.withLock { $0.text } }
}
