import Contracts

/// What a program may use that is started ahead of its run, until that begins.
struct WaitingLimits: Sendable, Hashable {
    /// From its start to the beginning of its run.
    var time: Duration
    /// Memory, in bytes; nil for that of the run.
    var memoryBytes: Int?
    /// Whether it gives way to all runs.
    var isGentle = false
    /// Processor time on top of the run's.
    var processorSeconds: Int64 = 60
}

/// What one run may use at most.
struct SandboxLimits: Sendable, Hashable {
    /// Memory of all its processes and temporary files together, in bytes.
    var memoryBytes: Int
    /// Processes and threads at once.
    var processes: Int
    /// Thousandths of a processor.
    var cpuThousandths: Int
    /// Time from start to end.
    var wallTime: Duration
    /// What `/tmp` holds, and the size of one file, in bytes.
    var temporaryBytes: Int
    /// Open descriptors of one process.
    var openFiles = 256
    /// What it may say on the result pipe, in bytes.
    var resultBytes = 1 << 20
    /// What is kept of its output, in bytes.
    var logBytes = FinishedJob.maximumLogBytes
    /// Output beyond which it is stopped, in bytes: reading it costs the executor time.
    var floodBytes = 8 << 20

    /// The limits of a class. The time comes with the job, from the scheduler; a class that this executor was given less time for keeps to that.
    static func of(_ class: ResourceClass, wallTime: Duration, classes: ResourceClasses = .standard) -> SandboxLimits {
        let limits = classes[`class`]
        return SandboxLimits(
            memoryBytes: limits.memoryBytes,
            processes: limits.processes,
            cpuThousandths: limits.cpuThousandths,
            wallTime: min(wallTime, .seconds(limits.seconds)),
            temporaryBytes: limits.temporaryBytes
        )
    }
}
