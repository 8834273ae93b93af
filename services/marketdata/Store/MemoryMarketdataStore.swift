import Bars
import Contracts
import FoundationEssentials
import ServiceRuntime
import Synchronization

/// The store in memory, for tests of what stands on it.
final class MemoryMarketdataStore: MarketdataStore {
    struct Chunk {
        var draft: ChunkDraft
        var recordedAt: Int64
    }

    struct Lease {
        var runner: String
        var until: Timestamp
    }

    struct State {
        var instruments: [InstrumentID: Instrument] = [:]
        var calendars: [String: ExchangeCalendar] = [:]
        var chunks: [InstrumentID: [SeriesKey: [CivilDay: [Chunk]]]] = [:]
        var watches: [String: Set<Pair>] = [:]
        var replays: [ReplayID: Replay] = [:]
        var leases: [ReplayID: Lease] = [:]
        var releases: [ReplayID: [(knownAt: Timestamp, through: Timestamp)]] = [:]
        var said: [String] = []
        var mostRowsAtOnce = 0
        var slots: [ChunkKey: [UInt8]] = [:]
    }

    struct Pair: Hashable {
        var instrument: InstrumentID
        var intervalSeconds: Int
    }

    let state = Mutex(State())
    let time: any TimeSource
    let corporate = MemoryCorporateState()

    init(time: any TimeSource = SystemTimeSource()) { self.time = time }

    /// The types and subjects of the events that would have gone out.
    var said: [String] { state.withLock { $0.said } }

    /// The most stored bars that were asked for at once.
    var mostRowsAtOnce: Int { state.withLock { $0.mostRowsAtOnce } }

    // MARK: Instruments

    func instrument(symbol: String) async throws -> Instrument? {
        state.withLock { state in state.instruments.values.first { $0.symbol == symbol } }
    }

    func instrument(id: InstrumentID) async throws -> Instrument? { state.withLock { $0.instruments[id] } }

    func description(of symbol: String) async throws -> InstrumentDescription? {
        guard let found = try await instrument(symbol: symbol) else { return nil }
        return InstrumentDescription(instrument: found, series: try await series(of: found.replayOf ?? found.id))
    }

    func instruments(after symbol: String?, containing text: String?, assetClass: AssetClass?, limit: Int) async throws -> [Instrument] {
        let all = state.withLock { Array($0.instruments.values) }.sorted { $0.symbol < $1.symbol }
        let found = all.filter { instrument in
            instrument.symbol > symbol ?? "" && (text.map(instrument.symbol.contains) ?? true)
                && (assetClass.map { $0 == instrument.assetClass } ?? true)
        }
        return Array(found.prefix(limit))
    }

    func create(_ instrument: Instrument) async throws {
        try state.withLock { state in
            if state.instruments.values.contains(where: { $0.symbol == instrument.symbol }) { throw MarketdataError.symbolTaken(instrument.symbol) }
            state.instruments[instrument.id] = instrument
            state.said.append("instrument.changed \(instrument.symbol)")
        }
    }

    /// Gives an instrument another symbol, and says so.
    func rename(_ instrument: Instrument) {
        state.withLock { state in
            state.instruments[instrument.id] = instrument
            state.said.append("instrument.changed \(instrument.symbol)")
        }
    }

    func calendar(named name: String) async throws -> ExchangeCalendar? { state.withLock { $0.calendars[name] } }

    func save(_ calendars: [ExchangeCalendar]) async throws {
        state.withLock { state in for calendar in calendars { state.calendars[calendar.name] = calendar } }
    }

    // MARK: Bars

    func series(of instrument: InstrumentID) async throws -> [StoredSeries] {
        state.withLock { state in
            (state.chunks[instrument] ?? [:]).map { key, days in
                let firstEnd = days.values.flatMap { $0 }.map(\.draft.firstEnd).min() ?? 0
                return StoredSeries(
                    key: key,
                    firstDay: days.keys.min() ?? CivilDay(number: 0),
                    lastDay: days.keys.max() ?? CivilDay(number: 0),
                    firstEnd: firstEnd
                )
            }.sorted { $0.key.intervalSeconds < $1.key.intervalSeconds }
        }
    }

    func chunkInfos(_ query: ChunkQuery) async throws -> [ChunkInfo] {
        state.withLock { state in
            var infos: [ChunkInfo] = []
            for series in query.series {
                for (day, revisions) in state.chunks[query.instrumentID]?[series] ?? [:] where query.days.contains(day) {
                    guard let chunk = revisions.last(where: { $0.recordedAt <= query.recordedBy }) else { continue }
                    let key = ChunkKey(instrumentID: query.instrumentID, series: series, day: day, revision: chunk.draft.revision)
                    infos.append(
                        ChunkInfo(
                            key: key,
                            edition: chunk.draft.edition,
                            rows: chunk.draft.rows,
                            firstEnd: chunk.draft.firstEnd,
                            lastEnd: chunk.draft.lastEnd,
                            coverage: chunk.draft.coverage
                        )
                    )
                }
            }
            return infos
        }
    }

    func chunks(_ keys: [ChunkKey]) async throws -> [ChunkKey: [UInt8]] {
        state.withLock { state in
            var found: [ChunkKey: [UInt8]] = [:]
            var rows = 0
            for key in keys {
                let draft = state.chunks[key.instrumentID]?[key.series]?[key.day]?.first { $0.draft.revision == key.revision }?.draft
                found[key] = draft?.bytes
                rows += draft?.rows ?? 0
            }
            state.mostRowsAtOnce = max(state.mostRowsAtOnce, rows)
            return found
        }
    }

    func store(_ batch: ImportBatch) async throws -> ImportBatch.Outcome {
        let now = time.now().microseconds
        return try state.withLock { state in
            var instrument = state.instruments.values.first { $0.symbol == batch.instrument.symbol } ?? batch.instrument
            let created = state.instruments[instrument.id] == nil
            var days = ImportOutcome.Days(refused: batch.refusedDays)
            var drafts: [ChunkDraft] = []
            for day in batch.days {
                let latest = state.chunks[instrument.id]?[day.series]?[day.day]?.last.map {
                    LatestChunk(
                        revision: $0.draft.revision,
                        edition: $0.draft.edition,
                        coverage: $0.draft.coverage,
                        recordedAt: $0.recordedAt,
                        bytes: $0.draft.bytes
                    )
                }
                if let draft = try ChunkDraft(day, latest: latest, mark: batch.mark) { drafts.append(draft) } else { days.unchanged += 1 }
            }
            let latest = (state.chunks[instrument.id] ?? [:]).values.flatMap(\.values).joined().map(\.recordedAt).max() ?? .min
            let stamp = latest == .min ? now : max(now, latest + 1)
            for draft in drafts {
                let previous = state.chunks[instrument.id]?[draft.series]?[draft.day]?.last?.recordedAt ?? .min
                let recordedAt = draft.isStamped ? stamp : previous
                state.chunks[instrument.id, default: [:]][draft.series, default: [:]][draft.day, default: []].append(
                    Chunk(draft: draft, recordedAt: recordedAt)
                )
                let key = ChunkKey(instrumentID: instrument.id, series: draft.series, day: draft.day, revision: draft.revision)
                state.slots[key] = draft.slots
                switch draft.change {
                case .added: days.added += 1
                case .extended: days.extended += 1
                case .revised:
                    days.revised += 1
                    state.said.append("bars.revised \(instrument.symbol) \(draft.day.text)")
                }
            }
            instrument.baseIntervalSeconds = try BaseInterval.seconds(of: Array((state.chunks[instrument.id] ?? [:]).keys))
            state.instruments[instrument.id] = instrument
            if created { state.said.append("instrument.changed \(instrument.symbol)") }
            return ImportBatch.Outcome(instrument: instrument, createdInstrument: created, days: days)
        }
    }

    // MARK: Watches

    func watchedIntervals(of instrument: InstrumentID) async throws -> [Int] {
        state.withLock { state in
            Set(state.watches.values.joined().filter { $0.instrument == instrument }.map(\.intervalSeconds)).sorted()
        }
    }

    func replaceWatches(of caller: String, with watches: [Watch]) async throws -> Set<String> {
        state.withLock { state in
            var pairs: Set<Pair> = []
            var unknown: Set<String> = []
            for watch in watches {
                if let instrument = state.instruments.values.first(where: { $0.symbol == watch.symbol }) {
                    pairs.insert(Pair(instrument: instrument.id, intervalSeconds: watch.intervalSeconds))
                } else {
                    unknown.insert(watch.symbol)
                }
            }
            state.watches[caller] = pairs
            return unknown
        }
    }

    // MARK: Replays

    func createReplay(_ draft: ReplayDraft, within limits: ReplayLimits) async throws -> Replay {
        let now = time.now()
        return try state.withLock { state in
            try limits.admit(running: Self.runningReplays(of: draft.accountID, in: state))
            return try Self.create(draft, in: &state, now: now)
        }
    }

    private static func runningReplays(of account: AccountID, in state: State) -> (own: Int, all: Int) {
        let running = state.replays.values.filter { $0.state == .running }
        return (running.count { $0.accountID == account }, running.count)
    }

    func finishReplay(_ id: ReplayID, next: ReplayDraft?) async throws -> Replay? {
        let now = time.now()
        return try state.withLock { state in
            guard state.replays[id]?.state == .running else { return nil }
            state.replays[id]?.state = .finished
            return try next.map { try Self.create($0, in: &state, now: now) }
        }
    }

    private static func create(_ draft: ReplayDraft, in state: inout State, now: Timestamp) throws -> Replay {
        guard var instrument = state.instruments[draft.sourceInstrumentID] else { throw MarketdataError.unknownInstrument("") }
        let source = instrument.symbol
        let number = (state.replays.values.filter { $0.sourceInstrumentID == draft.sourceInstrumentID }.map(\.number).max() ?? 0) + 1
        instrument.id = draft.instrumentID
        instrument.symbol = InstrumentSymbol.replay(of: source, number: number)
        instrument.feed = .replay
        instrument.replayOf = draft.sourceInstrumentID
        instrument.baseIntervalSeconds = draft.baseIntervalSeconds
        instrument.createdAt = draft.createdAt
        state.instruments[instrument.id] = instrument
        let replay = Replay(
            id: draft.id,
            instrumentID: instrument.id,
            symbol: instrument.symbol,
            sourceInstrumentID: draft.sourceInstrumentID,
            sourceSymbol: source,
            number: number,
            accountID: draft.accountID,
            state: .running,
            baseIntervalSeconds: draft.baseIntervalSeconds,
            speed: draft.speed,
            loops: draft.loops,
            startsAt: draft.startsAt,
            endsAt: draft.endsAt,
            revisionsAsOf: draft.revisionsAsOf ?? now,
            releasedThrough: draft.startsAt,
            releasedBars: 0,
            createdAt: draft.createdAt
        )
        state.replays[replay.id] = replay
        state.releases[replay.id] = [(draft.createdAt, draft.startsAt)]
        state.said.append("instrument.changed \(instrument.symbol)")
        return replay
    }

    func replay(id: ReplayID) async throws -> Replay? { state.withLock { $0.replays[id] } }

    func replay(instrument: InstrumentID) async throws -> Replay? {
        state.withLock { state in state.replays.values.first { $0.instrumentID == instrument } }
    }

    func replays(after id: ReplayID?, limit: Int) async throws -> [Replay] {
        let all = state.withLock { Array($0.replays.values) }.sorted { $0.id > $1.id }
        return Array(all.filter { replay in id.map { replay.id < $0 } ?? true }.prefix(limit))
    }

    func claimReplays(runner: String, leaseSeconds: Int) async throws -> [Replay] {
        let now = time.now()
        return state.withLock { state in
            var claimed: [Replay] = []
            for replay in state.replays.values where replay.state == .running {
                if let lease = state.leases[replay.id], lease.runner != runner, lease.until > now { continue }
                state.leases[replay.id] = Lease(runner: runner, until: now + .seconds(leaseSeconds))
                claimed.append(replay)
            }
            return claimed
        }
    }

    func renewReplay(_ id: ReplayID, runner: String, leaseSeconds: Int) async throws -> Replay? {
        let now = time.now()
        return state.withLock { state in
            guard let replay = state.replays[id], replay.state == .running, state.leases[id]?.runner == runner else { return nil }
            state.leases[id] = Lease(runner: runner, until: now + .seconds(leaseSeconds))
            return replay
        }
    }

    func releaseLease(of id: ReplayID, runner: String) async throws {
        state.withLock { if $0.leases[id]?.runner == runner { $0.leases[id] = nil } }
    }

    func changeReplay(_ id: ReplayID, from: Set<Replay.State>, to: Replay.State) async throws -> Replay? {
        state.withLock { state in
            guard var replay = state.replays[id], from.contains(replay.state) else { return nil }
            replay.state = to
            state.replays[id] = replay
            return replay
        }
    }

    func resumeReplay(_ id: ReplayID, within limits: ReplayLimits) async throws -> Replay? {
        try state.withLock { state in
            guard var replay = state.replays[id], replay.state == .paused else { return nil }
            try limits.admit(running: Self.runningReplays(of: replay.accountID, in: state))
            replay.state = .running
            state.replays[id] = replay
            return replay
        }
    }

    func release(_ step: ReplayStep, runner: String) async throws -> Timestamp? {
        let now = time.now()
        return state.withLock { state in
            guard var replay = state.replays[step.replayID], replay.state == .running, replay.releasedThrough == step.from,
                state.leases[step.replayID]?.runner == runner
            else { return nil }
            let last = state.releases[step.replayID]?.last?.knownAt ?? .distantPast
            let knownAt = max(now, Timestamp(microseconds: last.microseconds + 1))
            replay.releasedThrough = step.through
            replay.releasedBars += Int64(step.bars)
            state.replays[step.replayID] = replay
            state.releases[step.replayID, default: []].append((knownAt, step.through))
            for close in step.closes { state.said.append("bars.closed \(replay.symbol) \(close.intervalSeconds)@\(step.through)") }
            return knownAt
        }
    }

    func replayed(by instrument: InstrumentID, at moment: Timestamp) async throws -> ReplayedInstrument? {
        guard let replay = try await replay(instrument: instrument), let source = try await self.instrument(id: replay.sourceInstrumentID) else {
            return nil
        }
        return ReplayedInstrument(
            source: source,
            revisionsAsOf: replay.revisionsAsOf,
            through: try await releasedThrough(replay.id, at: moment)
        )
    }

    func releasedThrough(_ id: ReplayID, at moment: Timestamp) async throws -> Timestamp? {
        state.withLock { state in state.releases[id]?.last { $0.knownAt <= moment }?.through }
    }
}
