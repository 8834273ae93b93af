import Contracts
import FoundationEssentials
import ServiceRuntime

/// `executor doctor`: what this machine allows, found by trying it, without any other service.
enum DoctorCommand {
    static let subcommand = Subcommand<ExecutorSettings>(
        name: "doctor",
        help: "say how strong a sandbox this machine allows, and which Pythons it has"
    ) { _, _ in
        var reader = SettingsReader(environment: ProcessInfo.processInfo.environment)
        let configuration = ExecutorSettings.sandbox(from: &reader)
        let folders = ExecutorSettings.pythonFolders(from: &reader)
        try reader.finish()
        let loops = try LoopGroup.start(count: 1)
        let cpu = try CPUPool()
        let report = await SandboxDetection(configuration: configuration, loops: loops.serving, cpu: cpu).examine()
        for line in report.lines { print(line) }
        guard let host = report.host else {
            print("level: none, the executor will not work here")
            return 1
        }
        for python in try await PythonInterpreter.discover(in: Sandbox(host: host, loops: loops.serving, cpu: cpu), folders: folders) {
            print("python: \(python.version) at \(python.path)")
        }
        print("level: \(host.level.rawValue)")
        if host.level == .reduced, configuration.leastLevel == .full {
            print("AUSPEX_SANDBOX_LEVEL demands full: the executor will not work here")
            return 1
        }
        return 0
    }
}
