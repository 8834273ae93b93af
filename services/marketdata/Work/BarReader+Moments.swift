import Bars
import Contracts
import ServiceRuntime

extension BarReader {
    /// When each of the bars that were known at a moment became known first: of history at its own end, of what a feed told when the feed had
    /// told everything up to its end. `ends` rise. The same moments as those of the closes that were announced.
    func moments(ofBarsThatEnd ends: [Int64], _ subject: Subject) async throws -> [Int64] {
        guard let first = ends.first, let last = ends.last else { return [] }
        let (plan, view) = (subject.plan, subject.view)
        // The rows of a bar may end days before it does, and what a feed says next may be said days later.
        let days = (CivilDay(utcMicroseconds: first - 1) + -Self.daysOfSilence)...(CivilDay(utcMicroseconds: last) + Self.daysOfSilence)
        let query = ChunkQuery(
            instrumentID: view.source.id,
            series: subject.series.map(\.key),
            days: days,
            recordedBy: view.recordedBy,
            knownBy: view.cut
        )
        let infos = try await store.chunkInfos(query)
        // Thousands of days are too much for a loop.
        let isLight = infos.count <= limits.lightChunks
        let choices = isLight ? plan.choose(from: infos, asOf: view.cut) : try await cpu.run { plan.choose(from: infos, asOf: view.cut) }
        var moments = ends
        var position = 0
        var isAfterHistory = true
        for choice in choices {
            let dayStart = choice.day.seconds * 1_000_000
            // What history vouches for is known at its end.
            if isAfterHistory { position = ends[position...].firstIndex { $0 > dayStart } ?? ends.count }
            isAfterHistory = !choice.infos.contains { $0.live != nil }
            let reach = ends[position...].prefix { $0 <= dayStart + 86_400_000_000 }
            if isAfterHistory {
                position = reach.endIndex
                continue
            }
            // What this day does not say, the next one does.
            for told in try await told(choice, Array(reach), of: view.source) {
                guard let told else { break }
                moments[position] = max(ends[position], told)
                position += 1
            }
        }
        return moments
    }

    private static let daysOfSilence = 7

    private func told(_ choice: DayChoice, _ ends: [Int64], of instrument: Instrument) async throws -> [Int64?] {
        guard !ends.isEmpty else { return [] }
        let keys = choice.infos.filter(\.isStored).map(\.key)
        let stored = try await chunks.days(keys, of: instrument.symbol, isScan: true, lane: .general)
        return try await cpu.run {
            var moments = ends.map { Optional($0) }
            for info in choice.infos {
                let one = try info.moments(stored[info.key], through: ends)
                switch choice {
                // A history that ends says nothing of what the feed went on with.
                case .continued: for (index, moment) in one.enumerated() where info.live != nil { moments[index] = moment }
                case .one, .middle:
                    for (index, moment) in one.enumerated() { moments[index] = moment.flatMap { known in moments[index].map { max($0, known) } } }
                }
            }
            if case .continued(let history, _) = choice {
                for (index, end) in ends.enumerated() where end <= history.lastEnd { moments[index] = end }
            }
            return moments
        }
    }
}

extension ChunkInfo {
    /// When it was known first that everything of the day up to each instant is over; nil where nothing says so.
    fileprivate func moments(_ stored: StoredDay?, through ends: [Int64]) throws -> [Int64?] {
        guard let live else { return ends }
        var day =
            switch stored {
            case .live(let day): day
            case .history(let bars): LiveDay(base: bars, settledThrough: coverage.upperBound)
            case nil: LiveDay()
            }
        try day.add(live.tail)
        return day.moments(through: ends)
    }
}
