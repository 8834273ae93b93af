import Contracts
import FoundationEssentials
import ServiceRuntime

/// `executor doctor [--json]`: what this machine allows, found by trying it, without any other service. Exit code 0 when the executor would work.
enum DoctorCommand {
    static let subcommand = Subcommand<ExecutorSettings>(
        name: "doctor",
        help: "say how strong a sandbox this machine allows, what is missing, and what there is room for; --json for programs"
    ) { arguments, _ in
        guard arguments.isEmpty || arguments == ["--json"] else {
            print("usage: executor doctor [--json]")
            return 64
        }
        var reader = SettingsReader(environment: ProcessInfo.processInfo.environment)
        let configuration = ExecutorSettings.sandbox(from: &reader)
        let capacity = CapacitySettings(from: &reader)
        let folders = ExecutorSettings.pythonFolders(from: &reader)
        try reader.finish()
        let loops = try LoopGroup.start(count: 1)
        let cpu = try CPUPool()
        let report = await SandboxDetection(configuration: configuration, loops: loops.serving, cpu: cpu).examine()
        let gpus = capacity.gpuDevices?.count ?? GPUDevice.detect().count
        let machine = MachineCapacity.detect(processors: MachineCapacity.processors)
        let plan = Result { () throws(SandboxError) in try CapacityPlan(settings: capacity, machine: machine, gpus: gpus) }
        var pythons: [PythonInterpreter] = []
        if let host = report.host {
            pythons = try await PythonInterpreter.discover(
                in: Sandbox(host: host, loops: loops.serving, cpu: cpu),
                folders: folders
            )
        }
        let finding = DoctorFinding(report: report, pythons: pythons, plan: plan, demanded: configuration.leastLevel)
        print(arguments.isEmpty ? finding.text : String(decoding: WireJSON.encode(finding.json), as: UTF8.self))
        return finding.works ? 0 : 1
    }
}

/// What `doctor` found, for people and for programs.
struct DoctorFinding: Sendable {
    let report: SandboxDetection.Report
    let pythons: [PythonInterpreter]
    let plan: Result<CapacityPlan, SandboxError>
    let demanded: SandboxLevel

    /// Whether the executor would work here.
    var works: Bool {
        guard let host = report.host, !pythons.isEmpty, case .success = plan else { return false }
        return demanded == .reduced || host.level == .full
    }

    private var verdict: String {
        guard let host = report.host else { return "level: none, the executor will not work here" }
        if demanded == .full, host.level == .reduced {
            return "level: reduced, but AUSPEX_SANDBOX_LEVEL demands full: the executor will not work here"
        }
        if pythons.isEmpty { return "level: \(host.level.rawValue), but no Python works in the sandbox: the executor will not work here" }
        if case .failure = plan { return "level: \(host.level.rawValue), but there is no room for a single run: the executor will not work here" }
        return "level: \(host.level.rawValue)"
    }

    /// A table: state, name, finding; below what is missing, what to do.
    var text: String {
        let width = (report.probes.map(\.name.count).max() ?? 0) + 2
        func row(_ state: String, _ name: String, _ detail: String) -> String {
            state + String(repeating: " ", count: max(1, 9 - state.count)) + name + String(repeating: " ", count: max(1, width - name.count)) + detail
        }
        var lines: [String] = []
        for probe in report.probes {
            lines.append(row(probe.state == .info ? "·" : probe.state.rawValue, probe.name, probe.detail))
            if let remedy = probe.remedy { lines.append(row("", "", "→ " + remedy)) }
        }
        for python in pythons { lines.append(row("ok", "python \(python.version)", python.path)) }
        switch plan {
        case .success(let plan):
            lines.append(row("ok", "room for jobs", "\(plan.capacity)"))
            for (name, count) in plan.slots.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
                lines.append(row("", "", "class \(name.rawValue): \(count) at once, each \(Share(plan.classes[name]))"))
            }
            for note in plan.notes { lines.append(row("·", "", note)) }
        case .failure(let error): lines.append(row("missing", "room for jobs", "\(error)"))
        }
        return (lines + [verdict]).joined(separator: "\n")
    }

    /// The same for programs.
    var json: JSONValue {
        var members: [String: JSONValue] = [
            "works": .bool(works), "level": report.host.map { .string($0.level.rawValue) } ?? .null, "demanded": .string(demanded.rawValue),
            "verdict": .string(verdict), "probes": .array(report.probes.map(\.json)),
            "pythons": .array(pythons.map { .object(["version": .string($0.version), "path": .string($0.path)]) }),
        ]
        switch plan {
        case .success(let plan):
            members["capacity"] = Self.json(plan.capacity)
            members["classes"] = .object(
                Dictionary(
                    uniqueKeysWithValues: plan.slots.map { name, count in
                        (name.rawValue, .object(["slots": .integer(Int64(count)), "size": Self.json(Share(plan.classes[name]))]))
                    }
                )
            )
            members["notes"] = .array(plan.notes.map { .string($0) })
        case .failure(let error): members["notes"] = [.string("\(error)")]
        }
        return .object(members)
    }

    private static func json(_ share: Share) -> JSONValue {
        .object([
            "cpu_thousandths": .integer(Int64(share.cpuThousandths)), "memory_bytes": .integer(Int64(share.memoryBytes)),
            "gpus": .integer(Int64(share.gpus)),
        ])
    }
}
