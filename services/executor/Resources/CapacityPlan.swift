import Contracts
import ServiceRuntime

/// What an operator may set about resources; what is nil is found out on the machine.
struct CapacitySettings: Sendable {
    /// The sizes of the classes.
    var classes = ResourceClasses.standard
    /// The most jobs of each class at once; nil for as many as fit.
    var slots: [ResourceClass: Int?] = [:]
    /// Thousandths of processors for jobs.
    var cpuThousandths: Int?
    /// Memory of the machine that jobs and services share, in bytes.
    var memoryBytes: Int?
    /// Memory that is left to the services and the system, in bytes.
    var reservedBytes: Int?
    /// Memory of sandboxes ahead of their runs, in bytes.
    var warmBytes = 0
    /// Memory of builds of environments together, in bytes; nil for an eighth of the machine's.
    var buildBytes: Int? = 0
    /// The device files of graphics processors; nil to look for them.
    var gpuDevices: [String]?

    init() {}

    init(from reader: inout SettingsReader) {
        classes = reader.resourceClasses()
        for name in [ResourceClass.signal, .small, .standard, .large, .gpu] {
            let key = "AUSPEX_SLOTS_\(name.rawValue.uppercased())"
            let help = "the most jobs of class \(name.rawValue) at once; -1: as many as fit" + (name == .signal ? ", up to half the processors" : "")
            let count = reader.integer(key, help: help, default: -1, range: -1...1000)
            slots[name] = .some(count < 0 ? nil : count)
        }
        let cpu = reader.integer(
            "AUSPEX_CAPACITY_CPU",
            help: "processors for jobs; 0: those that the machine or its container offers, but at least 4",
            default: 0,
            range: 0...4096
        )
        if cpu > 0 { cpuThousandths = cpu * 1000 }
        let memory = reader.integer(
            "AUSPEX_CAPACITY_MEGABYTES",
            help: "memory for jobs and the reserve together; 0: what the machine or its container offers",
            default: 0,
            range: 0...100_000_000
        )
        if memory > 0 { memoryBytes = memory << 20 }
        let reserve = reader.integer(
            "AUSPEX_RESERVE_MEGABYTES",
            help: "memory that jobs never get; -1: an eighth, 256 at least and 4096 at most",
            default: -1,
            range: -1...100_000_000
        )
        if reserve >= 0 { reservedBytes = reserve << 20 }
        let builds = reader.integer(
            "AUSPEX_BUILD_MEGABYTES",
            help: "memory for builds of environments together, which jobs never get; -1: an eighth, 512 at least and 8192 at most",
            default: -1,
            range: -1...1_000_000
        )
        buildBytes = builds >= 0 ? max(256, builds) << 20 : nil
        if let list = reader.optionalString(
            "AUSPEX_GPU_DEVICES",
            help: "device files of graphics processors, one job each, such as /dev/nvidia0,/dev/nvidia1; 'none' for none; looked for by default"
        ) {
            gpuDevices = list == "none" ? [] : list.split(separator: ",").map { String($0.drop { $0 == " " }) }
            for path in gpuDevices ?? [] where !GPUDevice.canBeShown(path) {
                reader.report("AUSPEX_GPU_DEVICES names '\(path)', which is no device file below /dev")
            }
        }
    }
}

/// How this machine is shared out: what there is, what a job of each class gets, how many there are at once, and what an operator should know of it.
struct CapacityPlan: Sendable {
    /// What there is for jobs.
    private(set) var capacity: Share
    /// The sizes of the classes here.
    private(set) var classes: ResourceClasses
    /// The most jobs of each class at once.
    private(set) var slots: [ResourceClass: Int] = [:]
    /// What builds of environments get, beside all of these.
    let builds: BuildCapacity
    /// One line each: classes that have no slots, or smaller ones, and why.
    private(set) var notes: [String] = []

    /// What a job of each class takes.
    var sizes: [ResourceClass: Share] {
        Dictionary(uniqueKeysWithValues: [ResourceClass.signal, .small, .standard, .large, .gpu].map { ($0, Share(classes[$0])) })
    }

    /// Below four processors a run would wait for every other: they share by their quotas and by the nice value of runs, which costs time and nothing
    /// else. Memory cannot be shared that way, so it is counted as it is.
    private static let leastProcessors = 4

    /// Shares out the machine; throws when not one scheduled run fits.
    init(settings: CapacitySettings, machine: MachineCapacity, gpus: Int) throws(SandboxError) {
        let memory = settings.memoryBytes ?? machine.memoryBytes
        let reserve = settings.reservedBytes ?? min(4096 << 20, max(256 << 20, memory / 8))
        let cpu = settings.cpuThousandths ?? max(Self.leastProcessors * 1000, machine.cpuThousandths)
        let buildBytes = settings.buildBytes ?? min(8192 << 20, max(512 << 20, memory / 8))
        capacity = Share(cpuThousandths: cpu, memoryBytes: max(0, memory - reserve - settings.warmBytes - buildBytes), gpus: gpus)
        builds = BuildCapacity(setAsideBytes: buildBytes, processorThousandths: machine.cpuThousandths)
        classes = settings.classes

        let signal = Share(classes[.signal])
        let wantedSignals = (settings.slots[.signal] ?? nil) ?? max(2, machine.cpuThousandths / 2000)
        let fitting = signal.count(in: capacity, limit: wantedSignals)
        guard fitting > 0 || wantedSignals == 0 else {
            throw .refused("this executor has \(capacity) for jobs (\(reserve >> 20) MiB are reserved), but one scheduled run takes \(signal)")
        }
        if fitting < wantedSignals { notes.append("class signal: \(fitting) slots instead of \(wantedSignals), more do not fit") }
        slots[.signal] = fitting
        let shared = capacity - signal * fitting

        // A version that says nothing of its class is `standard`: on a machine that is too small for it, it gets what there is.
        cutStandard(to: shared)
        for name in [ResourceClass.small, .standard, .large, .gpu] {
            let wanted = settings.slots[name] ?? nil
            let most = Share(classes[name]).count(in: shared, limit: wanted ?? 1000)
            slots[name] = most
            if most == 0, wanted != 0 {
                let lacks = classes[name].gpus > gpus ? "there is no GPU" : "it takes \(Share(classes[name])), and \(shared) are shared"
                notes.append("class \(name.rawValue): no slots, \(lacks)")
            } else if let wanted, most < wanted {
                notes.append("class \(name.rawValue): \(most) slots instead of \(wanted), more do not fit")
            }
        }
        slots = slots.filter { $0.value > 0 }
    }

    private mutating func cutStandard(to shared: Share) {
        var limits = classes[.standard]
        guard !Share(limits).fits(in: shared), shared.memoryBytes >= 256 << 20, shared.cpuThousandths >= 500 else { return }
        limits.memoryBytes = min(limits.memoryBytes, shared.memoryBytes / (1 << 20) * (1 << 20))
        limits.temporaryBytes = min(limits.temporaryBytes, limits.memoryBytes / 2)
        limits.cpuThousandths = min(limits.cpuThousandths, shared.cpuThousandths)
        classes[.standard] = limits
        notes.append("class standard: cut to \(Share(limits)), more is not there")
    }
}
