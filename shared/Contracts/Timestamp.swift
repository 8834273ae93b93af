import Glibc

/// A moment in microseconds since 1970-01-01T00:00:00Z, without leap seconds: the one time type on the wire and in the stores.
public struct Timestamp: Sendable, Hashable, Comparable {
    /// Microseconds since 1970 UTC; negative before that.
    public var microseconds: Int64

    /// Takes microseconds since 1970 UTC as they are.
    public init(microseconds: Int64) {
        self.microseconds = microseconds
    }

    /// Takes whole seconds since 1970 UTC.
    public init(seconds: Int64) {
        self.microseconds = seconds * 1_000_000
    }

    /// The system's wall clock, for composition roots and tests; code with rules in it is handed a `TimeSource` instead.
    public static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(microseconds: Int64(time.tv_sec) * 1_000_000 + Int64(time.tv_nsec) / 1_000)
    }

    /// Whole seconds since 1970 UTC, rounded towards the past.
    public var seconds: Int64 {
        microseconds >= 0 ? microseconds / 1_000_000 : -((999_999 - microseconds) / 1_000_000)
    }

    /// The earliest moment that the wire form can say: 0001-01-01T00:00:00Z.
    public static let distantPast = Timestamp(microseconds: -62_135_596_800_000_000)
    /// The latest moment that the wire form can say: 9999-12-31T23:59:59.999999Z.
    public static let distantFuture = Timestamp(microseconds: 253_402_300_799_999_999)

    /// Orders by time.
    public static func < (left: Timestamp, right: Timestamp) -> Bool {
        left.microseconds < right.microseconds
    }

    /// The moment that much later; the duration is cut to whole microseconds.
    public static func + (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(microseconds: left.microseconds + right.wholeMicroseconds)
    }

    /// The moment that much earlier; the duration is cut to whole microseconds.
    public static func - (left: Timestamp, right: Duration) -> Timestamp {
        Timestamp(microseconds: left.microseconds - right.wholeMicroseconds)
    }

    /// The time from `right` to `left`, negative when `left` is earlier.
    public static func - (left: Timestamp, right: Timestamp) -> Duration {
        .microseconds(left.microseconds - right.microseconds)
    }

    /// Moves the moment later in place.
    public static func += (left: inout Timestamp, right: Duration) {
        left = left + right
    }

    /// Moves the moment earlier in place.
    public static func -= (left: inout Timestamp, right: Duration) {
        left = left - right
    }

    /// The latest multiple of `step` since 1970 that is not after this moment; `step` must be positive.
    public func floored(to step: Duration) -> Timestamp {
        let width = step.wholeMicroseconds
        precondition(width > 0, "a grid needs a positive step")
        let remainder = microseconds % width
        return Timestamp(microseconds: microseconds - (remainder < 0 ? remainder + width : remainder))
    }
}

extension Duration {
    /// The duration in microseconds, cut towards zero.
    public var wholeMicroseconds: Int64 {
        components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000
    }
}

extension Timestamp: Codable, CustomStringConvertible {
    /// The wire form, as in `iso8601`.
    public var description: String { iso8601 }

    /// Reads the wire form; other text is a `DecodingError.dataCorrupted`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let value = Timestamp(iso8601: text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "expected a UTC time such as 2016-10-08T12:01:00.000000Z")
        }
        self = value
    }

    /// Writes the wire form.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(iso8601)
    }
}
