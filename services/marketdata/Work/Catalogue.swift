import Bars
import Contracts
import ServiceRuntime

/// Says what there is: datasets by name, the coverage of a series, calendars.
struct Catalogue: Sendable {
    let store: any MarketdataStore
    let cpu: CPUPool
    let time: any TimeSource

    // MARK: Datasets

    /// A dataset as it was known at a moment, now unless told: the days that hold a bar known then, the last of them cut short there.
    func dataset(_ name: DatasetName, asOf: Timestamp?) async throws -> Dataset {
        try await withNewLooks { try await datasetOnce(name, asOf: asOf) }
    }

    private func datasetOnce(_ name: DatasetName, asOf: Timestamp?) async throws -> Dataset {
        guard let instrument = try await store.instrument(symbol: name.symbol), instrument.assetClass == name.assetClass else {
            throw MarketdataError.unknownDataset(name.text)
        }
        var request = BarRequest(symbol: name.symbol, interval: name.interval)
        request.asOf = asOf
        let view = try await KnowledgeView.of(instrument, request: request, store: store, now: time.now())
        let source = view.source.id
        var days = try await store.datasetDays(of: source, name.series, days: nil, recordedBy: view.recordedBy, knownBy: view.cut)
        // Each row of a live day has a moment of its own.
        let told = try await live(of: source, name.series, days: nil, view: view, symbol: name.symbol)
        days.removeAll { told[$0.day] != nil }
        // What of a day came after the moment must not show, not even as a number of rows.
        let cut = days.filter { $0.lastEnd > view.cut }
        if !cut.isEmpty {
            let keys = cut.map { ChunkKey(instrumentID: source, series: name.series, day: $0.day, revision: $0.revision) }
            let chunks = try await store.chunks(keys)
            let moment = view.cut
            days = try await cpu.run { [days] in
                try days.compactMap { day in
                    guard day.lastEnd > moment else { return day }
                    let key = ChunkKey(instrumentID: source, series: name.series, day: day.day, revision: day.revision)
                    let known = PointInTime.known(try StoredDay(key, in: chunks, of: name.symbol).bars, asOf: moment)
                    guard let first = known.starts.first, let last = known.ends.last else { return nil }
                    var short = day
                    (short.rows, short.bytes, short.firstStart, short.lastEnd) = (known.count, 0, first, last)
                    return short
                }
            }
        }
        if !told.isEmpty { days = (days + told.values.compactMap { $0?.day }).sorted { $0.day < $1.day } }
        // A name of something that nobody has stored is no dataset, at any moment.
        if days.isEmpty, try await !store.series(of: source).contains(where: { $0.key == name.series }) {
            throw MarketdataError.unknownDataset(name.text)
        }
        return try await cpu.run { [days] in Dataset(name, instrument, source: source, days: days) }
    }

    /// A live day as it was known, with its bars.
    private typealias ToldDay = (key: ChunkKey, day: DatasetDay, bars: BarSeries)

    /// The days of a series of which a feed has told something, without those of which all that is stored was known; nothing for one of which nothing was.
    private func live(
        of source: InstrumentID,
        _ series: SeriesKey,
        days: ClosedRange<CivilDay>?,
        view: KnowledgeView?,
        symbol: String
    ) async throws -> [CivilDay: ToldDay?] {
        let all = try await store.liveDays(of: source, series).filter { days?.contains($0) ?? true }
        var found: [CivilDay: ToldDay?] = Dictionary(uniqueKeysWithValues: all.map { ($0, nil) })
        let (recordedBy, cut) = (view?.recordedBy ?? .max, view?.cut ?? .max)
        var at = 0
        while at < all.count {
            let part = all[at..<min(at + 32, all.count)]
            at += part.count
            guard let first = part.first, let last = part.last else { continue }
            let query = ChunkQuery(instrumentID: source, series: [series], days: first...last, recordedBy: recordedBy, knownBy: cut)
            var infos = try await store.chunkInfos(query).filter { part.contains($0.key.day) }
            for info in infos where info.isWhole(recordedBy: recordedBy, cut: cut) { found.removeValue(forKey: info.key.day) }
            infos.removeAll { $0.isWhole(recordedBy: recordedBy, cut: cut) }
            let chunks = try await store.chunks(infos.filter(\.isStored).map(\.key))
            let told = try await cpu.run { [infos] in
                try infos.map { info -> ToldDay? in
                    let known = try info.known(in: chunks, of: symbol, recordedBy: recordedBy, cut: cut)
                    guard known.rows > 0 else { return nil }
                    let bars = known.bars
                    let day = DatasetDay(
                        day: info.key.day,
                        revision: info.key.revision,
                        edition: info.edition + known.revisions,
                        rows: known.rows,
                        bytes: 0,
                        firstStart: bars.starts.first ?? info.coverage.lowerBound,
                        lastEnd: bars.ends.last ?? min(info.coverage.upperBound, cut)
                    )
                    return (info.key, day, bars)
                }
            }
            for case let one? in told { found[one.day.day] = one }
        }
        return found
    }

    // MARK: Coverage

    /// Which series' coverage somebody asks for, and of which days.
    struct CoverageQuery: Sendable {
        var symbol: String
        var interval: BarInterval?
        var price: PriceSide?
        var session = SessionKind.regular
        /// Both days included.
        var first: CivilDay?
        var last: CivilDay?
    }

    /// So many days are answered at once.
    static let maximumDays = 366

    /// What of a series is there, day by day; the latest month of it unless told. The vendor's days go before ours.
    func coverage(_ query: CoverageQuery) async throws -> Coverage {
        try await withNewLooks { try await coverageOnce(query) }
    }

    private func coverageOnce(_ query: CoverageQuery) async throws -> Coverage {
        guard let found = try await store.description(of: query.symbol) else { throw MarketdataError.unknownInstrument(query.symbol) }
        let instrument = found.instrument
        let (intervalSeconds, side) = try Self.choose(query, found)
        let all = found.series.filter { $0.key.intervalSeconds == intervalSeconds && $0.key.side == side }
        guard let firstStored = all.map(\.firstDay).min(), let lastStored = all.map(\.lastDay).max() else {
            throw MarketdataError.priceNotAvailable(side.rawValue)
        }
        let latest = query.first.map { min(max(lastStored, $0), $0 + (Self.maximumDays - 1)) } ?? lastStored
        let last = query.last ?? latest
        let first = query.first ?? last + -29
        guard first <= last, last.number - first.number < Self.maximumDays else {
            throw MarketdataError.invalid(
                field: "end",
                code: "invalid_parameter",
                detail: "A day that is not before start and at most \(Self.maximumDays - 1) days after it would be right."
            )
        }
        let source = instrument.replayOf ?? instrument.id
        var days: [CivilDay: (key: ChunkKey, day: DatasetDay)] = [:]
        for series in all.map(\.key).sorted(by: { $0.origin == .derived && $1.origin == .imported }) {
            for day in try await store.datasetDays(of: source, series, days: first...last, recordedBy: .max, knownBy: .max) {
                days[day.day] = (ChunkKey(instrumentID: source, series: series, day: day.day, revision: day.revision), day)
            }
        }
        var told: [CivilDay: BarSeries] = [:]
        for series in all.map(\.key).sorted(by: { $0.origin == .derived && $1.origin == .imported }) {
            let live = try await live(of: source, series, days: first...last, view: nil, symbol: instrument.symbol)
            for case (let day, let one?) in live where days[day].map({ $0.key.series == series || series.origin == .imported }) ?? true {
                days[day] = (one.key, one.day)
                told[day] = one.bars
            }
        }
        let slots = try await slots(of: days.values.filter { told[$0.day.day] == nil }.map(\.key), symbol: found.instrument.symbol)
        guard let calendar = try await store.calendar(named: instrument.calendar) ?? CalendarCatalogue.all[instrument.calendar] else {
            throw MarketdataError.unknownCalendar(instrument.calendar)
        }
        return try await cpu.run { [days, told] in
            let shape = DaySlots(intervalSeconds: intervalSeconds)
            let expected = try ExpectedSlots(
                calendar: calendar,
                kind: query.session,
                intervalSeconds: intervalSeconds,
                starts: days.values.map(\.day.firstStart)
            )
            return Coverage(
                instrument: instrument,
                interval: BarInterval(seconds: intervalSeconds),
                price: side,
                session: query.session,
                slots: shape,
                days: (first.number...last.number).map { number in
                    let day = CivilDay(number: number)
                    let stored = days[day]
                    let bits = told[day].map { shape.bits(of: $0.starts, day: day) } ?? stored.flatMap { slots[$0.key] } ?? shape.none
                    let ranges = expected.ranges(on: day)
                    return Coverage.Day(
                        day: day,
                        rows: stored?.day.rows ?? 0,
                        firstStart: stored?.day.firstStart,
                        lastEnd: stored?.day.lastEnd,
                        bits: bits,
                        expected: ranges,
                        missing: ranges.reduce(0) { $0 + $1.count { !DaySlots.isSet($0, in: bits) } }
                    )
                },
                stored: firstStored...lastStored
            )
        }
    }

    /// The stored series that is meant: the shortest bars of the usual price unless told.
    private static func choose(_ query: CoverageQuery, _ found: InstrumentDescription) throws -> (intervalSeconds: Int, side: PriceSide) {
        guard let shortest = found.series.map(\.key.intervalSeconds).min() else { throw MarketdataError.priceNotAvailable("stored") }
        let base = found.instrument.baseIntervalSeconds ?? shortest
        let interval = query.interval?.seconds ?? base
        let sides = Set(found.series.filter { $0.key.intervalSeconds == interval }.map(\.key.side))
        guard !sides.isEmpty else {
            let stored = Set(found.series.map(\.key.intervalSeconds)).sorted().map { BarInterval(seconds: $0).text }
            throw MarketdataError.invalid(
                field: "interval",
                code: "interval_not_available",
                detail: "A stored interval, \(stored.joined(separator: ", ")), would be right."
            )
        }
        guard let price = query.price ?? [.trade, .mid, .bid, .ask].first(where: sides.contains), sides.contains(price) else {
            throw MarketdataError.priceNotAvailable(query.price?.rawValue ?? "stored")
        }
        return (interval, price)
    }

    /// The slots of stored days. Those that were stored before slots were are read once, a few at a time, and remembered.
    private func slots(of keys: [ChunkKey], symbol: String) async throws -> [ChunkKey: [UInt8]] {
        if keys.isEmpty { return [:] }
        var found = try await store.slots(of: keys)
        let missing = keys.filter { found[$0] == nil }.sorted { $0.day < $1.day }
        var at = 0
        while at < missing.count {
            let part = Array(missing[at..<min(at + 32, missing.count)])
            at += part.count
            let chunks = try await store.chunks(part)
            let made = try await cpu.run {
                var made: [ChunkKey: [UInt8]] = [:]
                for key in part {
                    made[key] = DaySlots(intervalSeconds: key.series.intervalSeconds).bits(
                        of: try StoredDay(key, in: chunks, of: symbol).bars.starts,
                        day: key.day
                    )
                }
                return made
            }
            try await store.save(made)
            found.merge(made) { $1 }
        }
        return found
    }

    // MARK: Calendars

    /// Saved and built-in calendars in order of name, those after one; a saved one hides the built-in one of its name.
    func calendars(after name: String?, limit: Int) async throws -> [ExchangeCalendar] {
        let saved = try await store.calendars(after: name, limit: limit)
        let known = Set(saved.map(\.name))
        let built = CalendarCatalogue.all.values.filter { $0.name > name ?? "" && !known.contains($0.name) }
        return Array((saved + built).sorted { $0.name < $1.name }.prefix(limit))
    }

    func calendar(named name: String) async throws -> ExchangeCalendar {
        guard let found = try await store.calendar(named: name) ?? CalendarCatalogue.all[name] else { throw MarketdataError.unknownCalendar(name) }
        return found
    }
}
