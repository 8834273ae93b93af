import Contracts
import Postgres

/// Says to every replica that something of an instrument became known: sent inside the transaction that makes it known, heard after its commit.
///
/// It carries no bars: who hears it asks for what is known as of its moment, by the same query as everybody else.
struct KnowledgeNotice: Sendable, Equatable {
    static let channel = "marketdata_knowledge_v1"
    /// A notice of the database holds 8,000 bytes; an id takes 37.
    static let maximumInstruments = 200

    /// The moment from which it is known.
    var knownAt: Timestamp
    var instruments: [InstrumentID]

    init(knownAt: Timestamp, instruments: [InstrumentID]) {
        self.knownAt = knownAt
        self.instruments = instruments
    }

    /// Reads a notice; nothing when it is none of ours.
    init?(_ payload: String) {
        let parts = payload.split(separator: " ")
        guard parts.count == 2, let moment = Int64(parts[0]) else { return nil }
        var instruments: [InstrumentID] = []
        for part in parts[1].split(separator: ",") {
            guard let id = InstrumentID(String(part)) else { return nil }
            instruments.append(id)
        }
        self.init(knownAt: Timestamp(microseconds: moment), instruments: instruments)
    }

    var payload: String { "\(knownAt.microseconds) \(instruments.map(\.description).joined(separator: ","))" }

    /// The statements that send it, for the transaction that makes it known.
    static func send(knownAt: Timestamp, instruments: [InstrumentID]) -> [SQL] {
        stride(from: 0, to: instruments.count, by: maximumInstruments).map { first in
            let part = Array(instruments[first..<min(first + maximumInstruments, instruments.count)])
            return "SELECT pg_notify(\(channel), \(KnowledgeNotice(knownAt: knownAt, instruments: part).payload))"
        }
    }
}
