/// A piece of what a running attempt printed.
public struct LogChunk: Sendable, Hashable, Codable {
    /// Where it begins, in bytes of all that the attempt printed. What lies between the end of the piece before and this is left out for good.
    public var offset: Int64
    /// The text, at most ``maximumBytes`` of UTF-8.
    public var text: String

    /// Both fields.
    public init(offset: Int64, text: String) {
        self.offset = offset
        self.text = text
    }

    /// Where the next piece begins if nothing is left out.
    public var end: Int64 { offset + Int64(text.utf8.count) }

    /// The longest piece, in bytes.
    public static let maximumBytes = 16_384
    /// The pieces of all jobs that one call carries at most, in bytes.
    public static let maximumBytesOfACall = 262_144
    /// What is kept of the beginning of a log, in bytes; a later piece is kept until newer ones have pushed it out.
    public static let headBytes = FinishedJob.maximumLogBytes * 3 / 4
}
