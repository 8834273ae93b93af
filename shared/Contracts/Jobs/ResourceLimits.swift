/// What one job of a class may use at most: the size of a slot.
public struct ResourceLimits: Sendable, Hashable {
    /// Thousandths of a processor.
    public var cpuThousandths: Int
    /// Memory of all its processes and temporary files together, in bytes.
    public var memoryBytes: Int
    /// What `/tmp` holds, and the size of one file, in bytes.
    public var temporaryBytes: Int
    /// Processes and threads at once.
    public var processes: Int
    /// How long its code may run, in seconds.
    public var seconds: Int
    /// Graphics processors that it has for itself.
    public var gpus: Int

    /// All fields.
    public init(cpuThousandths: Int, memoryBytes: Int, temporaryBytes: Int, processes: Int, seconds: Int, gpus: Int = 0) {
        self.cpuThousandths = cpuThousandths
        self.memoryBytes = memoryBytes
        self.temporaryBytes = temporaryBytes
        self.processes = processes
        self.seconds = seconds
        self.gpus = gpus
    }

    /// Changes what a setting such as `cpu=1,memory=512M,tmp=64M,processes=64,seconds=60` names, and keeps the rest; throws what is wrong with it.
    public func changed(by text: String) throws(ResourceLimitsProblem) -> ResourceLimits {
        var changed = self
        var seen: Set<Substring> = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let words = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map { Self.trimmed($0) }
            guard words.count == 2 else { throw ResourceLimitsProblem(reason: "'\(part.prefix(utf8Bytes: 40))' is not NAME=VALUE") }
            let (name, value) = (words[0], words[1])
            guard seen.insert(name).inserted else { throw ResourceLimitsProblem(reason: "'\(name.prefix(utf8Bytes: 40))' stands there twice") }
            switch name {
            case "cpu": changed.cpuThousandths = try Self.thousandths(value)
            case "memory": changed.memoryBytes = try Self.bytes(value, name, 64 << 20...4 << 40)
            case "tmp": changed.temporaryBytes = try Self.bytes(value, name, 1 << 20...1 << 40)
            case "processes": changed.processes = try Self.number(value, name, 4...32768)
            case "seconds": changed.seconds = try Self.number(value, name, 1...86_400)
            case "gpu": changed.gpus = try Self.number(value, name, 0...16)
            default:
                throw ResourceLimitsProblem(reason: "'\(name.prefix(utf8Bytes: 40))' is none of cpu, memory, tmp, processes, seconds, gpu")
            }
        }
        guard changed.temporaryBytes <= changed.memoryBytes else {
            throw ResourceLimitsProblem(reason: "tmp is larger than memory, which pays for it")
        }
        return changed
    }

    private static func trimmed(_ text: Substring) -> Substring {
        let start = text.drop { $0 == " " }
        return start.prefix(start.lastIndex { $0 != " " }.map { start.distance(from: start.startIndex, to: $0) + 1 } ?? 0)
    }

    private static func thousandths(_ text: Substring) throws(ResourceLimitsProblem) -> Int {
        guard let value = Double(text), (0.1...256).contains(value) else {
            throw ResourceLimitsProblem(reason: "cpu is '\(text.prefix(utf8Bytes: 40))', but must be processors from 0.1 to 256")
        }
        return Int((value * 1000).rounded())
    }

    private static func number(_ text: Substring, _ name: Substring, _ range: ClosedRange<Int>) throws(ResourceLimitsProblem) -> Int {
        guard let value = Int(text), range.contains(value) else {
            throw ResourceLimitsProblem(
                reason: "\(name) is '\(text.prefix(utf8Bytes: 40))', but must be a whole number from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return value
    }

    private static func bytes(_ text: Substring, _ name: Substring, _ range: ClosedRange<Int>) throws(ResourceLimitsProblem) -> Int {
        let units: [Character: Int] = ["K": 10, "M": 20, "G": 30]
        guard let unit = text.last, let shift = units[unit], let value = Int(text.dropLast()), value > 0, value <= 1 << 30,
            range.contains(value << shift)
        else {
            throw ResourceLimitsProblem(
                reason:
                    "\(name) is '\(text.prefix(utf8Bytes: 40))', but must be like 512M or 4G, from \(range.lowerBound >> 20)M to \(range.upperBound >> 30)G"
            )
        }
        return value << shift
    }
}

/// What is wrong with the setting of a class.
public struct ResourceLimitsProblem: Error, Sendable, Hashable, CustomStringConvertible {
    /// In words for an operator.
    public let reason: String

    /// The reason.
    public var description: String { reason }
}

/// The sizes of all classes: one source for the scheduler (how long) and the executor (how much).
public struct ResourceClasses: Sendable, Hashable {
    private var limits: [ResourceClass: ResourceLimits]

    /// The sizes that hold unless an operator says otherwise.
    public static let standard: ResourceClasses = {
        let mebibyte = 1 << 20
        let small = ResourceLimits(cpuThousandths: 1000, memoryBytes: 512 * mebibyte, temporaryBytes: 64 * mebibyte, processes: 64, seconds: 60)
        let standard = ResourceLimits(
            cpuThousandths: 1000,
            memoryBytes: 4096 * mebibyte,
            temporaryBytes: 512 * mebibyte,
            processes: 128,
            seconds: 600
        )
        let large = ResourceLimits(
            cpuThousandths: 4000,
            memoryBytes: 16384 * mebibyte,
            temporaryBytes: 2048 * mebibyte,
            processes: 512,
            seconds: 3600
        )
        var gpu = large
        gpu.gpus = 1
        return ResourceClasses(limits: [.small: small, .standard: standard, .large: large, .gpu: gpu])
    }()

    /// The classes that an operator may set.
    public static let adjustable: [ResourceClass] = [.small, .standard, .large, .gpu]

    /// The size of a class; what runs beside the executor's classes is small.
    public subscript(_ class: ResourceClass) -> ResourceLimits {
        get {
            limits[`class`] ?? limits[.small]
                ?? ResourceLimits(cpuThousandths: 1000, memoryBytes: 512 << 20, temporaryBytes: 64 << 20, processes: 64, seconds: 60)
        }
        set { limits[`class`] = newValue }
    }
}
