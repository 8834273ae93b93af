/// How one run in a sandbox ended, as the kernel and the pipes tell it.
struct SandboxOutcome: Sendable {
    /// Who ended the run, when it was not the program itself.
    enum Killer: Sendable, Hashable {
        /// The launcher, at the wall clock limit.
        case deadline
        /// The executor, because somebody asked for it.
        case order
        /// The executor, because of too much output.
        case logFlood
        /// The executor, because of too large a result.
        case resultFlood
        /// A signal to the launcher, or the end of the executor.
        case outside
    }

    /// The exit code; a program that a signal ended has 128 and more.
    var exitCode: Int
    /// Who ended it, if not itself.
    var killer: Killer?
    /// Whether the kernel killed any of its processes for memory.
    var outOfMemory: Bool
    /// Whether it wanted more processes than it may have.
    var hitProcessLimit: Bool
    /// From the launcher's start to the end.
    var wallTime: Duration
    /// Processor time of all its processes, in seconds.
    var cpuSeconds: Double
    /// The most memory that it held at once, in bytes.
    var memoryPeakBytes: Int64
    /// Whether its run had begun, with the limits of its class; false for what ended while it waited.
    var hasBegun = true
    /// What it wrote to the result pipe.
    var result: [UInt8]
    /// What it printed, with a marker where something was left out.
    var log: CapturedLog
}

/// The line that `sandbox-launch` writes at the end.
struct LauncherStatus: Sendable {
    private let values: [Substring: Substring]

    /// Reads `KEY=VALUE` words; throws what the launcher said when it could not begin.
    init(_ text: String) throws(SandboxError) {
        let line = text.prefix { $0 != "\n" }
        if line.hasPrefix("error=") { throw .launcher(String(line.dropFirst(6))) }
        var values: [Substring: Substring] = [:]
        for word in line.split(separator: " ") {
            guard let equals = word.firstIndex(of: "=") else { throw .garbled(String(line)) }
            values[word[..<equals]] = word[word.index(after: equals)...]
        }
        self.values = values
        guard values["exit"] != nil, values["memory_peak_bytes"] != nil else { throw .garbled(line.isEmpty ? "it is empty" : String(line)) }
    }

    /// Why the launcher killed the run, in its words; nil when it did not.
    var killed: Substring? { values["killed"].flatMap { $0 == "no" ? nil : $0 } }

    /// A counter; 0 when it is not there.
    func count(_ name: Substring) -> Int { values[name].flatMap { Int($0) } ?? 0 }
}
