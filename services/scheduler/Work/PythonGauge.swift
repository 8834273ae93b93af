import Contracts
import ServiceRuntime
import Synchronization

/// Shows where executors have different Pythons that may be given runs of the same versions: each should have all of them, as an upload is held to it.
final class PythonGauge: Component {
    let name = "pythons"
    static let interval = Duration.seconds(60)

    private let workers: @Sendable () async throws -> [KnownWorker]
    private let time: any TimeSource
    private let loop: EventLoop
    private let work = BackgroundTask()
    /// What was said last, by class.
    private let said = Mutex<[ResourceClass: [PythonGap]]>([:])
    private let logger = Logger("pythons")

    init(workers: @escaping @Sendable () async throws -> [KnownWorker], time: any TimeSource, loop: EventLoop) {
        self.workers = workers
        self.time = time
        self.loop = loop
    }

    func start() async throws {
        work.start(
            on: loop,
            every: Self.interval,
            time: time,
            pausesFirst: true,
            logger: logger,
            failure: "could not compare the Pythons of executors"
        ) {
            [self] in try await round()
        }
    }

    func stop() async {
        await work.stop()
    }

    /// Compares once; gives what differs.
    @discardableResult
    func round() async throws -> [ResourceClass: [PythonGap]] {
        let gaps = PythonGap.found(among: try await workers().map(\.report))
        let before = said.withLock { said in
            defer { said = gaps }
            return said
        }
        for name in Set(gaps.keys).union(before.keys) {
            Metrics.shared.gauge(
                "auspex_scheduler_python_gaps",
                help: "Pythons that some executors which may run versions of a class have and others lack.",
                labels: ["class": name.rawValue]
            ).set(Double(gaps[name]?.count ?? 0))
            for gap in gaps[name] ?? [] where before[name]?.contains(gap) != true {
                logger.warning(
                    "executors that may be given runs of the same versions have different Pythons",
                    ["class": .string(name.rawValue), "python": .string(gap.series), "lacking": .string(gap.lacking.joined(separator: ", "))]
                )
            }
        }
        return gaps
    }
}

/// A Python that some workers which may be given the same runs have and others lack.
struct PythonGap: Sendable, Hashable {
    let series: String
    /// The names of those without it; not all of very many.
    let lacking: [String]

    private static let mostNames = 20

    /// By class, among those that an upload asks as well (`mayRunVersions`). Workers without any Python run none of its code.
    static func found(among reports: [WorkerReport]) -> [ResourceClass: [PythonGap]] {
        let able = reports.filter { !$0.pythons.isEmpty }
        let classes = Set(able.flatMap { $0.classes.filter { $0.slots > 0 }.map(\.class) })
        var found: [ResourceClass: [PythonGap]] = [:]
        for name in classes {
            let workers = able.filter { $0.mayRunVersions(of: name) }
            let gaps = Set(workers.flatMap { $0.pythons.map(\.series) }).sorted().compactMap { series -> PythonGap? in
                let lacking = workers.filter { !$0.pythons.contains { $0.series == series } }.map(\.worker).sorted()
                return lacking.isEmpty ? nil : PythonGap(series: series, lacking: Array(lacking.prefix(mostNames)))
            }
            if !gaps.isEmpty { found[name] = gaps }
        }
        return found
    }
}
