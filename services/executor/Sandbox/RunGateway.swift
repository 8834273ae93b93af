import Contracts

/// Answers what a program asks over its channel while it runs. One question at a time.
protocol RunGateway: Sendable {
    /// The answer to one message.
    func answer(_ message: [UInt8]) async -> GatewayAnswer
}

/// What is said to a program that asked for something.
enum GatewayAnswer: Sendable {
    /// Bars, as a sealed file.
    case bars(InputFrame)
    /// No, with the message that says why.
    case refusal(JSONValue)
    /// Nothing: we failed it, and the run has to end.
    case end

    /// What asks before its run is told.
    static let tooEarly = GatewayAnswer.refusal(
        refused("too_early", "bars can be asked for during the run, inside the function, not while the module is imported")
    )

    /// A refusal with a code and words for the author.
    static func refused(_ code: String, _ words: String) -> JSONValue {
        .object(["code": .string(code), "message": .string(FinishedJob.message(words))])
    }

    /// What is said, with the number of the question: several threads and what was forked may ask, and none may take what another asked for.
    func message(_ id: Int64?) -> [UInt8] {
        var members: [String: JSONValue] =
            switch self {
            case .bars: ["bars": true]
            case .refusal(let refusal): ["refused": refusal]
            case .end: [:]
            }
        if let id { members["id"] = .integer(id) }
        return WireJSON.encode(.object(members))
    }
}
