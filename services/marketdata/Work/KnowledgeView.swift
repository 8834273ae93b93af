import Contracts

/// From where a reader looks: whose chunks, up to which recorded moment, in which revisions.
struct KnowledgeView: Sendable {
    /// The instrument whose chunks are read: for a replay, the one that is replayed.
    var source: Instrument
    /// Bars that ended later are not known (microseconds since 1970, on the bars' own clock).
    var cut: Int64
    /// Revisions recorded later do not exist (microseconds since 1970).
    var recordedBy: Int64

    static func of(_ instrument: Instrument, request: BarRequest, store: any MarketdataStore, now: Timestamp) async throws -> KnowledgeView {
        let asOf = request.asOf ?? now
        if instrument.feed == .replay {
            // A replay's knowledge clock: the moment is wall time, what was released by then is recorded time.
            guard let replayed = try await store.replayed(by: instrument.id, at: asOf) else {
                throw MarketdataError.unknownInstrument(instrument.symbol)
            }
            let revisions = min(replayed.revisionsAsOf, request.revisionsAsOf ?? replayed.revisionsAsOf)
            return KnowledgeView(source: replayed.source, cut: replayed.through?.microseconds ?? .min, recordedBy: revisions.microseconds)
        }
        // A correction becomes known when it is recorded, by the database's clock: who asks for now gets all that are, whatever our own clock says.
        let recordedBy = min(request.asOf ?? .distantFuture, request.revisionsAsOf ?? .distantFuture)
        return KnowledgeView(source: instrument, cut: asOf.microseconds, recordedBy: recordedBy.microseconds)
    }
}
