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
            guard let replay = try await store.replay(instrument: instrument.id),
                let source = try await store.instrument(id: replay.sourceInstrumentID)
            else { throw MarketdataError.unknownInstrument(instrument.symbol) }
            // A replay's knowledge clock: the moment is wall time, what was released by then is recorded time.
            let through = try await store.releasedThrough(replay.id, at: asOf)
            let revisions = min(replay.revisionsAsOf, request.revisionsAsOf ?? replay.revisionsAsOf)
            return KnowledgeView(source: source, cut: through?.microseconds ?? .min, recordedBy: revisions.microseconds)
        }
        // A correction becomes known when it is recorded, by the database's clock: who asks for now gets all that are, whatever our own clock says.
        let recordedBy = min(request.asOf ?? .distantFuture, request.revisionsAsOf ?? .distantFuture)
        return KnowledgeView(source: instrument, cut: asOf.microseconds, recordedBy: recordedBy.microseconds)
    }
}
