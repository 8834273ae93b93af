import Bars
import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// What the store in memory holds besides bars.
final class MemoryCorporateState: Sendable {
    struct State {
        var actions: [InstrumentID: [CorporateAction]] = [:]
        var names: [InstrumentID: [InstrumentName]] = [:]
        var findings: [InstrumentID: [(digest: SHA256Digest, found: ImportFinding)]] = [:]
    }

    let state = Mutex(State())
}

extension MemoryMarketdataStore {
    // MARK: Actions

    func actions(of instrument: InstrumentID, recordedBy: Int64) async throws -> [CorporateAction] {
        let all = corporate.state.withLock { $0.actions[instrument] ?? [] }
        return Self.latest(all.filter { ($0.recordedAt?.microseconds ?? .min) <= recordedBy }).filter { $0.ratio != .none }
    }

    private static func latest(_ actions: [CorporateAction]) -> [CorporateAction] {
        var latest: [CivilDay: CorporateAction] = [:]
        for action in actions where action.revision > latest[action.day]?.revision ?? 0 { latest[action.day] = action }
        return latest.values.sorted { $0.day < $1.day }
    }

    func store(_ batch: ActionBatch) async throws -> CorporateOutcome {
        let found = try await instrument(symbol: batch.instrument.symbol)
        if found == nil { try await create(batch.instrument) }
        let instrument = found ?? batch.instrument
        let now = time.now()
        return corporate.state.withLock { state in
            let before = state.actions[instrument.id] ?? []
            let merged = ActionMerge.merge(stored: Self.latest(before), file: batch.file)
            let last = before.compactMap(\.recordedAt).max() ?? .distantPast
            let stamp = max(now, last + .microseconds(1))
            for draft in merged.drafts {
                state.actions[instrument.id, default: []].append(
                    CorporateAction(
                        day: draft.day,
                        ratio: draft.ratio,
                        referencePrice: draft.referencePrice,
                        revision: draft.revision,
                        recordedAt: draft.isCorrection ? stamp : nil
                    )
                )
            }
            let corrections = merged.drafts.count { $0.isCorrection }
            let additions = merged.drafts.count - corrections
            let days = ImportOutcome.Days(
                added: before.isEmpty ? additions : 0,
                extended: before.isEmpty ? 0 : additions,
                revised: corrections,
                unchanged: merged.unchanged
            )
            return CorporateOutcome(instrument: instrument, createdInstrument: found == nil, days: days)
        }
    }

    // MARK: Names

    func names(of instrument: InstrumentID) async throws -> [InstrumentName] { corporate.state.withLock { $0.names[instrument] ?? [] } }

    func holders(of ticker: String) async throws -> [NameHolder] {
        var holders: [NameHolder] = []
        for (id, names) in corporate.state.withLock({ $0.names }) {
            guard let instrument = try await instrument(id: id) else { continue }
            for name in names where name.ticker == ticker {
                holders.append(NameHolder(instrumentID: id, symbol: instrument.symbol, timeZone: instrument.timeZone, name: name))
            }
        }
        return holders.sorted { $0.name.firstDay < $1.name.firstDay }
    }

    func store(_ batch: NameBatch) async throws -> CorporateOutcome {
        guard let first = batch.names.first else { throw ImportError.emptyFile }
        var candidates: [(instrument: Instrument, names: [InstrumentName])] = []
        for instrument in try await instruments(after: nil, containing: nil, assetClass: nil, limit: .max) {
            candidates.append((instrument, try await names(of: instrument.id)))
        }
        let known = try NameMatch.find(symbol: batch.instrument.symbol, first: first, among: candidates)
        var instrument = known ?? batch.instrument
        var former: String?
        if known == nil {
            try await create(instrument)
        } else if instrument.symbol != batch.instrument.symbol {
            former = instrument.symbol
            instrument.symbol = batch.instrument.symbol
            instrument.version += 1
            rename(instrument)
        }
        let id = instrument.id
        let days = corporate.state.withLock { state in
            let before = state.names[id] ?? []
            state.names[id] = batch.names
            if before == batch.names { return ImportOutcome.Days(unchanged: batch.names.count) }
            return before.isEmpty ? ImportOutcome.Days(added: batch.names.count) : ImportOutcome.Days(revised: batch.names.count)
        }
        return CorporateOutcome(instrument: instrument, createdInstrument: known == nil, days: days, formerSymbol: former)
    }

    func description(of symbol: String, on date: NameDate, strictly: Bool) async throws -> InstrumentDescription? {
        var best: (instrument: Instrument, rank: NameRank, since: CivilDay)?
        for instrument in try await instruments(after: nil, containing: nil, assetClass: nil, limit: .max) {
            let day: CivilDay
            switch date {
            case .day(let one): day = one
            case .moment(let moment):
                let zone = try ZoneRules(identifier: instrument.timeZone)
                let seconds = floorDivide(moment.microseconds, 1_000_000)
                day = CivilDay(utcMicroseconds: (seconds + Int64(zone.offset(atUTC: seconds))) * 1_000_000)
            }
            let names = try await names(of: instrument.id)
            guard let found = NameRank.of(symbol: symbol, instrument: instrument, names: names, on: day) else { continue }
            if let best, (best.rank, found.since) < (found.rank, best.since) || (best.rank == found.rank && best.since == found.since) { continue }
            best = (instrument, found.rank, found.since)
        }
        guard let best, !strictly || best.rank <= .isCalledSo else { return nil }
        return InstrumentDescription(instrument: best.instrument, series: try await series(of: best.instrument.replayOf ?? best.instrument.id))
    }

    // MARK: Findings

    func note(_ findings: [RowFinding], of instrument: InstrumentID, fileName: String, fileSHA256: SHA256Digest) async throws {
        let now = time.now()
        corporate.state.withLock { state in
            for finding in findings.prefix(10_000) {
                let isKnown = (state.findings[instrument] ?? []).contains {
                    $0.digest == fileSHA256 && $0.found.finding.day == finding.day && $0.found.finding.kind == finding.kind
                }
                if isKnown { continue }
                state.findings[instrument, default: []].append(
                    (fileSHA256, ImportFinding(finding: finding, fileName: fileName, recordedAt: now))
                )
            }
        }
    }

    func findings(of instrument: InstrumentID, days: ClosedRange<CivilDay>, limit: Int) async throws -> [ImportFinding] {
        let all = corporate.state.withLock { $0.findings[instrument] ?? [] }.map(\.found).filter { days.contains($0.finding.day) }
        return Array(all.sorted { ($0.finding.day, $0.finding.kind.rawValue) < ($1.finding.day, $1.finding.kind.rawValue) }.prefix(limit))
    }
}
