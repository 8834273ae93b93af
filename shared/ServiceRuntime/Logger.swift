internal import Glibc
internal import Synchronization
internal import Contracts

/// A value in a log line.
public enum LogValue: Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByStringInterpolation {
    /// Text; what could be a secret does not belong here.
    case string(String)
    /// A whole number.
    case integer(Int)
    /// A number with a fraction.
    case number(Double)
    /// Yes or no.
    case boolean(Bool)

    /// Text written in the source.
    public init(stringLiteral value: String) { self = .string(value) }
    /// A number written in the source.
    public init(integerLiteral value: Int) { self = .integer(value) }
}

/// How much a log line matters.
public enum LogLevel: String, Sendable, Comparable, CaseIterable {
    /// For those who look for a fault.
    case debug
    /// What the service does.
    case info
    /// What an operator would like to know.
    case notice
    /// What heals by itself, but should not happen often.
    case warning
    /// What somebody has to look at.
    case error

    /// By weight.
    public static func < (left: LogLevel, right: LogLevel) -> Bool { left.weight < right.weight }

    private var weight: Int { LogLevel.allCases.firstIndex(of: self) ?? 0 }
}

/// Writes one JSON object a line to the standard output; to the standard error for commands whose standard output is an answer.
public struct Logger: Sendable {
    /// What the lines of this process share; set once at start.
    public struct Configuration: Sendable {
        /// The service's name, in every line.
        public var service = "-"
        /// Lines below this level are not written.
        public var level = LogLevel.info
        /// Where lines go; the standard output unless a command answers there or a test listens.
        public var sink: @Sendable (String) -> Void = Logger.standardOutput
    }

    /// Where a service's lines go.
    public static let standardOutput: @Sendable (String) -> Void = { write($0, to: 1) }
    /// Where those of a command go: what it prints is for a person or a program to read.
    public static let standardError: @Sendable (String) -> Void = { write($0, to: 2) }

    private static func write(_ line: String, to descriptor: Int32) {
        var line = line
        line.withUTF8 { buffer in
            var rest = UnsafeRawBufferPointer(buffer)
            while let base = rest.baseAddress, !rest.isEmpty {
                let written = Glibc.write(descriptor, base, rest.count)
                if written < 0 && errno == EINTR { continue }
                guard written > 0 else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
        }
    }

    private static let configuration = Mutex(Configuration())
    private let label: String

    /// A logger whose lines carry `label` as their `logger`.
    public init(_ label: String) {
        self.label = label
    }

    /// Sets what all loggers of the process share.
    public static func configure(_ change: (inout Configuration) -> Void) {
        configuration.withLock { change(&$0) }
    }

    /// For those who look for a fault.
    public func debug(_ message: String, _ metadata: [String: LogValue] = [:]) { log(.debug, message, metadata) }
    /// What the service does.
    public func info(_ message: String, _ metadata: [String: LogValue] = [:]) { log(.info, message, metadata) }
    /// What an operator would like to know.
    public func notice(_ message: String, _ metadata: [String: LogValue] = [:]) { log(.notice, message, metadata) }
    /// What heals by itself.
    public func warning(_ message: String, _ metadata: [String: LogValue] = [:]) { log(.warning, message, metadata) }
    /// What somebody has to look at.
    public func error(_ message: String, _ metadata: [String: LogValue] = [:]) { log(.error, message, metadata) }

    /// Whether a line of this level would be written: to spare the work of making it.
    public static func writes(_ level: LogLevel) -> Bool { configuration.withLock { level >= $0.level } }

    private func log(_ level: LogLevel, _ message: String, _ metadata: [String: LogValue]) {
        let configuration = Self.configuration.withLock { $0 }
        guard level >= configuration.level else { return }
        var line = "{\"time\":\"\(Timestamp.now().iso8601)\",\"level\":\"\(level.rawValue)\",\"service\":"
        Self.append(configuration.service, to: &line)
        line += ",\"logger\":"
        Self.append(label, to: &line)
        line += ",\"message\":"
        Self.append(message, to: &line)
        if let context = RequestContext.current {
            line += ",\"request_id\":"
            Self.append(context.requestID, to: &line)
            line += ",\"trace_id\":\"\(context.trace.traceID)\""
        }
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += ","
            Self.append(key, to: &line)
            line += ":"
            switch value {
            case .string(let text): Self.append(text, to: &line)
            case .integer(let number): line += String(number)
            case .number(let number): line += number.isFinite ? "\(number)" : "null"
            case .boolean(let flag): line += flag ? "true" : "false"
            }
        }
        line += "}\n"
        configuration.sink(line)
    }

    private static func append(_ text: String, to line: inout String) {
        line += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            // Control characters could forge a line or steer a terminal: they are written out.
            case _ where scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029:
                let hex = String(scalar.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: line.unicodeScalars.append(scalar)
            }
        }
        line += "\""
    }
}
