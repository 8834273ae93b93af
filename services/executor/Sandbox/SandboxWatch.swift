import Contracts
import ServiceRuntime
import Synchronization

/// Tries the sandbox again now and then, and at once when a run could not start: a sandbox that stops working (a package removed, a setting of the
/// kernel changed, cgroups gone) makes the executor not ready and keeps it from claiming, until it works again.
final class SandboxWatch: Component {
    let name = "sandbox-watch"

    private let host: SandboxHost
    private let found: String
    private let interval: Duration
    private let trial: @Sendable () async -> String?
    private let resources: ResourceManager
    private let readiness: ReadinessCheck
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    private let logger = Logger("sandbox")
    private let complaint = Mutex<String?>(nil)
    private let troubles: AsyncStream<Void>
    private let troubleMaker: AsyncStream<Void>.Continuation
    private let failures = Metrics.shared.counter("auspex_sandbox_checks_failed_total", help: "Trial runs that were not contained or did not start.")
    private let works = Metrics.shared.gauge("auspex_sandbox_works", help: "1 while the last trial run was contained.")

    /// How long after a failed trial it is tried again.
    static let retryInterval = Duration.seconds(5)

    /// - Parameters:
    ///   - report: what the start found, for `/readyz`.
    ///   - trial: a trial run: what is wrong, or nil.
    init(
        host: SandboxHost,
        report: SandboxDetection.Report,
        interval: Duration,
        resources: ResourceManager,
        readiness: Readiness,
        time: any TimeSource,
        loop: EventLoop,
        trial: @escaping @Sendable () async -> String?
    ) {
        self.host = host
        self.interval = interval
        self.trial = trial
        self.resources = resources
        self.readiness = readiness.register("sandbox")
        self.time = time
        self.loop = loop
        let probes = report.probes.filter { $0.state != .info }
        found = "level \(host.level.rawValue); " + probes.map { "\($0.name) \($0.state.rawValue)" }.joined(separator: ", ")
        (troubles, troubleMaker) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        for probe in probes {
            Metrics.shared.gauge("auspex_sandbox_probe", help: "1 for what the self-test at start found working.", labels: ["probe": probe.name])
                .set(probe.state == .ok ? 1 : 0)
        }
    }

    func start() async throws {
        works.set(1)
        readiness.set(ready: true, detail: found)
        work.start(on: loop) { [self] in
            await withTaskGroup(of: Void.self) { group in
                group.addTask { while (try? await self.time.sleep(for: self.pause)) != nil, !Task.isCancelled { await self.look() } }
                group.addTask { for await _ in self.troubles { await self.look() } }
            }
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Says that a run could not start for no fault of its own.
    func trouble() { troubleMaker.yield() }

    private var pause: Duration { complaint.withLock { $0 } == nil ? interval : Self.retryInterval }

    /// One trial run, and what follows from it.
    func look() async {
        let found = await trial()
        if Task.isCancelled { return }
        let before = complaint.withLock { value -> String? in
            defer { value = found }
            return value
        }
        works.set(found == nil ? 1 : 0)
        if let found {
            failures.increment()
            resources.pause("sandbox")
            readiness.set(ready: false, detail: FinishedJob.plain(found, maximumBytes: 300))
            if before == nil { logger.error("the sandbox does not work any more; nothing is claimed until it does", ["reason": .string(found)]) }
        } else {
            resources.resume("sandbox")
            readiness.set(ready: true, detail: self.found)
            if before != nil { logger.notice("the sandbox works again") }
        }
    }
}
