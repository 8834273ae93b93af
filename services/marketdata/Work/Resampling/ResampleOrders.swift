import Bars
import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// Orders the other standard intervals of a stretch that a chart was just made of: who looks at one interval often looks at another next.
///
/// It happens behind the answer and fails nobody: without the scheduler, or with too many charts at once, the intervals are made when they are asked for.
final class ResampleOrders: Component {
    /// What became of a chart's stretch.
    enum Outcome: String, CaseIterable {
        /// A job was asked for.
        case ordered
        /// The same was asked for before.
        case known
        /// So few bars that nobody would notice.
        case cheap
        /// Bars may still come: each would be a new set of answers.
        case growing
        /// Too many charts at once.
        case dropped
        /// The scheduler, or the store, did not answer.
        case unavailable
    }

    /// Answers live so long in Redis: after that the same stretch is worth another job.
    static let turnSeconds: Int64 = 3_600
    /// The same stretch is not even looked at again within this.
    static let pause = Duration.seconds(60)
    /// The bars of days that ended longer ago than this are all there. A question reads the day after its end, one for days two.
    static let settledAfter = Duration.seconds(2 * 86_400)
    static let maximumWaiting = 100
    private static let maximumRemembered = 10_000

    private struct Stretch: Hashable {
        let symbol: String
        let start: Timestamp
        let end: Timestamp
    }

    private struct Remembered {
        var lookedAt: Timestamp
        var key: String?
    }

    let name = "resample-orders"
    private let store: any MarketdataStore
    private let jobs: any JobLedger
    private let cpu: CPUPool
    private let time: any TimeSource
    private let loop: EventLoop
    private let minimumRows: Int
    private let (charts, door) = AsyncStream.makeStream(of: ChartRequest.self, bufferingPolicy: .bufferingOldest(ResampleOrders.maximumWaiting))
    private let remembered = Mutex<[Stretch: Remembered]>([:])
    private let work = BackgroundTask()
    private let counters: [Outcome: Counter]

    init(store: any MarketdataStore, jobs: any JobLedger, cpu: CPUPool, time: any TimeSource, loop: EventLoop, minimumRows: Int) {
        self.store = store
        self.jobs = jobs
        self.cpu = cpu
        self.time = time
        self.loop = loop
        self.minimumRows = minimumRows
        counters = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.map { outcome in
                (
                    outcome,
                    Metrics.shared.counter(
                        "marketdata_resample_orders_total",
                        help: "Stretches of charts whose other intervals could be made in advance, by what became of that.",
                        labels: ["outcome": outcome.rawValue]
                    )
                )
            }
        )
    }

    func start() async throws {
        work.start(on: loop) { [self] in
            for await chart in charts { await order(chart) }
        }
    }

    func stop() async {
        door.finish()
        await work.stop()
    }

    /// Takes note of a chart that was made; returns at once.
    func note(_ chart: ChartRequest) {
        let stretch = Stretch(symbol: chart.symbol, start: chart.start, end: chart.end)
        let now = time.now()
        let isNew = remembered.withLock { remembered in
            if let last = remembered[stretch]?.lookedAt, last + Self.pause > now { return false }
            if remembered.count >= Self.maximumRemembered { remembered.removeAll(keepingCapacity: true) }
            remembered[stretch, default: Remembered(lookedAt: now)].lookedAt = now
            return true
        }
        guard isNew else { return count(.known) }
        if case .enqueued = door.yield(chart) { return }
        count(.dropped)
    }

    /// Asks for the job, if it is worth one.
    @discardableResult
    func order(_ chart: ChartRequest) async -> Outcome {
        var outcome: Outcome
        do { outcome = try await decide(chart) } catch {
            Logger("resampling").debug("could not order the intervals of a chart", ["reason": .string("\(error)")])
            outcome = .unavailable
        }
        count(outcome)
        return outcome
    }

    private func decide(_ chart: ChartRequest) async throws -> Outcome {
        guard chart.start < chart.end else { return .cheap }
        let moment = min(chart.asOf, chart.end + .microseconds(-1))
        guard let found = try await store.description(of: chart.symbol, on: .moment(moment)) else { return .cheap }
        let request = BarRequest(symbol: chart.symbol, interval: .days(1), asOf: chart.asOf, start: chart.start, end: chart.end)
        let view = try await KnowledgeView.of(found.instrument, request: request, store: store, now: time.now())
        guard view.cut >= (chart.end + Self.settledAfter).microseconds else { return .growing }
        let series = found.seriesByOwnClock.filter { $0.firstEnd <= view.cut }
        guard let first = series.map(\.firstDay).min(), let last = series.map(\.lastDay).max() else { return .cheap }
        let from = max(first, CivilDay(utcMicroseconds: chart.start.microseconds) + -1)
        let to = min(last, CivilDay(utcMicroseconds: chart.end.microseconds) + 2)
        guard from <= to else { return .cheap }
        let query = ChunkQuery(instrumentID: view.source.id, series: series.map(\.key), days: from...to, recordedBy: view.recordedBy)
        let infos = try await store.chunkInfos(query)
        // Years of days are too much for a loop.
        let days = CivilDay(utcMicroseconds: chart.start.microseconds)...CivilDay(utcMicroseconds: chart.end.microseconds - 1)
        let (rows, mark) = try await cpu.run { (Self.rows(infos.filter { days.contains($0.key.day) }), Self.mark(infos)) }
        guard rows >= minimumRows else { return .cheap }
        let key = Self.key(chart, of: view.source.id, mark, now: time.now())
        let stretch = Stretch(symbol: chart.symbol, start: chart.start, end: chart.end)
        guard remembered.withLock({ $0[stretch]?.key }) != key else { return .known }
        let spec = ResampleAllSpec(instrument: chart.symbol, start: chart.start, end: chart.end, asOf: chart.asOf)
        let receipt = try await jobs.create(
            JobRequest(
                kind: .resampleAll,
                resourceClass: .marketdata,
                accountID: .platform,
                priority: .low,
                spec: try WireJSON.value(of: spec),
                idempotencyKey: key,
                maxAttempts: 2
            )
        )
        remembered.withLock { $0[stretch, default: Remembered(lookedAt: time.now())].key = key }
        return receipt.created ? .ordered : .known
    }

    /// How many bars the longest of the stored series has.
    private static func rows(_ infos: [ChunkInfo]) -> Int {
        var rows: [SeriesKey: Int] = [:]
        for info in infos { rows[info.key.series, default: 0] += info.rows }
        return rows.values.max() ?? 0
    }

    /// Equal for as long as no stored day of the stretch is revised.
    private static func mark(_ infos: [ChunkInfo]) -> SHA256Digest {
        SHA256.digest(utf8: infos.map(\.text).sorted().joined(separator: " "))
    }

    /// The same for whoever looks at the stretch, at whatever interval, on whichever replica, while the answers would still be remembered.
    private static func key(_ chart: ChartRequest, of source: InstrumentID, _ mark: SHA256Digest, now: Timestamp) -> String {
        let text = "\(source) \(chart.symbol) \(chart.start.microseconds) \(chart.end.microseconds) \(mark.hex)"
        return "marketdata:resample_all:\(now.seconds / turnSeconds):\(SHA256.digest(utf8: text).hex)"
    }

    private func count(_ outcome: Outcome) { counters[outcome]?.increment() }
}
