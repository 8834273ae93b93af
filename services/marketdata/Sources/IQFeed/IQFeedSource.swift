import Bars
import Contracts
import ServiceRuntime

/// DTN IQFeed: history by its lookup port, level 1 and bars as they happen, all by way of DTN's client program.
struct IQFeedSource: StreamingSource, Component {
    let name = "iqfeed"

    static func description(requestsPerSecond: Int?, sockets: Int?) -> SourceDescription {
        SourceDescription(
            id: "iqfeed",
            name: "DTN IQFeed",
            licence: "DTN's, under the subscriber's own agreement with DTN and the exchanges: for the subscriber's use, not to be passed on.",
            assetClasses: [.equity, .future, .forex, .index],
            intervals: ["tick", "1s", "1d", "1w", "1M"],
            streams: true,
            limits: SourceDescription.Limits(
                requestsPerSecond: requestsPerSecond,
                concurrentRequests: sockets,
                fineHistoryDays: reachDays,
                notes: [
                    "bars of 1 to 300 s, of whole minutes up to an hour, of two hours; days, weeks and months",
                    "ticks and bars that are not whole minutes reach back \(reachDays) days; minutes some years, days decades",
                    "during market hours the vendor may give fewer days of ticks",
                ]
            )
        )
    }

    /// How far ticks and bars that are not whole minutes reach back.
    static let reachDays = 180
    /// What ended so short a time ago may still get a tick.
    static let settling = Duration.seconds(5)

    let description: SourceDescription
    let lookup: IQFeedLookup
    let connector: IQFeedConnector
    let cpu: CPUPool
    private let clock: IQFeedClock
    private var time: any TimeSource { connector.time }

    init(connector: IQFeedConnector, limits: IQFeedLookupLimits = IQFeedLookupLimits(), lookup: IQFeedLookup? = nil, cpu: CPUPool) throws {
        description = Self.description(requestsPerSecond: limits.requestsPerSecond, sockets: limits.sockets)
        self.connector = connector
        self.lookup = lookup ?? IQFeedLookup(connector: connector, limits: limits)
        self.cpu = cpu
        clock = try IQFeedClock()
    }

    /// Nothing is connected before somebody asks.
    func start() async throws {}

    func stop() async { await lookup.stop() }

    func health() async -> SourceHealth {
        let record = await lookup.currentRecord()
        let isFailing = record.lastFailureAt.map { failedAt in record.lastAnswerAt.map { failedAt > $0 } ?? true } ?? false
        let state: SourceHealth.State = isFailing ? .failing : record.lastAnswerAt == nil ? .unused : .healthy
        return SourceHealth(
            state: state,
            detail: isFailing ? record.lastFailure ?? "" : "\(record.openSockets) connections, \(record.underWay) requests under way",
            lastAnswerAt: record.lastAnswerAt,
            lastFailureAt: record.lastFailureAt
        )
    }

    func history(_ request: HistoryRequest) async throws -> ImportedFile? {
        let now = time.now()
        let command = try command(for: request, now: now)
        guard let rows = try await lookup.rows(command) else { return nil }
        var options = ImportOptions(symbol: request.instrument, assetClass: request.assetClass, calendar: request.calendar)
        if case .bars(let interval) = request.kind { options.interval = interval }
        let source = ImportSource(name: SourceName(path: "iqfeed"), text: rows, options: options)
        let known = min(request.range.upperBound, now - Self.settling)
        do {
            return try await cpu.run {
                var file = request.kind == .ticks ? try IQFeedReader.readTicks(source) : try IQFeedReader.readBars(source)
                // What was asked decides what a stamp means: it stays with the rows.
                file.notes.append("IQFeed was asked: \(command.line(id: ""))")
                return Self.clip(file, from: request.range.lowerBound, before: request.range.upperBound, known: known)
            }
        } catch let error as ImportError {
            throw SourceError.broken(error.detail)
        } catch is CPUPoolError {
            throw SourceError.busy
        }
    }

    func stream(_ kind: StreamKind) throws -> any SourceStream {
        switch kind {
        case .trades: IQFeedLevel1(connector: connector, clock: clock)
        case .bars(let seconds): try IQFeedBarStream(connector: connector, clock: clock, seconds: seconds)
        }
    }

    /// The command for a question; refuses what IQFeed cannot answer.
    func command(for request: HistoryRequest, now: Timestamp) throws(SourceError) -> IQFeedHistoryCommand {
        let (from, to) = (request.range.lowerBound, min(request.range.upperBound, now))
        guard from < to else { throw .notSupported("a range that has not begun") }
        let between = IQFeedHistoryCommand.Extent.between(clock.stamp(from), clock.stamp(to))
        let reach = Duration.seconds(86_400 * Self.reachDays)
        func checkReach(_ what: String) throws(SourceError) {
            // The vendor would leave the older part out without a word, which would look as if nothing had been traded.
            guard now - from <= reach else { throw .beyondReach("\(what) older than \(Self.reachDays) days") }
        }
        switch request.kind {
        case .ticks:
            try checkReach("ticks")
            return try IQFeedHistoryCommand(symbol: request.symbol, data: .ticks, extent: between)
        case .bars(.seconds(let seconds)):
            if seconds % 60 != 0 { try checkReach("bars of \(seconds) s") }
            return try IQFeedHistoryCommand(symbol: request.symbol, data: .intervals(seconds: seconds), extent: between)
        case .bars(.days(1)):
            // A day may begin on the evening before its date.
            let days = IQFeedHistoryCommand.Extent.between(clock.date(from), clock.date(to, plus: 1))
            return try IQFeedHistoryCommand(symbol: request.symbol, data: .days, extent: days)
        case .bars(.weeks(1)):
            return try IQFeedHistoryCommand(symbol: request.symbol, data: .weeks, extent: .last(periods(since: from, now: now, days: 7)))
        case .bars(.months(1)):
            return try IQFeedHistoryCommand(symbol: request.symbol, data: .months, extent: .last(periods(since: from, now: now, days: 28)))
        case .bars(let interval): throw .notSupported("bars of \(interval.text)")
        }
    }

    /// Weeks and months are asked for by number only: as many as there can have been.
    private func periods(since from: Timestamp, now: Timestamp, days: Int64) -> Int { Int((now.seconds - from.seconds) / (86_400 * days)) + 2 }

    /// The bars that start in the range and were over when they were asked for.
    private static func clip(_ file: ImportedFile, from: Timestamp, before: Timestamp, known: Timestamp) -> ImportedFile? {
        var file = file
        file.series = file.series.compactMap { one in
            let first = one.bars.firstRow(startingFrom: from.microseconds)
            var last = one.bars.firstRow(startingFrom: before.microseconds)
            while last > first, one.bars.ends[last - 1] > known.microseconds { last -= 1 }
            guard first < last else { return nil }
            var kept = one
            kept.bars = one.bars.slice(first..<last)
            let until = min(one.coverage.upperBound, max(known.microseconds, kept.bars.ends[last - first - 1]))
            let since = max(one.coverage.lowerBound, min(from.microseconds, kept.bars.starts[0]))
            kept.coverage = since..<max(since + 1, until)
            return kept
        }
        return file.series.isEmpty && file.problems.isEmpty ? nil : file
    }
}
