import Bars
import Contracts

/// Everything that marketdata remembers. Two implementations pass one contract suite: Postgres, and memory for tests.
protocol MarketdataStore: EffectStore, CatalogueStore, CorporateStore, RetentionLookup {
    // MARK: Instruments

    func instrument(symbol: String) async throws -> Instrument?
    func instrument(id: InstrumentID) async throws -> Instrument?
    /// An instrument with the series that its bars are made of (a replay's are those of its source), in one step.
    func description(of symbol: String) async throws -> InstrumentDescription?
    /// In order of symbol, those after one; `containing` is a part of the symbol.
    func instruments(after symbol: String?, containing text: String?, assetClass: AssetClass?, limit: Int) async throws -> [Instrument]
    /// A calendar saved here, which goes before a built-in one of the same name.
    func calendar(named name: String) async throws -> ExchangeCalendar?
    func save(_ calendars: [ExchangeCalendar]) async throws

    // MARK: Bars

    func series(of instrument: InstrumentID) async throws -> [StoredSeries]
    func chunkInfos(_ query: ChunkQuery) async throws -> [ChunkInfo]
    func chunks(_ keys: [ChunkKey]) async throws -> [ChunkKey: [UInt8]]
    /// Stores a file's days, each whole or not at all, in one transaction; makes the instrument if it is new; says what was revised.
    func store(_ batch: ImportBatch) async throws -> ImportBatch.Outcome

    // MARK: Watches

    /// The intervals of an instrument whose closes somebody waits for.
    func watchedIntervals(of instrument: InstrumentID) async throws -> [Int]
    /// Replaces all watches of a caller; gives the symbols that no instrument has, which are passed over.
    func replaceWatches(of caller: String, with watches: [Watch]) async throws -> Set<String>

    // MARK: Replays

    func replay(instrument: InstrumentID) async throws -> Replay?
    func replays(after id: ReplayID?, limit: Int) async throws -> [Replay]
    /// Replays that should run and whose lease is free or held by this runner.
    func claimReplays(runner: String, leaseSeconds: Int) async throws -> [Replay]
    /// Prolongs a lease; nothing when the replay no longer runs or another runner holds it.
    func renewReplay(_ id: ReplayID, runner: String, leaseSeconds: Int) async throws -> Replay?
    /// Gives the lease back, so that another replica need not wait for its end.
    func releaseLease(of id: ReplayID, runner: String) async throws
    /// Ends a running replay whose bars are all released and, for a loop, makes the next one in the same transaction; gives the next one.
    func finishReplay(_ id: ReplayID, next: ReplayDraft?) async throws -> Replay?
    /// Releases everything up to a recorded time and announces closes, in one transaction; nothing when the lease or the state is gone.
    func release(_ step: ReplayStep, runner: String) async throws -> Timestamp?
    /// The recorded time up to which a replay was known at a moment; nothing before its beginning.
    func releasedThrough(_ id: ReplayID, at moment: Timestamp) async throws -> Timestamp?
    /// What the instrument of a replay stands for at a moment, in one look; nothing for an instrument that is no replay's.
    func replayed(by instrument: InstrumentID, at moment: Timestamp) async throws -> ReplayedInstrument?
}

/// What the instrument of a replay stands for at a moment.
struct ReplayedInstrument: Sendable, Equatable {
    /// The instrument that is replayed.
    var source: Instrument
    /// Corrections recorded later are not seen.
    var revisionsAsOf: Timestamp
    /// The recorded time up to which the replay was known; nothing before its beginning.
    var through: Timestamp?
}

/// An instrument with what is stored of it.
struct InstrumentDescription: Sendable, Equatable {
    var instrument: Instrument
    var series: [StoredSeries]

    /// The series with the moments of the clock that the instrument's readers go by. Of a series that a feed began it is noted when that became known; a
    /// replay goes by the bars' own times.
    var seriesByOwnClock: [StoredSeries] {
        guard instrument.feed == .replay else { return series }
        return series.map { one in
            var one = one
            if one.firstEnd > ((one.firstDay + 1).seconds + Int64(one.key.intervalSeconds)) * 1_000_000 {
                one.firstEnd = one.firstDay.seconds * 1_000_000
            }
            return one
        }
    }
}

/// An instrument and interval whose closes somebody waits for.
struct Watch: Sendable, Hashable {
    var symbol: String
    var intervalSeconds: Int
}
