import Bars
import Contracts
import Cryptography
import ServiceRuntime

/// Answers every question for bars, live or in a backtest, by the same point-in-time query: the defence against look-ahead.
final class BarReader: Sendable {
    let store: any MarketdataStore
    private let calendars: Calendars
    private let results: any ResultCache
    let cpu: CPUPool
    let time: any TimeSource
    let limits: ReadLimits
    /// Two, so that strangers' long questions hold up neither a run nor the feed of a replay.
    private let gates: [ReadPurpose: ReadGate]
    let chunks: Chunks
    private let flights = SingleFlight<Flight, CachedAnswer>()

    init(
        store: any MarketdataStore,
        calendars: Calendars,
        results: any ResultCache,
        chunkBytes: any ChunkBytesCache = NoChunkBytesCache(),
        cpu: CPUPool,
        time: any TimeSource,
        limits: ReadLimits = ReadLimits()
    ) {
        self.store = store
        chunks = Chunks(store: store, near: chunkBytes, cpu: cpu, maximumBytes: limits.decodedBytes)
        self.calendars = calendars
        self.results = results
        self.cpu = cpu
        self.time = time
        self.limits = limits
        gates = Dictionary(uniqueKeysWithValues: ReadPurpose.allCases.map { ($0, ReadGate(limits: limits, time: time)) })
    }

    /// How many wait for an answer that somebody else is making.
    var followers: Int { flights.followers }
    /// How many heavy reads are under way, and how many wait for their turn.
    func heavyLoad(_ purpose: ReadPurpose = .people) -> (inside: Int, waiting: Int) { gates[purpose]?.load ?? (0, 0) }

    /// The bars, as they were known at the request's moment; `recordedBy` fixes the revisions whatever the moment, as a replay needs it.
    ///
    /// Whoever has the `instrument` gives it: then the request's symbol is not looked up, and nothing depends on who is called so when. What `isAhead` is read
    /// to be remembered for others.
    func read(
        _ request: BarRequest,
        of instrument: Instrument? = nil,
        recordedBy: Timestamp? = nil,
        for purpose: ReadPurpose = .people,
        isAhead: Bool = false
    ) async throws -> BarAnswer {
        try await withNewLooks {
            let now = time.now()
            let found = try await description(request, of: instrument, now: now)
            var subject = try await subject(of: request, found, recordedBy: recordedBy, now: now)
            subject.isOnceOnly = purpose == .platform && !isAhead
            let answer = try await read(request, subject, purpose)
            return request.fillsForward ? try await filled(answer, request, subject, purpose) : answer
        }
    }

    private func description(_ request: BarRequest, of instrument: Instrument?, now: Timestamp) async throws -> InstrumentDescription {
        if let instrument {
            return InstrumentDescription(instrument: instrument, series: try await store.series(of: instrument.replayOf ?? instrument.id))
        }
        // The name is meant at the last moment that the question looks at: FB in 2001 is not FB in 2013.
        let moment = min(request.symbolAt ?? min(request.asOf ?? now, (request.end ?? now) + .microseconds(-1)), now)
        guard let found = try await store.description(of: request.symbol, on: .moment(moment)) else {
            throw MarketdataError.unknownInstrument(request.symbol)
        }
        return found
    }

    /// Looks up all that a question needs besides the stored days.
    func subject(of request: BarRequest, _ found: InstrumentDescription, recordedBy: Timestamp? = nil, now: Timestamp) async throws -> Subject {
        var view = try await KnowledgeView.of(found.instrument, request: request, store: store, now: now)
        if let recordedBy { view.recordedBy = recordedBy.microseconds }
        let calendar = try await calendars.known(found.instrument.calendar)
        var series = found.seriesByOwnClock
        var adjustment: AdjustmentView?
        if request.adjustment != .raw {
            let actions = try await store.actions(of: view.source.id, recordedBy: view.recordedBy)
            adjustment = AdjustmentView(request.adjustment, actions: actions, clock: try TradingClock(calendar.calendar), cut: view.cut)
            series = AdjustmentView.adjustable(series)
        }
        let plan = try BarPlan(request, instrument: view.source, calendar: calendar.calendar, series: series, asOf: view.cut)
        return Subject(
            instrument: found.instrument,
            series: plan.readable(series, asOf: view.cut),
            view: view,
            calendar: calendar,
            plan: plan,
            adjustment: adjustment
        )
    }

    /// What a question is about, looked up.
    struct Subject: Sendable {
        let instrument: Instrument
        /// Those that the answer may be made of.
        let series: [StoredSeries]
        let view: KnowledgeView
        let calendar: KnownCalendar
        let plan: BarPlan
        let adjustment: AdjustmentView?
        /// Asked for a run and not ahead of one: answers of few rows are not looked for in Redis. All signals that are due at one close ask the same, but
        /// to make it anew costs less (a fifteenth for 200 rows, half for 5,000), and who asks while it is made shares it.
        var isOnceOnly = false
    }

    /// The answer about a subject to its question, or to another one about other bars of the same grid.
    func read(_ request: BarRequest, _ subject: Subject, _ purpose: ReadPurpose) async throws -> BarAnswer {
        let (plan, answer) = (subject.plan, try await answer(request, subject, purpose))
        return BarAnswer(
            instrument: subject.instrument,
            interval: request.interval,
            price: plan.price,
            session: plan.session,
            anchor: plan.anchor,
            bars: answer.bars,
            lastIsPartial: answer.lastIsPartial,
            isApproximate: answer.isApproximate,
            nextStart: answer.nextStart,
            dataSHA256: subject.adjustment?.digest(of: answer.dataSHA256, firstStart: answer.bars.starts.first) ?? answer.dataSHA256,
            revision: answer.revision,
            adjustment: request.adjustment,
            through: answer.through
        )
    }

    /// The answer with marked bars in the empty intervals of its sessions.
    private func filled(_ answer: BarAnswer, _ request: BarRequest, _ subject: Subject, _ purpose: ReadPurpose) async throws -> BarAnswer {
        let (view, plan) = (subject.view, subject.plan)
        let filling = ForwardFill(
            grid: plan.grid,
            clock: try TradingClock(subject.calendar.calendar),
            session: plan.session,
            lengthMicroseconds: Int64(request.interval.seconds) * 1_000_000
        )
        let end = request.end?.microseconds ?? .max
        // Where a feed stalls, an interval is not empty but unknown.
        let cut = min(view.cut, answer.through ?? .max)
        var earlier = BarSeries.empty
        var digest = answer.dataSHA256
        if let start = request.start {
            // What stands in the first intervals is the close before them, so that the pages of an answer join without a seam.
            var before = request
            before.start = nil
            before.end = start
            before.countback = 1
            before.limit = 1
            before.partial = false
            let found = try await read(before, subject, purpose)
            earlier = found.bars
            if !earlier.isEmpty { digest = SHA256.digest(Array("\(answer.dataSHA256.hex) after \(found.dataSHA256.hex)".utf8)) }
        }
        let (before, wanted) = (earlier, request.start == nil ? min(request.countback ?? request.limit, request.limit) : request.limit)
        let result = try await cpu.run {
            guard let start = request.start?.microseconds else {
                return filling.backward(answer.bars, end: end, cut: cut, wanted: wanted, lastIsPartial: answer.lastIsPartial)
            }
            return filling.forward(
                answer.bars,
                after: before,
                start: start,
                end: end,
                cut: cut,
                limit: wanted,
                nextStart: answer.nextStart,
                lastIsPartial: answer.lastIsPartial
            )
        }
        var full = answer
        full.lastIsPartial = answer.lastIsPartial && result.bars.ends.last == answer.bars.ends.last
        full.bars = result.bars
        full.isFilled = result.isFilled
        full.nextStart = result.nextStart
        full.dataSHA256 = digest
        return full
    }

    /// The grid of an instrument's bars as they are announced: the same as in an answer without session, anchor and price.
    func plan(for instrument: Instrument, interval: BarInterval, asOf moment: Int64) async throws -> BarPlan {
        let calendar = try await calendars.calendar(named: instrument.calendar)
        return try BarPlan(
            BarRequest(symbol: instrument.symbol, interval: interval),
            instrument: instrument,
            calendar: calendar,
            series: try await store.series(of: instrument.id),
            asOf: moment
        )
    }

    private func answer(_ request: BarRequest, _ subject: Subject, _ purpose: ReadPurpose) async throws -> CachedAnswer {
        let (view, series) = (subject.view, subject.series)
        guard let window = DayWindow(request, series: series, cut: view.cut) else {
            return CachedAnswer(
                bars: .empty,
                lastIsPartial: false,
                isApproximate: false,
                nextStart: nil,
                dataSHA256: BarAssembly.digest([]),
                revision: 0
            )
        }
        var reading = Reading(
            request: request,
            purpose: purpose,
            plan: subject.plan,
            view: view,
            calendar: subject.calendar.fingerprint,
            series: series.map(\.key),
            firstDays: Dictionary(series.map { ($0.key, $0.firstDay) }) { first, _ in first },
            adjustment: subject.adjustment,
            isOnceOnly: subject.isOnceOnly,
            window: window
        )
        try await lookUp(&reading)
        let first = reading
        let flight = Flight(
            key: first.key,
            symbol: request.symbol,
            asOf: request.asOf,
            recordedBy: view.recordedBy,
            purpose: purpose,
            isOnceOnly: first.isOnceOnly
        )
        return try await flights.value(for: flight) { try await self.make(first) }
    }

    /// Questions that are the same to the end: the key alone says only that they begin with the same chunks.
    private struct Flight: Hashable {
        let key: SHA256Digest
        /// Two replays of one source read the same chunks, each up to its own moment.
        let symbol: String
        let asOf: Timestamp?
        let recordedBy: Int64
        let purpose: ReadPurpose
        let isOnceOnly: Bool
    }

    /// A question on its way to its answer.
    private struct Reading: Sendable {
        let request: BarRequest
        let purpose: ReadPurpose
        let plan: BarPlan
        let view: KnowledgeView
        let calendar: String
        let series: [SeriesKey]
        /// Where they began when the question was taken up.
        let firstDays: [SeriesKey: CivilDay]
        let adjustment: AdjustmentView?
        let isOnceOnly: Bool
        var window: DayWindow
        /// The chunks of the stretch of days that comes next.
        var choices: [DayChoice] = []
        /// All that were looked up so far.
        var infos: [ChunkInfo] = []
        /// How many rows these have.
        var rows = 0
        /// Rows that start here or later were read already.
        var seam = Int64.max
        /// The last look back came no further than the one before.
        var isStuck = false
        /// Under which the answer is remembered if the chunks so far are enough for it.
        var key = BarAssembly.digest([])
        var rowsRead = 0
        var isHeavy = false
    }

    /// Finds out which chunks the next stretch of days is made of.
    private func lookUp(_ reading: inout Reading) async throws {
        let view = reading.view
        let query = ChunkQuery(
            instrumentID: view.source.id,
            series: reading.series,
            days: reading.window.days,
            recordedBy: view.recordedBy,
            knownBy: view.cut
        )
        let infos = try await store.chunkInfos(query)
        if infos.count > limits.lightChunks {
            reading = try await cpu.run { [reading] in Self.chosen(reading, infos) }
        } else {
            reading = Self.chosen(reading, infos)
        }
    }

    private static func chosen(_ before: Reading, _ infos: [ChunkInfo]) -> Reading {
        var reading = before
        reading.choices = reading.plan.choose(from: infos, asOf: reading.view.cut)
        if reading.window.isBackward, !reading.isStuck {
            let likely = reading.window.likelyEnough(reading.choices, interval: reading.plan.interval, cut: reading.view.cut, seam: reading.seam)
            if likely.count < reading.choices.count, let first = likely.first {
                reading.window.begin(at: first.day)
                reading.choices = likely
            }
        }
        reading.infos += reading.choices.flatMap(\.infos)
        reading.rows += reading.choices.reduce(0) { $0 + $1.rows }
        reading.key = AnswerBasis(plan: reading.plan, view: reading.view, calendar: reading.calendar, infos: reading.infos)
            .key(of: reading.request, adjustment: reading.adjustment, isLast: reading.window.isLast)
        return reading
    }

    /// Puts the answer together, a run of days after the other, unless it is remembered.
    private func make(_ first: Reading) async throws -> CachedAnswer {
        var reading = first
        if let known = try await remembered(reading) { return known }
        defer { if reading.isHeavy { gates[reading.purpose]?.leave() } }
        var made: BarAssembly?
        while true {
            let answer = reading.window.isBackward ? try await readBackward(&reading, &made) : try await readForward(&reading, &made)
            if let answer {
                if !isLight(reading), let bytes = try? await cpu.run({ try answer.encoded() }), bytes.count <= 1 << 20 {
                    await results.store(bytes, for: reading.key)
                }
                return answer
            }
            try await lookUp(&reading)
            try await refuseHole(reading)
            if let known = try await remembered(reading) { return known }
        }
    }

    /// Whether the answer takes less time to make than to look for.
    private func isLight(_ reading: Reading) -> Bool {
        reading.isOnceOnly && reading.rows <= limits.lightRows && reading.infos.count <= limits.lightChunks
    }

    /// Works on rows: on the pool, unless they are so few that the way there takes longer.
    private func work<Outcome: Sendable>(for reading: Reading, _ body: @escaping @Sendable () throws -> Outcome) async throws -> Outcome {
        isLight(reading) ? try body() : try await cpu.run(lane: lane(reading.isHeavy), body)
    }

    /// Going forward, days that are removed ahead of what was read would leave a hole that nobody sees: series lose their oldest days first.
    private func refuseHole(_ reading: Reading) async throws {
        if reading.window.isBackward { return }
        let left = Dictionary(try await store.series(of: reading.view.source.id).map { ($0.key, $0.firstDay) }) { first, _ in first }
        for (series, before) in reading.firstDays {
            guard let first = left[series], first <= max(before, reading.window.days.lowerBound) else {
                throw MarketdataError.daysRemoved(instrument: reading.view.source.symbol)
            }
        }
    }

    private func remembered(_ reading: Reading) async throws -> CachedAnswer? {
        guard !isLight(reading), let bytes = await results.value(reading.key) else { return nil }
        return try await cpu.run { CachedAnswer(bytes) }
    }

    /// Reads on from where the last stretch ended, and stops as soon as there are bars enough.
    private func readForward(_ reading: inout Reading, _ made: inout BarAssembly?) async throws -> CachedAnswer? {
        let (request, window) = (reading.request, reading.window)
        try await admit(&reading, window.likelyEnough(reading.choices, interval: reading.plan.interval, cut: reading.view.cut))
        var assembly =
            made ?? BarAssembly(reading.plan, asOf: reading.view.cut, recordedBy: reading.view.recordedBy, adjustment: reading.adjustment?.price)
        let start = request.start?.microseconds ?? .min
        var enough = window.wanted
        for run in limits.runs(of: reading.choices) {
            assembly = try await add(run, to: assembly, &reading)
            let found = assembly.count(from: start)
            guard found > enough else { continue }
            let current = assembly
            let answer = try await work(for: reading) {
                window.cutOut(try current.result(partial: false), request: request, isWhole: false)
            }
            if let answer { return answer }
            // Some gave way to the vendor's: look again when as many more have come.
            enough = found + window.wanted / 8
        }
        guard window.isLast else {
            made = assembly
            reading.window.advance(from: window.days.upperBound + 1)
            return nil
        }
        let current = assembly
        return try await work(for: reading) {
            var whole = current
            whole.finish()
            return window.cutOut(try whole.result(partial: request.partial), request: request, isWhole: true)
        }
    }

    /// Reads the next earlier stretch, from a seam of the grid on, so that each bar is put together in one piece and in order of time.
    private func readBackward(_ reading: inout Reading, _ made: inout BarAssembly?) async throws -> CachedAnswer? {
        let (request, window, later) = (reading.request, reading.window, made)
        try await admit(&reading, reading.choices)
        let seam = window.isLast ? Int64.min : reading.plan.seam(from: window.days.lowerBound)
        reading.isStuck = seam >= reading.seam
        if !reading.isStuck {
            var assembly = BarAssembly(
                reading.plan,
                asOf: reading.view.cut,
                recordedBy: reading.view.recordedBy,
                adjustment: reading.adjustment?.price,
                reach: seam..<reading.seam
            )
            for run in limits.runs(of: reading.choices) { assembly = try await add(run, to: assembly, &reading) }
            let current = assembly
            let (joined, answer) = try await work(for: reading) {
                var whole = current
                whole.finish()
                if let later { whole = later.preceded(by: whole) }
                return (whole, window.cutOut(try whole.result(partial: request.partial), request: request, isWhole: window.isLast))
            }
            if let answer { return answer }
            made = joined
            reading.seam = seam
        }
        reading.window.advance(from: CivilDay(utcMicroseconds: reading.seam - 1))
        return nil
    }

    /// Refuses what costs too much before anything of it is read, and makes what is heavy wait for its turn.
    private func admit(_ reading: inout Reading, _ choices: [DayChoice]) async throws {
        let rows = reading.rowsRead + choices.reduce(0) { $0 + $1.rows }
        guard rows <= limits.baseRows else {
            let likely = choices.reduce(0) { $0 + $1.likelyBars(reading.plan.interval, cut: reading.view.cut) }
            // Three more than asked are looked at, and not all days are alike.
            throw refusal(reading, affordable: Int(likely * Double(limits.baseRows) / Double(rows) * 0.9) - 3)
        }
        if rows > limits.heavyRows, !reading.isHeavy {
            try await gates[reading.purpose]?.enter()
            reading.isHeavy = true
        }
    }

    private func refusal(_ reading: Reading, affordable: Int) -> MarketdataError {
        .tooManyBaseRows(
            interval: reading.request.interval.text,
            asked: reading.window.wanted,
            field: affordable < 1 ? "interval" : reading.window.isBackward ? "countback" : "limit",
            maximumRows: limits.baseRows,
            affordable: affordable
        )
    }

    /// Reads a run of days and puts its bars to the others; the rows themselves are let go.
    private func add(_ run: ArraySlice<DayChoice>, to assembly: BarAssembly, _ reading: inout Reading) async throws -> BarAssembly {
        try Task.checkCancellation()
        let choices = Array(run)
        reading.rowsRead += choices.reduce(0) { $0 + $1.rows }
        guard reading.rowsRead <= limits.baseRows else { throw refusal(reading, affordable: assembly.count(from: .min)) }
        // What was looked up as light turned out to be heavy.
        if reading.rowsRead > limits.heavyRows, !reading.isHeavy {
            try await gates[reading.purpose]?.enter()
            reading.isHeavy = true
        }
        let isHeavy = reading.isHeavy
        let keys = choices.flatMap { $0.infos.filter(\.isStored).map(\.key) }
        let chunks = try await chunks.days(keys, of: reading.view.source.symbol, isScan: isHeavy, lane: lane(isHeavy))
        return try await work(for: reading) {
            var next = assembly
            try next.add(choices, stored: chunks)
            return next
        }
    }

    /// Heavy reads leave a processor to the light ones.
    private func lane(_ isHeavy: Bool) -> CPULane { isHeavy ? Self.heavyLane : .general }
    private static let heavyLane = CPULane(name: "heavy_bars", maximumConcurrent: max(1, CPULane.processors - 1), maximumQueued: 1_024)
}
