import Contracts
import Cryptography
import FoundationEssentials
import Glibc
import HTTPServing
import JobWorker
import Messaging
import ServiceRuntime

/// The whole object graph of the service, in start order. There is no database: who runs strangers' code holds the fewest secrets.
enum Application {
    static func build(_ settings: ExecutorSettings, _ environment: ServiceEnvironment) async throws -> [any Component] {
        let (loops, readiness, cpu) = (environment.loops, environment.readiness, environment.cpu)

        // What the machine allows; below what is demanded the executor does not start.
        let detection = SandboxDetection(configuration: settings.sandbox, loops: loops.serving, cpu: cpu)
        let (host, report) = try await detection.require()
        announce(host, report)
        let sandbox = Sandbox(host: host, loops: loops.serving, cpu: cpu)
        let pythons = try await PythonInterpreter.discover(in: sandbox, folders: settings.pythonFolders)
        guard !pythons.isEmpty else { throw SandboxError.refused("no Python works in the sandbox") }

        // What of the machine jobs may take.
        let gpus = settings.capacity.gpuDevices.map { GPUDevice.named($0) } ?? GPUDevice.detect()
        let machine = MachineCapacity.detect(processors: MachineCapacity.processors)
        let plan = try CapacityPlan(settings: settings.capacity, machine: machine, gpus: gpus.count)
        let resources = ResourceManager(plan: plan, gpus: gpus)
        announce(plan)

        let watch = SandboxWatch(
            host: host,
            report: report,
            interval: settings.sandboxCheckInterval,
            resources: resources,
            readiness: readiness,
            time: environment.time,
            loop: loops.control,
            trial: { await ContainmentTrial(host: host, loops: loops.serving, cpu: cpu).run().complaint }
        )

        // What lies on the disk.
        let storage = ExecutorStorage(settings: settings, builds: plan.builds, sandbox: sandbox, cpu: cpu)
        let runtime = try await storage.prepare(for: pythons)

        let pool = WarmPool(bounds: settings.warm, loop: loops.serving[0], time: environment.time)

        // Who is asked for code, bars and jobs.
        let tokens = try ServiceTokenSource(service: "executor", keyFile: settings.common.serviceKeyFile)
        let http = HTTPClient()
        func client(_ name: String, _ urls: [String], deadline: Duration) -> ServiceClient {
            ServiceClient(baseURLs: urls, audience: name, tokens: tokens, http: http, deadline: deadline, time: environment.time)
        }
        let handler = SignalRunHandler(
            inputs: RunInputs(
                signals: client("signals", settings.signalsURLs, deadline: .seconds(60)),
                marketdata: client("marketdata", settings.marketdataURLs, deadline: .seconds(30)),
                time: environment.time
            ),
            code: storage.code,
            environments: storage.environments,
            pythons: pythons,
            sandbox: sandbox,
            runtime: runtime,
            cpu: cpu,
            pool: pool,
            resources: resources,
            onTrouble: { watch.trouble() }
        )
        let announcements = Announcements(
            worker: settings.workerName,
            scheduler: client("scheduler", settings.schedulerURLs, deadline: .seconds(4)),
            handler: handler,
            pool: pool,
            cpu: cpu,
            loop: loops.serving[0],
            time: environment.time
        )
        let conversions = TableConversionHandler(
            files: ConversionFiles(marketdata: client("marketdata", settings.marketdataURLs, deadline: .seconds(60))),
            environments: storage.environments,
            pythons: pythons,
            sandbox: sandbox,
            runtime: runtime,
            cpu: cpu,
            classes: plan.classes
        )
        let wakeups = try Wakeups(brokerURL: settings.brokerURL, service: "executor", loop: loops.control, readiness: nil)
        let worker = JobWorker(
            worker: settings.workerName,
            scheduler: client("scheduler", settings.schedulerURLs, deadline: .seconds(10)),
            slots: resources,
            handlers: [handler, conversions, NoopHandler()],
            wakeups: wakeups,
            timeSource: environment.time,
            control: loops.control,
            loops: loops.serving,
            readiness: readiness.register("scheduler"),
            grace: settings.drainGrace
        )
        let room = WaitingWatch(
            resources: resources,
            scheduler: client("scheduler", settings.schedulerURLs, deadline: .seconds(3)),
            time: environment.time,
            loop: loops.control
        )
        let notice = PreemptionWatch(
            file: settings.preemptionFile,
            resources: resources,
            readiness: readiness,
            time: environment.time,
            loop: loops.control
        ) {
            worker.setGrace(settings.preemptionGrace)
            kill(getpid(), SIGTERM)
        }
        let reporter = WorkerReporter(
            scheduler: client("scheduler", settings.schedulerURLs, deadline: .seconds(5)),
            time: environment.time,
            loop: loops.control
        ) {
            WorkerReport(
                worker: settings.workerName,
                pythons: pythons.map(\.reported),
                classes: await worker.occupancy,
                sandboxLevel: host.level,
                memoryBytes: Int64(resources.capacity.memoryBytes),
                capacity: resources.capacity.reported,
                used: resources.used.reported
            )
        }
        return [
            OperationalServer.make(settings.common, readiness: readiness, loops: loops.serving), storage, pool, announcements, watch, notice, wakeups,
            room, worker, reporter,
        ]
    }

    private static func announce(_ plan: CapacityPlan) {
        let slots = plan.slots.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key.rawValue) \($0.value)" }.joined(separator: ", ")
        Logger("resources").notice("room for jobs", ["capacity": .string("\(plan.capacity)"), "slots": .string(slots)])
        for note in plan.notes { Logger("resources").warning(note) }
    }

    private static func announce(_ host: SandboxHost, _ report: SandboxDetection.Report) {
        let logger = Logger("sandbox")
        for level in [SandboxLevel.full, .reduced] {
            Metrics.shared.gauge("auspex_sandbox_level", help: "1 for the level of isolation that runs have.", labels: ["level": level.rawValue])
                .set(level == host.level ? 1 : 0)
        }
        let found: [String: LogValue] = ["level": .string(host.level.rawValue), "found": .string(report.lines.joined(separator: "; "))]
        if host.level == .full {
            logger.notice("sandboxes work", found)
        } else {
            logger.warning("sandboxes are reduced: memory and processes are bounded for each process, not for a run", found)
        }
    }
}
