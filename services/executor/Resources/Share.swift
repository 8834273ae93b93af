import Contracts

/// A part of the machine: what jobs take and what is left.
struct Share: Sendable, Hashable, CustomStringConvertible {
    /// Thousandths of a processor.
    var cpuThousandths = 0
    /// Memory, in bytes.
    var memoryBytes = 0
    /// Graphics processors.
    var gpus = 0

    /// What a job of such limits takes.
    init(_ limits: ResourceLimits) {
        cpuThousandths = limits.cpuThousandths
        memoryBytes = limits.memoryBytes
        gpus = limits.gpus
    }

    init(cpuThousandths: Int = 0, memoryBytes: Int = 0, gpus: Int = 0) {
        self.cpuThousandths = cpuThousandths
        self.memoryBytes = memoryBytes
        self.gpus = gpus
    }

    /// As the scheduler is told.
    var reported: WorkerShare { WorkerShare(cpuThousandths: cpuThousandths, memoryBytes: Int64(memoryBytes), gpus: gpus) }

    /// In words for an operator.
    var description: String {
        let cpu = cpuThousandths % 1000 == 0 ? "\(cpuThousandths / 1000)" : "\(Double(cpuThousandths) / 1000)"
        return "\(cpu) CPU, \(memoryBytes >> 20) MiB" + (gpus > 0 ? ", \(gpus) GPU" : "")
    }

    /// Whether it lies within another in every part.
    func fits(in other: Share) -> Bool {
        cpuThousandths <= other.cpuThousandths && memoryBytes <= other.memoryBytes && gpus <= other.gpus
    }

    /// How often it fits into another, at most `limit` times.
    func count(in other: Share, limit: Int) -> Int {
        var count = limit
        if cpuThousandths > 0 { count = min(count, other.cpuThousandths / cpuThousandths) }
        if memoryBytes > 0 { count = min(count, other.memoryBytes / memoryBytes) }
        if gpus > 0 { count = min(count, other.gpus / gpus) }
        return max(0, count)
    }

    static func + (left: Share, right: Share) -> Share {
        Share(
            cpuThousandths: left.cpuThousandths + right.cpuThousandths,
            memoryBytes: left.memoryBytes + right.memoryBytes,
            gpus: left.gpus + right.gpus
        )
    }

    static func - (left: Share, right: Share) -> Share {
        Share(
            cpuThousandths: left.cpuThousandths - right.cpuThousandths,
            memoryBytes: left.memoryBytes - right.memoryBytes,
            gpus: left.gpus - right.gpus
        )
    }

    static func * (share: Share, count: Int) -> Share {
        Share(cpuThousandths: share.cpuThousandths * count, memoryBytes: share.memoryBytes * count, gpus: share.gpus * count)
    }

    /// What is left of this beyond another, nothing below zero.
    func beyond(_ other: Share) -> Share {
        Share(
            cpuThousandths: max(0, cpuThousandths - other.cpuThousandths),
            memoryBytes: max(0, memoryBytes - other.memoryBytes),
            gpus: max(0, gpus - other.gpus)
        )
    }
}
