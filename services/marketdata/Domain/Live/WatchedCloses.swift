import Bars
import Contracts

/// Which watched intervals of a feed's instruments close next, and when all have that close together.
///
/// One event tells of all instruments whose bars of an interval end at one moment, so none closes over that moment before the others can: what is
/// recorded as closed is always recorded together with its announcement, and a feed that is killed has nothing to remember. Nobody waits for an instrument
/// that is held for a hole; it follows with an event of its own.
struct WatchedCloses: Sendable {
    /// An event holds 64 KiB: more instruments go into the next one.
    static let maximumInstruments = 150

    /// How far an instrument has closed, and how far it may.
    struct Progress: Sendable {
        var from: Int64
        var through: Int64
        /// Where it is held for a hole.
        var heldAt: Int64?
    }

    /// Bars of a length that end at a moment.
    struct Close: Sendable, Hashable {
        var intervalSeconds: Int
        var at: Int64
    }

    /// What may close, and what that announces.
    struct Plan: Sendable, Equatable {
        var through: [InstrumentID: Int64] = [:]
        var announcements: [(close: Close, instruments: [InstrumentID])] = []

        static func == (left: Plan, right: Plan) -> Bool {
            left.through == right.through && left.announcements.map(\.close) == right.announcements.map(\.close)
                && left.announcements.map(\.instruments) == right.announcements.map(\.instruments)
        }
    }

    private struct Entry: Sendable {
        var grids: [(seconds: Int, grid: any BarGrid)]
        /// Bars that began earlier are not whole.
        var beganAt: Int64
        /// The next close, from where it was looked for.
        var next: (after: Int64, at: Int64?, intervals: [Int])?
    }

    private var entries: [InstrumentID: Entry] = [:]
    /// What is recorded and not announced yet: the same close of another instrument waits for it.
    private(set) var due: Set<Close> = []

    /// Sets what is watched of an instrument.
    mutating func watch(_ instrument: InstrumentID, _ grids: [(seconds: Int, grid: any BarGrid)], beganAt: Int64) {
        entries[instrument] = grids.isEmpty ? nil : Entry(grids: grids, beganAt: beganAt)
    }

    /// Forgets an instrument.
    mutating func remove(_ instrument: InstrumentID) { entries[instrument] = nil }

    /// Whether anything of an instrument is watched.
    func isWatching(_ instrument: InstrumentID) -> Bool { entries[instrument] != nil }

    /// The lengths that are watched of an instrument.
    func watched(_ instrument: InstrumentID) -> [Int] { entries[instrument]?.grids.map(\.seconds) ?? [] }

    /// It is recorded, and not announced yet.
    mutating func setDue(_ close: Close) { due.insert(close) }

    /// It is announced.
    mutating func setAnnounced(_ close: Close) { due.remove(close) }

    /// Says how far each instrument closes now; at most so many announcements.
    mutating func plan(_ progress: [InstrumentID: Progress], maximumAnnouncements: Int = 500) -> Plan {
        var plan = Plan(through: progress.mapValues(\.through))
        var position = progress.mapValues(\.from)
        while let (moment, having) = earliest(progress, position) {
            guard plan.announcements.count < maximumAnnouncements, having.allSatisfy({ (progress[$0]?.through ?? .min) >= moment }) else {
                // Events go out in order of time: whoever closes something later waits too.
                for (instrument, one) in progress {
                    guard let at = next(of: instrument, after: position[instrument] ?? one.from).at else { continue }
                    plan.through[instrument] = min(plan.through[instrument] ?? at, at - 1)
                }
                return plan
            }
            var announced: [Int: [InstrumentID]] = [:]
            for instrument in having {
                guard let entry = entries[instrument] else { continue }
                let whole = (entry.next?.intervals ?? []).filter { Self.start(of: $0, endingAt: moment, in: entry) >= entry.beganAt }
                let hasRoom = whole.allSatisfy {
                    !due.contains(Close(intervalSeconds: $0, at: moment)) && announced[$0]?.count ?? 0 < Self.maximumInstruments
                }
                if hasRoom {
                    for seconds in whole { announced[seconds, default: []].append(instrument) }
                    position[instrument] = moment
                } else {
                    // It closes up to the moment, not over it, until the event is out; nobody waits for it.
                    plan.through[instrument] = min(plan.through[instrument] ?? moment, moment - 1)
                    position[instrument] = .max
                }
            }
            for seconds in announced.keys.sorted() {
                plan.announcements.append((Close(intervalSeconds: seconds, at: moment), announced[seconds] ?? []))
            }
        }
        return plan
    }

    /// The earliest close of anybody whom others wait for, and all who have it.
    private mutating func earliest(
        _ progress: [InstrumentID: Progress],
        _ position: [InstrumentID: Int64]
    ) -> (moment: Int64, instruments: [InstrumentID])? {
        var moment = Int64.max
        var having: [InstrumentID] = []
        for (instrument, one) in progress {
            guard let at = next(of: instrument, after: position[instrument] ?? one.from).at, at <= moment,
                one.heldAt == nil || at <= one.through
            else { continue }
            if at < moment { (moment, having) = (at, []) }
            having.append(instrument)
        }
        return having.isEmpty ? nil : (moment, having.sorted { $0.description < $1.description })
    }

    private mutating func next(of instrument: InstrumentID, after position: Int64) -> (at: Int64?, intervals: [Int]) {
        guard position < .max, let entry = entries[instrument] else { return (nil, []) }
        if let known = entry.next, known.after <= position, position < known.at ?? .min { return (known.at, known.intervals) }
        var found: (at: Int64?, intervals: [Int]) = (nil, [])
        for (seconds, grid) in entry.grids {
            guard let at = Watched.close(after: position, on: grid) else { continue }
            if let known = found.at, known < at { continue }
            if found.at == at { found.intervals.append(seconds) } else { found = (at, [seconds]) }
        }
        entries[instrument]?.next = (position, found.at, found.intervals)
        return found
    }

    /// When the bar began that closes.
    func start(of close: Close, of instrument: InstrumentID) -> Int64? {
        entries[instrument].map { Self.start(of: close.intervalSeconds, endingAt: close.at, in: $0) }
    }

    private static func start(of seconds: Int, endingAt moment: Int64, in entry: Entry) -> Int64 {
        guard let grid = entry.grids.first(where: { $0.seconds == seconds })?.grid,
            case .bucket(let start, _, _) = grid.slot(at: moment - 1)
        else { return .min }
        return start
    }
}
