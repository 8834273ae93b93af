import Contracts
import FoundationEssentials
import Glibc
import ServiceRuntime

/// The least level of isolation at which the executor works.
enum LeastSandboxLevel: String, CaseIterable {
    case full, reduced

    var level: SandboxLevel { self == .full ? .full : .reduced }
}

/// The settings of the executor.
struct ExecutorSettings: ServiceSettings {
    let common: CommonSettings
    /// RabbitMQ, for hints.
    let brokerURL: String
    /// Where jobs come from.
    let schedulerURLs: [String]
    /// Where code comes from.
    let signalsURLs: [String]
    /// Where bars come from.
    let marketdataURLs: [String]
    /// How it names itself to the scheduler.
    let workerName: String
    /// What jobs get of the machine.
    let capacity: CapacitySettings
    /// The folder of environments, code and the runner.
    let root: String
    /// What environments may take on the disk, in bytes.
    let environmentCacheBytes: Int
    /// What code may take on the disk, in bytes.
    let codeCacheBytes: Int
    /// The installer of packages; nil when there is none.
    let uv: String?
    /// Where packages come from; what is not said is taken from the machine's pip settings.
    let packages: PackageIndex.Choice
    /// Folders with Pythons besides those of the system.
    let pythonFolders: [String]
    /// The folder that holds the SDK's `auspex` package; nil when it was not found.
    let sdkFolder: String?
    /// How long running jobs may take to end after SIGTERM before they are given back.
    let drainGrace: Duration
    /// The same after the notice that the machine is about to be taken away.
    let preemptionGrace: Duration
    /// The file whose appearance is that notice; nil when nobody gives one.
    let preemptionFile: String?
    /// How often the sandbox is tried again while the executor runs.
    let sandboxCheckInterval: Duration
    /// How sandboxes are made.
    let sandbox: SandboxConfiguration
    /// What sandboxes may cost that wait for their runs.
    let warm: WarmPool.Bounds

    init(from reader: inout SettingsReader) {
        common = CommonSettings(from: &reader)
        brokerURL = PeerSettings.broker(from: &reader)
        schedulerURLs = PeerSettings.service("scheduler", from: &reader)
        signalsURLs = PeerSettings.service("signals", from: &reader)
        marketdataURLs = PeerSettings.service("marketdata", from: &reader)
        workerName =
            reader.optionalString("AUSPEX_WORKER_NAME", help: "how it names itself to the scheduler; host and process by default")
            ?? "executor-\(Self.hostName)-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        var capacity = CapacitySettings(from: &reader)
        root = Self.absolute(
            reader.string("AUSPEX_EXECUTOR_ROOT", help: "folder of environments and code, kept between starts", default: "/var/tmp/auspex-executor")
        )
        environmentCacheBytes =
            reader.integer("AUSPEX_ENVIRONMENT_CACHE_MEGABYTES", help: "disk for Python environments", default: 10240, range: 100...1_000_000) << 20
        codeCacheBytes = reader.integer("AUSPEX_CODE_CACHE_MEGABYTES", help: "disk for signals' files", default: 2048, range: 100...1_000_000) << 20
        uv =
            reader.optionalString("AUSPEX_UV", help: "the program uv, which installs packages; the one on PATH by default")
            ?? Self.onPath("uv")
        packages = PackageIndex.Choice(
            url: reader.optionalString("AUSPEX_PACKAGE_INDEX", help: "URL of the package index; the one of the machine's pip settings by default"),
            fileHosts: (reader.optionalString(
                "AUSPEX_PACKAGE_FILE_HOSTS",
                help: "hosts of the index's files where it links to others, separated by blanks; builds reach these and the index, nothing else"
            ) ?? "").split(separator: " ").map(String.init)
        )
        pythonFolders = Self.pythonFolders(from: &reader)
        let program = Self.program
        sdkFolder =
            reader.optionalString("AUSPEX_SDK_PATH", help: "folder that holds the Python package auspex; found beside the program by default")
            ?? AuthorRuntime.locate(from: program)
        sandbox = Self.sandbox(from: &reader, program: program)
        warm = WarmPool.Bounds(
            memoryBytes: reader.integer(
                "AUSPEX_WARM_MEGABYTES",
                help: "memory for sandboxes that are started ahead of their runs; 0 for none; an eighth of the machine's by default",
                default: min(4096, Self.machineMegabytes / 8),
                range: 0...1_000_000
            ) << 20,
            count: reader.integer("AUSPEX_WARM_SANDBOXES", help: "sandboxes ahead of their runs at most", default: 100, range: 0...800)
        )
        capacity.warmBytes = warm.memoryBytes
        self.capacity = capacity
        drainGrace = reader.seconds("AUSPEX_DRAIN_SECONDS", help: "how long running jobs may take to end after SIGTERM", default: 3, range: 0...3600)
        preemptionFile = reader.optionalString(
            "AUSPEX_PREEMPTION_FILE",
            help: "a file that appears when this machine is about to be taken away, such as a spot agent writes"
        )
        preemptionGrace = reader.seconds(
            "AUSPEX_PREEMPTION_SECONDS",
            help: "how long running jobs may take to end after that notice",
            default: 15,
            range: 0...3600
        )
        sandboxCheckInterval = reader.seconds(
            "AUSPEX_SANDBOX_CHECK_SECONDS",
            help: "how often the sandbox is tried again",
            default: 60,
            range: 1...86_400
        )
        if capacity.slots.values.allSatisfy({ $0 == 0 }) { reader.report("all AUSPEX_SLOTS_… are 0: this executor would do nothing") }
        if let url = packages.url, IndexURL(url) == nil { reader.report("AUSPEX_PACKAGE_INDEX is no http:// or https:// address") }
        for host in packages.fileHosts where Endpoint(authority: host, defaultPort: 443) == nil {
            reader.report("AUSPEX_PACKAGE_FILE_HOSTS names '\(host)', which is no host")
        }
        if let uv, access(uv, X_OK) != 0 { reader.report("AUSPEX_UV names '\(uv)', which is no program") }
    }

    /// Room for the grace, and for giving back and delivering after it.
    var drainTimeout: Duration { max(drainGrace, preemptionFile == nil ? .zero : preemptionGrace) + .seconds(7) }

    /// Where Pythons besides the system's are; `doctor` needs it too.
    static func pythonFolders(from reader: inout SettingsReader) -> [String] {
        let text = reader.optionalString(
            "AUSPEX_PYTHON_FOLDERS",
            help: "bin folders of further Pythons, separated by ':'; the folder above each is shown to its runs, read-only"
        )
        let folders = (text ?? "").split(separator: ":").map { absolute(String($0)) }
        for folder in folders where access(folder, R_OK | X_OK) != 0 {
            reader.report("AUSPEX_PYTHON_FOLDERS names '\(folder)', which is no folder that can be read")
        }
        return folders
    }

    /// The part that `doctor` needs too, which runs without the other settings.
    static func sandbox(from reader: inout SettingsReader, program: String = program) -> SandboxConfiguration {
        let beside = program.prefix(upTo: program.lastIndex(of: "/") ?? program.startIndex) + "/sandbox-launch"
        return SandboxConfiguration(
            launcher: reader.optionalString("AUSPEX_SANDBOX_LAUNCHER", help: "the program sandbox-launch; the one beside this program by default")
                ?? String(beside),
            leastLevel: reader.choice(
                "AUSPEX_SANDBOX_LEVEL",
                help: "least isolation to work at: full counts memory and processes by cgroups, reduced by limits of each process",
                default: LeastSandboxLevel.reduced
            ).level,
            systemRoot: reader.string("AUSPEX_SANDBOX_ROOT", help: "root of the system that runs see at /usr", default: "/"),
            firstUserID: UInt32(
                reader.integer(
                    "AUSPEX_SANDBOX_USER",
                    help: "first user id of runs when the executor is root; the thousand ids from there are its own",
                    default: 200_001,
                    range: 1000...2_000_000_000
                )
            ),
            cgroupName: reader.string("AUSPEX_CGROUP_NAME", help: "name of the cgroup that holds a group for each run", default: "auspex")
        )
    }

    /// This program's path.
    static var program: String { (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? "/" }

    /// The memory of the machine, or of the container if that has less.
    private static var machineMegabytes: Int {
        let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"].compactMap { path -> Int? in
            FileManager.default.contents(atPath: path).flatMap { Int(String(decoding: $0.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)) }
        }
        return min(sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)), limits.min() ?? .max) >> 20
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, 255)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path
    }

    private static func onPath(_ name: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return folders.map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
