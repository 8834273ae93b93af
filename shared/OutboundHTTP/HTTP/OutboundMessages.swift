/// A question to another's server.
public struct OutboundRequest: Sendable {
    /// `https://host[:port]/path?query`, percent-encoded.
    public var url: String
    /// Header fields, besides those that every request has.
    public var headers: [(name: String, value: String)]
    /// How long all of it may take.
    public var deadline: Duration
    /// The largest answer that is taken, unpacked.
    public var maximumAnswerBytes: Int

    /// A question.
    public init(
        url: String,
        headers: [(name: String, value: String)] = [],
        deadline: Duration = .seconds(30),
        maximumAnswerBytes: Int = 16 << 20
    ) {
        self.url = url
        self.headers = headers
        self.deadline = deadline
        self.maximumAnswerBytes = maximumAnswerBytes
    }
}

/// What it answered, whatever the status.
public struct OutboundAnswer: Sendable, Equatable {
    /// The status.
    public let status: Int
    /// The body, unpacked.
    public let body: [UInt8]
    private let headers: [String: String]

    /// An answer; names of headers in small letters.
    public init(status: Int, headers: [String: String], body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The value of a header, by its name in small letters; of several the last.
    public func header(_ name: String) -> String? { headers[name] }
}
