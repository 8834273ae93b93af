import Contracts

/// What builds of environments may take of the machine, set aside from what jobs get: builds belong to no job, and memory is never promised twice.
struct BuildCapacity: Sendable, Hashable {
    /// How many may run at once.
    var atOnce = 1
    /// The memory of each, in bytes.
    var memoryBytes = 4 << 30
    /// Thousandths of a processor that each has at most: those that are set aside, and as many more as nobody needs when a step of it begins.
    var cpuThousandths = 4000
    /// Thousandths of a processor that are set aside for each: with every slot taken a build still goes on.
    var leastCPUThousandths = 500

    private static let mostAtOnce = 4
    /// What the largest packages are installed and compiled in.
    private static let mostMemoryBytes = 4 << 30
    private static let usualMemoryBytes = 1 << 30

    init(atOnce: Int = 1) {
        self.atOnce = atOnce
    }

    /// Shares out what is set aside: as many as have a usual build's memory, all together on half of the processors.
    init(setAsideBytes: Int, processorThousandths: Int) {
        let half = max(1, processorThousandths / 2000)
        atOnce = max(1, min(Self.mostAtOnce, half, setAsideBytes / Self.usualMemoryBytes))
        memoryBytes = min(Self.mostMemoryBytes, setAsideBytes / atOnce)
        cpuThousandths = 1000 * max(1, min(4, half / atOnce))
    }

    /// What is set aside of processors for all builds at once.
    var setAsideThousandths: Int { atOnce * leastCPUThousandths }

    /// The limits of one step that has so many thousandths of a processor.
    func limits(_ wallTime: Duration, cpuThousandths: Int) -> SandboxLimits {
        var limits = SandboxLimits.of(.standard, wallTime: wallTime)
        limits.memoryBytes = memoryBytes
        limits.processes = 256
        limits.temporaryBytes = min(2 << 30, memoryBytes / 2)
        limits.openFiles = 4096
        // Byte code is compiled by several processes at once, and who waits for an environment waits for that more than for anything else.
        limits.cpuThousandths = cpuThousandths
        return limits
    }
}
