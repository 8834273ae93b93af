/// What a worker says of itself every ten seconds: the body of `POST /internal/v1/workers/report`.
///
/// Whoever adds a field makes it optional: a worker may be older or newer than the scheduler.
public struct WorkerReport: Sendable, Hashable, Codable {
    /// Its name, as in claims.
    public var worker: String
    /// The Pythons that work in its sandbox; empty for a worker without one.
    public var pythons: [WorkerPython]
    /// What it has room for.
    public var classes: [WorkerClass]
    /// The isolation that its runs have; nil for a worker without a sandbox.
    public var sandboxLevel: SandboxLevel?
    /// The memory that jobs may use together, in bytes.
    public var memoryBytes: Int64?
    /// What jobs may take of its machine together; nil for a worker that counts slots only.
    public var capacity: WorkerShare?
    /// What those that run may take at most.
    public var used: WorkerShare?

    /// All fields.
    public init(
        worker: String,
        pythons: [WorkerPython] = [],
        classes: [WorkerClass],
        sandboxLevel: SandboxLevel? = nil,
        memoryBytes: Int64? = nil,
        capacity: WorkerShare? = nil,
        used: WorkerShare? = nil
    ) {
        self.worker = worker
        self.pythons = pythons
        self.classes = classes
        self.sandboxLevel = sandboxLevel
        self.memoryBytes = memoryBytes
        self.capacity = capacity
        self.used = used
    }
}

extension WorkerReport {
    /// Whether it may be given a run of a version of this class: a dry one or one of a backfill, which waits in the class itself, or a scheduled one, which
    /// waits in `signal`.
    public func mayRunVersions(of resourceClass: ResourceClass) -> Bool {
        classes.contains { $0.slots > 0 && ($0.class == resourceClass || $0.class == .signal) }
    }
}

/// A part of a worker's machine.
public struct WorkerShare: Sendable, Hashable, Codable {
    /// Thousandths of processors.
    public var cpuThousandths: Int
    /// Memory, in bytes.
    public var memoryBytes: Int64
    /// Graphics processors.
    public var gpus: Int

    /// All fields.
    public init(cpuThousandths: Int, memoryBytes: Int64, gpus: Int) {
        self.cpuThousandths = cpuThousandths
        self.memoryBytes = memoryBytes
        self.gpus = gpus
    }
}

/// A Python that a worker's runs can have.
public struct WorkerPython: Sendable, Hashable, Codable {
    /// `cpython` or `pypy`.
    public var implementation: String
    /// What a manifest asks for: `3.11`, `pypy3.9`.
    public var series: String
    /// Which one exactly it is: `3.11.2`, `pypy3.9.16`; a manifest may ask for that as well.
    public var version: String

    /// All fields.
    public init(implementation: String, series: String, version: String) {
        self.implementation = implementation
        self.series = series
        self.version = version
    }

    /// Whether a manifest that asks for `wanted` gets this one: its series or its whole version, character by character.
    public func answers(to wanted: String) -> Bool { series == wanted || version == wanted }

    /// Whether a text can name a Python: `3.11`, `3.11.2`, `pypy3.9`, `pypy3.9.16`; 3.9 and later.
    public static func isName(_ text: String) -> Bool {
        let numbers = (text.hasPrefix("pypy") ? text.dropFirst(4) : text[...]).split(separator: ".", omittingEmptySubsequences: false)
        guard (2...3).contains(numbers.count), numbers[0] == "3" else { return false }
        for number in numbers.dropFirst() {
            let isNumber = (1...3).contains(number.utf8.count) && number.allSatisfy { $0.isASCII && $0.isNumber }
            guard isNumber, number == "0" || number.first != "0" else { return false }
        }
        return (Int(numbers[1]) ?? 0) >= leastMinor
    }

    /// The SDK is written for 3.9 and later.
    public static let leastMinor = 9
}

/// How much of a class a worker does at once.
public struct WorkerClass: Sendable, Hashable, Codable {
    /// The class.
    public var `class`: ResourceClass
    /// Jobs at once.
    public var slots: Int
    /// Jobs that run now.
    public var busy: Int

    /// All fields.
    public init(class: ResourceClass, slots: Int, busy: Int) {
        self.class = `class`
        self.slots = slots
        self.busy = busy
    }
}

/// Answers `GET /internal/v1/workers`.
public struct WorkersAnswer: Sendable, Hashable, Codable {
    /// Those who reported within the last 60 s, by name.
    public var workers: [KnownWorker]

    /// The workers.
    public init(workers: [KnownWorker]) {
        self.workers = workers
    }
}

/// A worker that reported lately.
public struct KnownWorker: Sendable, Hashable, Codable {
    /// Its report.
    public var report: WorkerReport
    /// When it came.
    public var reportedAt: Timestamp

    /// Both fields.
    public init(report: WorkerReport, reportedAt: Timestamp) {
        self.report = report
        self.reportedAt = reportedAt
    }
}
