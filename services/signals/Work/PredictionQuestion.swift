import Contracts

/// What a subscriber asks of one signal; two equal questions have one answer until the signal's revision rises.
struct PredictionQuestion: Sendable, Hashable {
    enum Format: Sendable, Hashable { case json, csv }

    var afterSeq: Int64?
    var beforeSeq: Int64?
    /// Most readers want the newest few, again and again.
    var limit = 10
    var format = Format.json

    /// Without anything after the question mark.
    static let usual = PredictionQuestion()
}

/// A ready answer.
struct PredictionAnswer: Sendable {
    var body: [UInt8]
    /// The highest seq inside; the head's when it holds none.
    var lastSeq: Int64
    var isEmpty: Bool
}
