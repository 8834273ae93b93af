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
    case refusal([UInt8])
    /// Nothing: we failed it, and the run has to end.
    case end

    /// The message that goes with a file.
    static let here = Array(#"{"bars":true}"#.utf8)

    /// What asks before its run is told.
    static let tooEarly = refused("too_early", "bars can be asked for during the run, inside the function, not while the module is imported")

    /// A refusal with a code and words for the author.
    static func refused(_ code: String, _ words: String) -> [UInt8] {
        WireJSON.encode(.object(["refused": .object(["code": .string(code), "message": .string(FinishedJob.message(words))])]))
    }
}
