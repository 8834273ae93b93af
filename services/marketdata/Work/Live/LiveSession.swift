import Bars
import Contracts
import FoundationEssentials
import ServiceRuntime

/// The feed of one source for as long as this process has its lease.
///
/// What the streams tell goes into the closing machines at once (`LiveSession+Events`). Some dozen times a second what is over is closed and recorded
/// (`LiveSession+Steps`); nothing that a machine has closed is ever closed again, so a step whose fate is unknown is asked for, and a session that cannot
/// find out ends: the next one goes on where the database says that it had closed. Holes are asked for as history (`LiveSession+Holes`).
actor LiveSession {
    /// What it works with.
    struct Parts: Sendable {
        var source: any StreamingSource
        var store: any MarketdataStore
        var live: LiveStore
        var subscriptions: LiveSubscriptionStore
        var reader: BarReader
        var calendars: Calendars
        var time: any TimeSource
        var settings = LiveFeedSettings()
        /// Tells this replica's hold on the lease from another's.
        var runner = LiveFeed.runner()
        var metrics: LiveMetrics

        init(
            source: any StreamingSource,
            store: any MarketdataStore,
            live: LiveStore,
            subscriptions: LiveSubscriptionStore,
            reader: BarReader,
            calendars: Calendars,
            time: any TimeSource,
            settings: LiveFeedSettings = LiveFeedSettings()
        ) {
            self.source = source
            self.store = store
            self.live = live
            self.subscriptions = subscriptions
            self.reader = reader
            self.calendars = calendars
            self.time = time
            self.settings = settings
            metrics = LiveMetrics(source: source.description.id)
        }
    }

    /// Another replica runs the feed, or the database did not answer for so long that one may.
    struct LeaseLost: Error {}

    /// A connection to the source, by the length of the bars that it tells, 0 for trades.
    struct Channel {
        let stream: any SourceStream
        var isConnected = false
        /// Whether the source has its own connection.
        var isUpstream = true
        /// Up to when the source has told everything, by its own stamps.
        var observed = Int64.min
        var detail = "not connected yet"

        var isUp: Bool { isConnected && isUpstream }
    }

    /// A stretch of one instrument that was missed.
    struct Hole {
        var from: Int64
        /// Nothing while it lasts.
        var to: Int64?
        var reason: String
        /// What stands of it in the database, and up to where.
        var records: [UUID] = []
        var recordedTo: Int64?
        var isAsked = false
        var attempts = 0
        /// On the monotonic clock.
        var nextAttemptAt: UInt64 = 0
        var endedAt: UInt64 = 0
    }

    /// An instrument of the feed.
    struct Subject {
        var subscription: LiveSubscription
        var instrument: Instrument
        var calendar: ExchangeCalendar
        var sessions: LiveSessions
        /// Nothing before the source has begun to tell.
        var bars: LiveBars?
        var hole: Hole?
        var refusal: String?
        /// What is watched of it.
        var grids: [(seconds: Int, grid: any BarGrid)] = []
        /// Bars that began earlier are not whole.
        var beganAt = Int64.min

        var channel: Int { subscription.barSeconds ?? 0 }
        var length: Int64 { Int64(subscription.series.intervalSeconds) * 1_000_000 }
    }

    nonisolated let parts: Parts
    private nonisolated let loop: EventLoop
    nonisolated let logger = Logger("live-feed")
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    var clock: LiveClock
    var channels: [Int: Channel] = [:]
    var subjects: [InstrumentID: Subject] = [:]
    /// Instruments by channel and the source's symbol.
    var bySymbol: [Int: [String: InstrumentID]] = [:]
    var closes = WatchedCloses()
    /// Where to go on, as the database has it.
    private var closedThrough: [InstrumentID: (SeriesKey, Int64)] = [:]
    /// How far machines had closed that are gone. What they closed last may be on its way to the database still, and be closed again by whoever goes by that.
    private var closedByDropped: [InstrumentID: [SeriesKey: Int64]] = [:]
    /// Holes that an earlier session left open.
    var inherited: [InstrumentID: [LiveHole]] = [:]
    /// What the database's clock showed, and when by the monotonic one.
    private var databaseClock: (now: Int64, monotonic: UInt64)?
    /// Streams that do not run yet.
    private var channelsToStart: [Int] = []
    var holesToOpen: [LiveHole] = []
    var holesToSettle: [(id: UUID, state: LiveHole.State)] = []
    let pokes = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    nonisolated var sourceID: String { parts.source.description.id }

    init(_ parts: Parts, loop: EventLoop) {
        self.parts = parts
        self.loop = loop
        clock = LiveClock(wall: parts.time.now().microseconds, monotonicNanoseconds: parts.time.monotonicNanoseconds())
    }

    /// How often what is over is closed.
    static let pace = Duration.milliseconds(20)
    /// Subscriptions and watches are noticed within it.
    static let pulse = Duration.seconds(1)

    /// Runs until the lease is lost, something fails for good, or the task is cancelled.
    func run() async throws {
        for due in try await parts.live.announcementsDue(feed: sourceID) {
            closes.setDue(WatchedCloses.Close(intervalSeconds: due.intervalSeconds, at: due.closeAt.microseconds))
        }
        inherited = Dictionary(grouping: try await parts.live.holes(feed: sourceID), by: \.instrumentID)
        try await withThrowingDiscardingTaskGroup { group in
            group.addTask { try await self.keepLease() }
            group.addTask { try await self.keepStepping() }
            group.addTask { try await self.keepAnnouncing() }
            group.addTask { try await self.keepRepairing() }
            pokes.continuation.yield()
            // What fails in a task of the group ends the others, and not this one.
            while !group.isCancelled {
                for key in try await refresh() {
                    guard let stream = channels[key]?.stream else { continue }
                    group.addTask { await stream.run() }
                    group.addTask { for await event in stream.events { await self.take(event, of: key) } }
                }
                try await parts.time.sleep(for: Self.pulse)
                pokes.continuation.yield()
            }
        }
    }

    private func keepLease() async throws {
        var heldAt = parts.time.monotonicNanoseconds()
        while true {
            try await parts.time.sleep(for: Self.pulse)
            let asked = parts.time.monotonicNanoseconds()
            do {
                guard try await parts.live.claim(feed: sourceID, runner: parts.runner, leaseSeconds: LiveFeed.leaseSeconds) else { throw LeaseLost() }
                heldAt = asked
            } catch let error as LeaseLost {
                throw error
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                // Without an answer the lease runs out: by then somebody else may have it.
                guard asked &- heldAt < UInt64(LiveFeed.leaseSeconds) * 1_000_000_000 else { throw LeaseLost() }
            }
        }
    }

    // MARK: Subscriptions

    /// Looks again what is subscribed and watched; gives the channels that are new.
    private func refresh() async throws -> [Int] {
        let found: (now: Timestamp, subscriptions: [LiveSubscriptionStore.Watched])
        let asked = parts.time.monotonicNanoseconds()
        do { found = try await parts.subscriptions.watched(of: sourceID) } catch let error where !(error is CancellationError) {
            // The lease says for how long it goes on without.
            logger.warning("subscriptions could not be read", ["source": .string(sourceID), "error": .string("\(error)")])
            return []
        }
        databaseClock = (found.now.microseconds, asked)
        let wanted = Dictionary(uniqueKeysWithValues: found.subscriptions.map { ($0.subscription.instrumentID, $0) })
        do { try await take(wanted) } catch let error where !(error is CancellationError) {
            logger.warning("an instrument could not be made live yet", ["source": .string(sourceID), "error": .string("\(error)")])
        }
        try await noteStates()
        defer { channelsToStart = [] }
        return channelsToStart
    }

    /// Takes up what is wanted and new, and drops what is wanted no more.
    private func take(_ wanted: [InstrumentID: LiveSubscriptionStore.Watched]) async throws {
        for (id, subject) in subjects where wanted[id]?.subscription.changedAt != subject.subscription.changedAt { await drop(id, subject) }
        if wanted.keys.contains(where: { subjects[$0] == nil }) { closedThrough = try await parts.live.closedThrough(feed: sourceID) }
        for (id, left) in inherited where wanted[id] == nil {
            // Nobody asks for what it missed any more.
            holesToSettle += left.map { ($0.id, .lost) }
            inherited[id] = nil
        }
        for (id, one) in wanted {
            if subjects[id] == nil { try await add(one.subscription) }
            try await watch(id, one.intervals)
            if let subject = subjects[id], subject.bars == nil, channels[subject.channel]?.isUp == true { begin(id) }
        }
    }

    /// Takes an instrument up.
    private func add(_ subscription: LiveSubscription) async throws {
        let id = subscription.instrumentID
        guard let instrument = try await parts.store.instrument(id: id) else { return }
        let calendar = try await parts.calendars.calendar(named: instrument.calendar)
        var subject = Subject(
            subscription: subscription,
            instrument: instrument,
            calendar: calendar,
            sessions: LiveSessions(try TradingClock(calendar))
        )
        let key = subject.channel
        do {
            if channels[key] == nil {
                channels[key] = Channel(stream: try parts.source.stream(subscription.stream))
                channelsToStart.append(key)
            }
            try await channels[key]?.stream.watch(subscription.sourceSymbol)
        } catch {
            subject.refusal = "\(error)"
        }
        subjects[id] = subject
        bySymbol[key, default: [:]][subscription.sourceSymbol] = id
    }

    private func drop(_ id: InstrumentID, _ subject: Subject) async {
        // The machine as it is now: others of the same round may have been waited for.
        if let through = (subjects[id] ?? subject).bars?.closedThrough { closedByDropped[id, default: [:]][subject.subscription.series] = through }
        subjects[id] = nil
        bySymbol[subject.channel]?[subject.subscription.sourceSymbol] = nil
        closes.remove(id)
        // What is still open of it nobody asks for any more.
        for record in subject.hole?.records ?? [] { holesToSettle.append((record, .lost)) }
        await channels[subject.channel]?.stream.unwatch(subject.subscription.sourceSymbol)
    }

    /// Sets what is watched of an instrument. An interval that no stored one divides never closes.
    private func watch(_ id: InstrumentID, _ intervals: [Int]) async throws {
        guard let subject = subjects[id], subject.grids.map(\.seconds) != intervals else { return }
        var grids: [(seconds: Int, grid: any BarGrid)] = []
        for seconds in intervals {
            if let known = subject.grids.first(where: { $0.seconds == seconds }) {
                grids.append(known)
                continue
            }
            do {
                let plan = try await parts.reader.plan(for: subject.instrument, interval: BarInterval(seconds: seconds), asOf: .max)
                grids.append((seconds, plan.grid))
            } catch is MarketdataError {}
        }
        guard let subject = subjects[id], subject.grids.map(\.seconds) != grids.map(\.seconds) else { return }
        subjects[id]?.grids = grids
        if subject.bars != nil, subject.refusal == nil { closes.watch(id, grids, beganAt: subject.beganAt) }
    }

    /// Begins to close an instrument's bars: where they were closed last, or with the next full minute if they never were.
    func begin(_ id: InstrumentID) {
        guard var subject = subjects[id], subject.bars == nil, subject.refusal == nil else { return }
        let rules = parts.settings.rules(of: sourceID, lengthMicroseconds: subject.length)
        let now = Self.ceiling(clock.present, subject.length)
        if let through = alreadyClosed(id, subject.subscription.series) {
            var bars = LiveBars(rules: rules, sessions: subject.sessions, closedThrough: through)
            // Nobody saw what happened since; where no session was open nothing did.
            if through < now, subject.sessions.isOpen(in: through..<now) {
                bars.hold(from: through)
                subject.hole = Hole(from: bars.closedThrough, to: now, reason: "the feed did not run", endedAt: parts.time.monotonicNanoseconds())
            }
            subject.bars = bars
        } else {
            // Bars of a minute are whole from the first on.
            let begin = Self.ceiling(clock.present, max(subject.length, 60_000_000))
            subject.bars = LiveBars(rules: rules, sessions: subject.sessions, closedThrough: begin)
            subject.beganAt = begin
        }
        subjects[id] = subject
        closes.watch(id, subject.grids, beganAt: subject.beganAt)
        inherit(id)
    }

    /// Up to where a series is closed, by the database or by a machine of this session, whichever got further.
    private func alreadyClosed(_ id: InstrumentID, _ series: SeriesKey) -> Int64? {
        let recorded = closedThrough[id].flatMap { $0.0 == series ? $0.1 : nil }
        return [recorded, closedByDropped[id]?[series]].compactMap { $0 }.max()
    }

    /// Says of each subscription how it stands, where that is news.
    private func noteStates() async throws {
        var lag: Int64 = 0
        for (id, subject) in subjects {
            let channel = channels[subject.channel]
            let (state, detail): (LiveSubscription.State, String) =
                if let refusal = subject.refusal {
                    (.refused, refusal)
                } else if channel?.isUp == true {
                    (.live, "")
                } else {
                    (.away, channel?.detail ?? "")
                }
            if let bars = subject.bars, subject.refusal == nil, subjects[id]?.sessions.isOpen(in: clock.present - 1..<clock.present) == true {
                lag = max(lag, clock.present - bars.closedThrough)
            }
            guard state != subject.subscription.state || detail != subject.subscription.stateDetail else { continue }
            do { try await parts.subscriptions.note(state, detail, of: subject.subscription) } catch let error where !(error is CancellationError) {
                continue
            }
            subjects[id]?.subscription.state = state
            subjects[id]?.subscription.stateDetail = detail
        }
        parts.metrics.lag.set(Double(lag) / 1_000_000)
    }

    // MARK: Time

    /// Looks at the clocks. What lies in a jump forward nobody watched.
    func lookAtClocks() {
        let jump = clock.read(wall: parts.time.now().microseconds, monotonicNanoseconds: parts.time.monotonicNanoseconds())
        guard let jump else { return }
        parts.metrics.clockJumps.increment()
        logger.warning(
            "the clock was set",
            ["source": .string(sourceID), "by_seconds": .number(Double(jump.to - jump.from) / 1_000_000)]
        )
        guard jump.to > jump.from else { return }
        for key in channels.keys {
            miss(of: key, since: jump.from, "the clock was set forward, or the machine slept")
            if channels[key]?.isUp == true { seeAgain(key) }
        }
    }

    /// What ends later cannot be over: the database's clock, which stamps what is known, has not come so far.
    var latestEnd: Int64 { databaseClock == nil ? .min : databaseNow + 5_000_000 }

    /// What the database's clock shows; the epoch before it was asked.
    var databaseNow: Int64 {
        guard let databaseClock else { return 0 }
        let elapsed = parts.time.monotonicNanoseconds() &- databaseClock.monotonic
        return databaseClock.now + Int64(clamping: elapsed / 1_000)
    }

    static func ceiling(_ instant: Int64, _ length: Int64) -> Int64 { floorDivide(instant + length - 1, length) * length }
}
