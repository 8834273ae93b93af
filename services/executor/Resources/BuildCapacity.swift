import Contracts

/// What builds of environments may take of the machine, set aside from what jobs get: builds belong to no job, and memory is never promised twice.
struct BuildCapacity: Sendable, Hashable {
    /// How many may run at once.
    var atOnce = 1
    /// The memory of each, in bytes.
    var memoryBytes = 4 << 30
    /// Thousandths of a processor of each. Processors are not set aside: builds share them with runs by quota and by nice value.
    var cpuThousandths = 4000

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

    /// The limits of one step.
    func limits(_ wallTime: Duration) -> SandboxLimits {
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
