import Contracts
import JobWorker
import Schedules

/// Sandboxes that are started ahead of the runs of schedules, which then need not wait for Python and its packages.
extension SignalRunHandler {
    /// Wants sandboxes ahead of runs; not of those that get a graphics processor, which nobody keeps from others while he waits.
    func want(_ requests: [WarmRequest]) {
        pool.want(requests.filter { resources.classes[$0.key.resourceClass].gpus == 0 }, make: warm)
    }

    /// Makes a sandbox ahead of a run that is due later.
    private func warm(_ request: WarmRequest, _ waiting: WaitingLimits) async throws -> WarmSandbox {
        // Packages that are not here begin to be installed, and nobody waits for that: the next announcement finds them.
        // Its run says how long it may take when it begins.
        let limits = SandboxLimits.of(request.key.resourceClass, wallTime: .seconds(3600), classes: resources.classes)
        let (folder, environment) = try await prepare(request, attempt: 1, within: .zero, StageClock(), nil)
        return try await start(request.manifest, folder, environment, limits, waiting, [], isAhead: true, lane: WarmPool.startingLane)
    }

    /// A signal that is due again before announcements come round is warmed again at once, from files that are here already.
    func warmAgain(_ job: ClaimedJob, _ spec: SignalRunSpec, _ key: WarmKey, _ reporter: JobReporter) {
        guard job.kind == .signalRun, let seconds = Self.soon(spec.manifest.schedule) else { return }
        let request = WarmRequest(
            key: key,
            dueAt: spec.dueAt + .seconds(seconds),
            files: spec.files,
            manifest: spec.manifest,
            jobToken: job.jobToken
        )
        // A sandbox that starts before would take a processor from the result and those who store it.
        reporter.onDelivery { want([request]) }
    }

    /// After how long a schedule is due again, if that is within a minute, in seconds.
    static func soon(_ schedule: Cadence) -> Int? {
        switch schedule {
        case .interval(let seconds): seconds <= 60 ? seconds : nil
        case .barClose(_, let interval): (try? BarLength.seconds(of: interval)).flatMap { $0 <= 60 ? $0 : nil }
        default: nil
        }
    }
}
