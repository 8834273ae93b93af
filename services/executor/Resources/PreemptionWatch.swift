import Glibc
import ServiceRuntime
import Synchronization

/// Watches for the notice that this machine is about to be taken away: a file that an agent of the machine's owner writes.
///
/// When it appears nothing more is claimed, and the executor stops as on SIGTERM, with a grace of its own. An executor that starts beside an old notice
/// claims nothing until the file is gone: its supervisor may start it again while the machine still waits for its end.
final class PreemptionWatch: Component {
    let name = "preemption-watch"
    static let interval = Duration.milliseconds(500)

    private let file: String?
    private let resources: ResourceManager
    private let readiness: ReadinessCheck?
    private let time: any TimeSource
    private let loop: EventLoop
    private let leave: @Sendable () -> Void
    private let wasThere = Mutex(false)
    private let work = BackgroundTask()
    private let logger = Logger("preemption")

    /// - Parameter leave: begins the stop of the process.
    init(
        file: String?,
        resources: ResourceManager,
        readiness: Readiness,
        time: any TimeSource,
        loop: EventLoop,
        leave: @escaping @Sendable () -> Void
    ) {
        self.file = file
        self.resources = resources
        self.readiness = file == nil ? nil : readiness.register("preemption")
        self.time = time
        self.loop = loop
        self.leave = leave
    }

    func start() async throws {
        guard let file else { return }
        if access(file, F_OK) == 0 {
            wasThere.withLock { $0 = true }
            hold("the notice of an earlier start is still there")
            logger.warning("nothing is claimed until the notice is gone", ["file": .string(file)])
        } else {
            readiness?.set(ready: true)
        }
        work.start(on: loop, every: Self.interval, time: time, pausesFirst: true) { [self] in look(file) }
    }

    func stop() async {
        await work.stop()
    }

    private func look(_ file: String) {
        let isThere = access(file, F_OK) == 0
        let before = wasThere.withLock { value -> Bool in
            defer { value = isThere }
            return value
        }
        if isThere, !before {
            hold("this machine is about to be taken away")
            logger.notice("the machine is about to be taken away; stopping", ["file": .string(file)])
            leave()
        } else if !isThere, before {
            resources.resume("preemption")
            readiness?.set(ready: true)
        }
    }

    private func hold(_ reason: String) {
        resources.pause("preemption")
        readiness?.set(ready: false, detail: reason)
    }
}
