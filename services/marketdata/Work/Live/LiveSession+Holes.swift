import Bars
import Contracts
import FoundationEssentials
import ServiceRuntime

/// What a feed missed: nothing that may have happened in it closes before the source has been asked for it as history.
extension LiveSession {
    /// Sources give what is over for some seconds only; asked earlier, what is not there yet would look like nothing traded.
    static let settling: Int64 = 6_000_000
    /// What is longer ago than this when a feed goes on is not asked for.
    static let longest: Int64 = 86_400_000_000
    private static var atOnce: Int { 4 }

    /// From a moment on the instruments of a channel were not told of.
    func miss(of key: Int, since: Int64, _ reason: String) {
        for (id, subject) in subjects where subject.channel == key && subject.refusal == nil {
            guard let bars = subject.bars else { continue }
            // What closed longer ago than is remembered stays as it closed.
            let from = floorDivide(max(min(since, clock.present), bars.closedThrough - bars.rules.memory), subject.length) * subject.length
            subjects[id]?.bars.modify { $0.hold(from: from) }
            if subject.hole == nil { parts.metrics.openedHoles.increment() }
            var hole = subject.hole ?? Hole(from: from, reason: reason)
            hole.from = min(hole.from, from)
            hole.to = nil
            subjects[id]?.hole = hole
        }
    }

    /// The instruments of a channel are told of again: their holes have an end, and those that are new begin.
    func seeAgain(_ key: Int) {
        for (id, subject) in subjects where subject.channel == key {
            guard subject.bars != nil else {
                begin(id)
                continue
            }
            guard subject.hole != nil, subject.hole?.to == nil else { continue }
            end(id)
        }
    }

    private func end(_ id: InstrumentID) {
        guard let subject = subjects[id], var hole = subject.hole else { return }
        let to = max(Self.ceiling(clock.present, subject.length), hole.from + subject.length)
        hole.to = to
        hole.endedAt = parts.time.monotonicNanoseconds()
        hole.attempts = 0
        hole.nextAttemptAt = 0
        subjects[id]?.hole = hole
        note(id)
    }

    /// Has what is new of a hole written down.
    private func note(_ id: InstrumentID) {
        guard let subject = subjects[id], var hole = subject.hole, let to = hole.to, to > hole.recordedTo ?? .min else { return }
        let record = LiveHole(
            id: UUID(),
            source: sourceID,
            instrumentID: id,
            series: subject.subscription.series,
            from: Timestamp(microseconds: max(hole.from, hole.recordedTo ?? .min)),
            to: Timestamp(microseconds: to),
            reason: String(hole.reason.prefix(200))
        )
        hole.records.append(record.id)
        hole.recordedTo = to
        subjects[id]?.hole = hole
        holesToOpen.append(record)
    }

    /// An instrument goes on where an earlier session left it: what that had missed is part of what is asked for now, or nobody will ask again.
    func inherit(_ id: InstrumentID) {
        let left = inherited.removeValue(forKey: id) ?? []
        if var hole = subjects[id]?.hole {
            hole.records += left.map(\.id)
            subjects[id]?.hole = hole
            parts.metrics.openedHoles.increment()
            // Too long ago to be asked for as a whole: the older part is lost.
            let oldest = clock.present - Self.longest
            if hole.from < oldest, let to = hole.to, let length = subjects[id]?.length {
                let cut = floorDivide(oldest, length) * length
                subjects[id]?.hole?.to = cut
                note(id)
                settle(id, .lost)
                subjects[id]?.hole = Hole(from: cut, to: to, reason: hole.reason, endedAt: hole.endedAt)
                subjects[id]?.bars.modify { $0.hold(from: cut) }
            }
            note(id)
        } else {
            holesToSettle += left.map { ($0.id, .lost) }
        }
    }

    /// Writes down which holes there are.
    func writeOpenedHoles() async throws {
        let holes = holesToOpen
        if holes.isEmpty { return }
        do { try await parts.live.openHoles(holes) } catch let error where !(error is CancellationError) { return }
        // Others may have been added meanwhile.
        holesToOpen.removeFirst(holes.count)
    }

    /// Writes down what became of holes, after what was closed for it.
    func writeSettledHoles() async throws {
        while holesToOpen.isEmpty, let (record, state) = holesToSettle.first {
            do { _ = try await parts.live.settleHole(record, as: state) } catch let error where !(error is CancellationError) { return }
            holesToSettle.removeFirst()
        }
    }

    // MARK: Repair

    private struct Repair: Sendable {
        var instrument: InstrumentID
        var from: Int64
        var to: Int64
        var requests: [HistoryRequest]
        var length: Int64
    }

    func keepRepairing() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            while true {
                for repair in repairsToBegin() { group.addTask { await self.run(repair) } }
                try await parts.time.sleep(for: .milliseconds(100))
            }
        }
    }

    private func repairsToBegin() -> [Repair] {
        let now = parts.time.monotonicNanoseconds()
        var room = Self.atOnce - subjects.values.count { $0.hole?.isAsked == true }
        var begun: [Repair] = []
        for (id, subject) in subjects where room > 0 {
            guard let hole = subject.hole, let to = hole.to, !hole.isAsked, hole.nextAttemptAt <= now, clock.present >= to + Self.settling else {
                continue
            }
            subjects[id]?.hole?.isAsked = true
            room -= 1
            let kinds: [HistoryRequest.Kind] =
                subject.subscription.barSeconds.map { [.bars(.seconds($0))] } ?? [.ticks, .bars(.seconds(1))]
            let requests = kinds.map {
                HistoryRequest(
                    symbol: subject.subscription.sourceSymbol,
                    instrument: subject.instrument.symbol,
                    assetClass: subject.instrument.assetClass,
                    calendar: subject.calendar,
                    kind: $0,
                    range: Timestamp(microseconds: hole.from)..<Timestamp(microseconds: to)
                )
            }
            begun.append(Repair(instrument: id, from: hole.from, to: to, requests: requests, length: subject.length))
        }
        return begun
    }

    private func run(_ repair: Repair) async {
        var failure = SourceError.notSupported("no history")
        for request in repair.requests {
            do {
                let rows = try await Self.rows(request, parts, length: repair.length)
                return finish(repair, .success(rows))
            } catch let error as SourceError {
                failure = error
                if error.isPassing { break }
            } catch is CancellationError {
                return
            } catch {
                failure = .broken("\(error)")
                break
            }
        }
        finish(repair, .failure(failure))
    }

    private typealias Row = (start: Int64, prices: LivePrices)

    private nonisolated static func rows(_ request: HistoryRequest, _ parts: Parts, length: Int64) async throws -> [Row] {
        let (source, late) = (parts.source, SourceError.unavailable("no answer in a minute"))
        guard let file = try await withDeadline(.seconds(60), time: parts.time, orThrow: late, { try await source.history(request) }) else {
            return []
        }
        guard file.problems.isEmpty else { throw SourceError.broken(file.problems.summary) }
        guard let series = file.series.first(where: { Int64($0.intervalSeconds) * 1_000_000 == length && $0.side == .trade }) else {
            if file.series.allSatisfy(\.bars.isEmpty) { return [] }
            throw SourceError.notSupported("history of trades")
        }
        let bars = series.bars
        var rows: [Row] = []
        rows.reserveCapacity(bars.count)
        for row in 0..<bars.count {
            func number(_ column: ScaledColumn?) -> DecimalNumber? { column?.text(at: row).flatMap { DecimalNumber($0) } }
            guard let open = number(bars.open), let high = number(bars.high), let low = number(bars.low), let close = number(bars.close) else {
                continue
            }
            let trades = bars.trades.map { $0[row] }.flatMap { $0 < 0 ? nil : $0 }
            let prices = LivePrices(open: open, high: high, low: low, close: close, volume: number(bars.volume), trades: trades)
            rows.append((bars.starts[row], prices))
        }
        return rows
    }

    private func finish(_ repair: Repair, _ outcome: Result<[Row], SourceError>) {
        let id = repair.instrument
        guard let hole = subjects[id]?.hole, hole.isAsked else { return }
        subjects[id]?.hole?.isAsked = false
        // It has grown meanwhile: it is asked for as a whole.
        guard hole.from == repair.from, hole.to == repair.to else { return }
        switch outcome {
        case .success(let rows):
            subjects[id]?.bars.modify { _ = $0.fill(repair.from..<repair.to, with: rows, heldAt: nil) }
            settle(id, .repaired)
        case .failure(let error):
            let now = parts.time.monotonicNanoseconds()
            let isLate = now &- hole.endedAt >= UInt64(parts.settings.patienceSeconds) * 1_000_000_000
            if error.isPassing, !isLate {
                let pause = Duration.seconds(min(15, 1 << min(hole.attempts, 4)))
                subjects[id]?.hole?.attempts += 1
                subjects[id]?.hole?.nextAttemptAt = now &+ UInt64(pause.wholeMicroseconds) * 1_000
                return
            }
            logger.warning(
                "a stretch of a live feed is lost",
                [
                    "source": .string(sourceID), "instrument": .string(subjects[id]?.instrument.symbol ?? ""),
                    "from": .string(Timestamp(microseconds: repair.from).iso8601), "to": .string(Timestamp(microseconds: repair.to).iso8601),
                    "reason": .string("\(error)"),
                ]
            )
            settle(id, .lost)
        }
    }

    /// Ends a hole; what lies in it closes now.
    private func settle(_ id: InstrumentID, _ state: LiveHole.State) {
        guard let hole = subjects[id]?.hole, let to = hole.to else { return }
        if state == .lost { subjects[id]?.bars.modify { $0.giveUp(hole.from..<to, heldAt: nil) } }
        holesToSettle += hole.records.map { ($0, state) }
        (state == .lost ? parts.metrics.lostHoles : parts.metrics.repairedHoles).increment()
        subjects[id]?.hole = nil
    }
}
