internal import Contracts

/// The headers of ours on a message that was moved.
enum MessageHeaders {
    /// How many times a handler has asked for another try.
    static let attempt = "x-auspex-attempt"
    /// Why it is where it is.
    static let reason = "x-auspex-reason"
    /// When it came there.
    static let movedAt = "x-auspex-moved-at"
    /// The trace that it belongs to.
    static let traceparent = "traceparent"

    /// Headers for a copy. Those of the broker stay behind: with its `x-death` a copy could be taken for a cycle and dropped.
    static func forCopy(of headers: [String: HeaderValue], attempt: Int, reason: String, now: Timestamp) -> [String: HeaderValue] {
        var copy: [String: HeaderValue] = [:]
        copy[traceparent] = headers[traceparent]
        copy[self.attempt] = .integer(Int64(attempt))
        copy[self.reason] = .text(String(reason.prefix(500)))
        copy[movedAt] = .text(now.iso8601)
        return copy
    }

    /// What the broker says of why it moved a message, such as `delivery_limit`.
    static func brokerReason(_ headers: [String: HeaderValue]) -> String? {
        headers["x-first-death-reason"]?.text
    }
}
