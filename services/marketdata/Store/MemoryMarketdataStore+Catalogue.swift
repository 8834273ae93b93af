import Bars
import Contracts
import Synchronization

extension MemoryMarketdataStore {
    func calendars(after name: String?, limit: Int) async throws -> [ExchangeCalendar] {
        let all = state.withLock { Array($0.calendars.values) }.filter { $0.name > name ?? "" }.sorted { $0.name < $1.name }
        return Array(all.prefix(limit))
    }

    func datasets(_ query: DatasetQuery) async throws -> [StoredDataset] {
        func place(_ symbol: String, _ series: SeriesKey) -> (String, Int, String, String) {
            (symbol, series.intervalSeconds, series.side.rawValue, series.origin.rawValue)
        }
        var found: [StoredDataset] = []
        for instrument in state.withLock({ Array($0.instruments.values) }) {
            if let text = query.containing, !instrument.symbol.contains(text) { continue }
            if let assetClass = query.assetClass, assetClass != instrument.assetClass { continue }
            for one in try await series(of: instrument.id) {
                if let after = query.after, place(instrument.symbol, one.key) <= place(after.symbol, after.series) { continue }
                let days = try await datasetDays(of: instrument.id, one.key, days: nil, recordedBy: .max, knownBy: .max)
                guard let first = days.first, let last = days.last else { continue }
                found.append(
                    StoredDataset(
                        instrument: instrument,
                        series: one.key,
                        firstDay: first.day,
                        lastDay: last.day,
                        days: days.count,
                        rows: days.reduce(0) { $0 + $1.rows },
                        bytes: days.reduce(0) { $0 + $1.bytes },
                        firstStart: first.firstStart,
                        lastEnd: last.lastEnd
                    )
                )
            }
        }
        found.sort { place($0.instrument.symbol, $0.series) < place($1.instrument.symbol, $1.series) }
        return Array(found.prefix(query.limit))
    }

    func liveDays(of instrument: InstrumentID, _ series: SeriesKey) async throws -> [CivilDay] { [] }

    func datasetDays(
        of instrument: InstrumentID,
        _ series: SeriesKey,
        days: ClosedRange<CivilDay>?,
        recordedBy: Int64,
        knownBy: Int64
    ) async throws -> [DatasetDay] {
        state.withLock { state in
            (state.chunks[instrument]?[series] ?? [:]).compactMap { day, revisions -> DatasetDay? in
                guard days?.contains(day) ?? true, let draft = revisions.last(where: { $0.recordedAt <= recordedBy })?.draft,
                    draft.firstEnd <= knownBy
                else { return nil }
                return DatasetDay(
                    day: day,
                    revision: draft.revision,
                    edition: draft.edition,
                    rows: draft.rows,
                    bytes: draft.bytes.count,
                    firstStart: draft.firstStart,
                    lastEnd: draft.lastEnd
                )
            }.sorted { $0.day < $1.day }
        }
    }

    func slots(of keys: [ChunkKey]) async throws -> [ChunkKey: [UInt8]] {
        state.withLock { state in state.slots.filter { keys.contains($0.key) } }
    }

    func save(_ slots: [ChunkKey: [UInt8]]) async throws { state.withLock { $0.slots.merge(slots) { old, _ in old } } }
}
