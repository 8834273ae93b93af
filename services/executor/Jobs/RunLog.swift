import Contracts
import JobWorker
import Synchronization

/// What the author of a run reads of it: what its packages' build said, where the run waited for one, then what it printed itself.
///
/// The job's log while it runs and the one that is stored at its end are the same stream, so that a place in the one is that place in the other.
final class RunLog: Sendable {
    private let state = Mutex((captured: CapturedLog(capacity: FinishedJob.maximumLogBytes), isCut: false, hasBuild: false))
    private let reporter: JobReporter

    init(_ reporter: JobReporter) {
        self.reporter = reporter
    }

    /// Takes what the run printed.
    func printed(_ text: String) { take(text) }

    /// Takes what the build says, which may have a gap.
    func built(_ text: String, isCut: Bool) {
        if text.isEmpty { return }
        state.withLock { state in
            state.hasBuild = true
            state.isCut = state.isCut || isCut
        }
        take(text)
    }

    /// Hears the build.
    var listener: BuildLog.Listener { { text, isCut in self.built(text, isCut: isCut) } }

    private func take(_ text: String) {
        state.withLock { state in
            state.captured.append(Array(text.utf8))
            reporter.log(text)
        }
    }

    /// Whether the run waited for a build that said something.
    var hasBuild: Bool { state.withLock { $0.hasBuild } }

    /// The result with this as its log.
    func noted(in result: JobResult) -> JobResult {
        var result = result
        state.withLock { state in
            result.log = state.captured.text
            result.logTruncated = state.captured.isTruncated || state.isCut
        }
        return result
    }
}
