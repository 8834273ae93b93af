public import Contracts

/// When a schedule is due, from its definition alone and never from what ran before.
public enum ScheduleGrid: Sendable, Hashable {
    /// Whole multiples of the interval since 1970: absolute time, the same for every replica.
    case interval(seconds: Int)
    /// The times of a cron expression in a zone.
    case cron(CronGrid)
    /// Not a grid of times: bars say when.
    case barClose(instrument: String, intervalSeconds: Int)
    /// Moments of a market's sessions; nothing is due until these are known.
    case session(SessionGrid)

    /// The grid of a cadence; throws what keeps it from ever being armed.
    public init(_ cadence: Cadence) throws(ScheduleError) {
        switch cadence {
        case .interval(let seconds):
            guard (1...Cadence.maximumIntervalSeconds).contains(seconds) else { throw .badInterval("\(seconds) seconds") }
            self = .interval(seconds: seconds)
        case .cron(let expression, let zone):
            let grid = CronGrid(expression: try CronExpression(expression), zone: try Zone(zone))
            guard grid.next(after: 1_760_000_000) != nil else { throw .badCron(field: "expression (it is never due)", text: expression) }
            self = .cron(grid)
        case .barClose(let instrument, let interval):
            guard !instrument.isEmpty, instrument.utf8.count <= 64 else { throw .badInstrument(instrument) }
            let seconds = try BarLength.seconds(of: interval)
            // The close of a finer bar is told to nobody.
            guard seconds >= 5 else { throw .barTooShort(interval) }
            self = .barClose(instrument: instrument, intervalSeconds: seconds)
        case .session(let instrument, let moment): self = .session(try SessionGrid(instrument: instrument, moment: moment))
        }
    }

    /// The same grid with what is known of its market; grids that follow no market stay as they are.
    public func knowing(_ sessions: MarketSessions) -> ScheduleGrid {
        guard case .session(var grid) = self else { return self }
        grid.sessions = sessions
        return .session(grid)
    }

    /// The first due time after `time`; nil for bar closes.
    public func next(after time: Timestamp) -> Timestamp? {
        // Due times are whole seconds, so the second that `time` is in counts as passed.
        let second = Int(time.seconds)
        switch self {
        case .interval(let seconds):
            let remainder = ((second % seconds) + seconds) % seconds
            return Timestamp(seconds: Int64(second - remainder + seconds))
        case .cron(let grid): return grid.next(after: second).map { Timestamp(seconds: Int64($0)) }
        case .barClose: return nil
        case .session(let grid): return grid.next(after: time)
        }
    }

    /// The last due time in `(after, through]`.
    public func last(after: Timestamp, through: Timestamp) -> Timestamp? {
        if case .interval(let seconds) = self {
            let second = Int(through.seconds)
            let last = Timestamp(seconds: Int64(second - ((second % seconds) + seconds) % seconds))
            return last > after ? last : nil
        }
        for lookback in [60, 3_600, 86_400, 32 * 86_400, 366 * 86_400, 41 * 366 * 86_400] as [Int64] {
            let start = max(after, through - .seconds(lookback))
            var found: Timestamp?
            var position = start
            while let due = next(after: position), due <= through {
                found = due
                position = due
            }
            if found != nil || start == after { return found }
        }
        return nil
    }

    /// How many due times lie in `(after, through]`; no more than `most` are counted.
    public func count(after: Timestamp, through: Timestamp, most: Int = .max) -> Int {
        min(most, counted(after: after, through: through, enough: most))
    }

    private func counted(after: Timestamp, through: Timestamp, enough: Int) -> Int {
        guard after < through else { return 0 }
        switch self {
        case .interval(let seconds):
            func index(_ time: Timestamp) -> Int {
                let second = Int(time.seconds)
                return (second - ((second % seconds) + seconds) % seconds) / seconds
            }
            return index(through) - index(after)
        case .cron(let grid): return grid.count(after: Int(after.seconds), through: Int(through.seconds), enough: enough)
        case .barClose: return 0
        case .session:
            var total = 0
            var position = after
            while total < enough, let due = next(after: position), due <= through { (total, position) = (total + 1, due) }
            return total
        }
    }

    /// The due times in `(after, through]`, at most `limit` of them.
    public func points(after: Timestamp, through: Timestamp, limit: Int) -> [Timestamp] {
        var found: [Timestamp] = []
        var position = after
        while found.count < limit, let due = next(after: position), due <= through {
            found.append(due)
            position = due
        }
        return found
    }
}
