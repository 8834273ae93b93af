/// The place of a piece of work in a distributed trace, as in the W3C `traceparent` header (version 00).
public struct TraceContext: Sendable, Hashable {
    /// 32 lower-case hex digits, the same for all of a trace.
    public let traceID: String
    /// 16 lower-case hex digits, of this step.
    public let spanID: String
    /// Whether somebody records the trace.
    public let sampled: Bool

    private init(traceID: String, spanID: String, sampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        self.sampled = sampled
    }

    /// Reads a `traceparent`; nil when it is not one.
    public init?(traceparent: String) {
        let bytes = Array(traceparent.utf8)
        guard bytes.count >= 55, bytes[2] == 0x2D, bytes[35] == 0x2D, bytes[52] == 0x2D else { return nil }
        func hex(_ range: Range<Int>) -> String? {
            guard bytes[range].allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else { return nil }
            return String(decoding: bytes[range], as: UTF8.self)
        }
        guard let version = hex(0..<2), version != "ff", version != "00" || bytes.count == 55 else { return nil }
        guard let trace = hex(3..<35), let span = hex(36..<52), let flags = hex(53..<55) else { return nil }
        guard trace.contains(where: { $0 != "0" }), span.contains(where: { $0 != "0" }) else { return nil }
        self.init(traceID: trace, spanID: span, sampled: (UInt8(flags, radix: 16) ?? 0) & 1 == 1)
    }

    /// The start of a new trace.
    public static func make() -> TraceContext {
        TraceContext(traceID: hex(UInt64.random(in: 1...UInt64.max)) + hex(UInt64.random(in: 1...UInt64.max)), spanID: newSpanID(), sampled: true)
    }

    /// The next step of the same trace.
    public func child() -> TraceContext {
        TraceContext(traceID: traceID, spanID: Self.newSpanID(), sampled: sampled)
    }

    /// The header's value.
    public var traceparent: String { "00-\(traceID)-\(spanID)-\(sampled ? "01" : "00")" }

    private static func newSpanID() -> String { hex(UInt64.random(in: 1...UInt64.max)) }

    private static func hex(_ value: UInt64) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(unsafeUninitializedCapacity: 16) { buffer in
            for index in 0..<16 { buffer[index] = digits[Int((value >> UInt64(60 - index * 4)) & 15)] }
            return 16
        }
    }
}

/// What the log lines of one request, message or job have in common.
public struct RequestContextValue: Sendable {
    /// The id that the gateway made or the client gave.
    public let requestID: String
    /// The place in the trace.
    public let trace: TraceContext

    /// A context for a request.
    public init(requestID: String, trace: TraceContext) {
        self.requestID = requestID
        self.trace = trace
    }
}

/// Holds the context of the work that a task does.
public enum RequestContext {
    /// The context of the current task, if it serves a request, a message or a job.
    @TaskLocal public static var current: RequestContextValue?
}
