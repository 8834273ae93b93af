import Contracts
import Cryptography
import ServiceRuntime

/// Serves a run the bars that its code asks for besides its inputs: by the same point in time, of the instruments of its manifest, within bounds.
///
/// What it served is part of the run's record, in the order of the questions: an audit asks the same again.
actor BarsGateway: RunGateway {
    /// How often the code of one run may ask.
    static let mostRequests = 100
    /// How much it may be given, in bytes: it stays in the executor's memory until the run lets go of it.
    static let mostBytes = 64 << 20

    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// The years that have bars, in microseconds since 1970.
    private static let years: ClosedRange<Int64> = -11_676_096_000_000_000...13_569_465_600_000_000

    private let inputs: RunInputs
    private let instruments: [String]
    private let asOf: Timestamp
    private let jobToken: String
    private var requests = 0
    /// How much was served, in bytes.
    private(set) var bytes = 0
    /// What was served, in order.
    private(set) var reads: [BarsRead] = []
    /// Why the run cannot go on: a fault of ours.
    private(set) var obstacle: RunObstacle?
    private let cpu: CPUPool
    private let time: any TimeSource
    /// When the question that is being answered came, and how long the code has waited for answers, in nanoseconds.
    private var askedAt: UInt64?
    private var waited: UInt64 = 0

    /// A gateway for one run.
    init(
        inputs: RunInputs,
        manifest: Manifest,
        asOf: Timestamp,
        jobToken: String,
        loop: EventLoop,
        cpu: CPUPool,
        time: any TimeSource = SystemTimeSource()
    ) {
        self.loop = loop
        self.cpu = cpu
        self.time = time
        self.inputs = inputs
        self.asOf = asOf
        self.jobToken = jobToken
        var known: [String] = []
        for symbol in manifest.inputs.map(\.instrument) + [manifest.output.instrument] where !known.contains(symbol) { known.append(symbol) }
        instruments = known
    }

    /// Why a question has no answer.
    private struct Refusal: Error {
        var code: String
        var words: String
    }

    /// Why a run that reached its deadline did not do so by itself: it waited for us, at the end or for a good part of its time. Nil when it did.
    func delay(within wallTime: Duration) -> RunObstacle? {
        let total = waited + (askedAt.map { time.monotonicNanoseconds() - $0 } ?? 0)
        guard askedAt != nil || Duration.nanoseconds(Int64(total)) >= wallTime / Self.patientPart else { return nil }
        return RunObstacle(kind: .infra, reason: "the run waited \(total / 1_000_000) ms for market data and reached the end of its time")
    }

    /// A run that waited for this part of its time is not judged for being slow.
    private static let patientPart = 4

    func answer(_ message: [UInt8]) async -> GatewayAnswer {
        askedAt = time.monotonicNanoseconds()
        // A run that was ended while it waited still counts as waiting.
        let answer = await find(message)
        if case .end = answer { return answer }
        if let askedAt { waited += time.monotonicNanoseconds() - askedAt }
        askedAt = nil
        return answer
    }

    private func find(_ message: [UInt8]) async -> GatewayAnswer {
        requests += 1
        do {
            guard requests <= Self.mostRequests else {
                throw Refusal(code: "too_many_requests", words: "this run has asked for bars \(Self.mostRequests) times, more is not allowed")
            }
            guard bytes < Self.mostBytes else {
                throw Refusal(code: "too_many_bytes", words: "this run has been given \(Self.mostBytes >> 20) MiB of bars, more is not allowed")
            }
            let range = try range(message)
            let (body, digest) = try await inputs.bars(range, asOf: asOf, jobToken: jobToken, patience: RunInputs.patienceDuringRun)
            if range.lookback == nil, body.count >= BarsRange.mostBars {
                throw Refusal(code: "too_many_bars", words: "the range has \(BarsRange.mostBars) bars or more: ask for less at a time")
            }
            let series = InputSeries(instrument: range.instrument, interval: range.interval, bars: body)
            let file = try await InputFrame.make(of: body.bytes.count, on: cpu) { try InputFrame(header: [:], series: [series]) }
            bytes += file.bytes
            reads.append(
                BarsRead(
                    instrument: range.instrument,
                    interval: range.interval,
                    lookback: range.lookback,
                    start: range.start,
                    end: range.end,
                    dataSHA256: digest
                )
            )
            return .bars(file)
        } catch let refusal as Refusal {
            return .refusal(GatewayAnswer.refused(refusal.code, refusal.words))
        } catch let obstacle as RunObstacle where obstacle.isRefusal {
            return .refusal(GatewayAnswer.refused("refused", obstacle.reason))
        } catch is CancellationError {
            return .end
        } catch let failure {
            // Market data is away: told to the code, it could predict something else than it would with an answer.
            obstacle = failure as? RunObstacle ?? RunObstacle(kind: .infra, reason: "bars during the run: \(failure)")
            return .end
        }
    }

    private func range(_ message: [UInt8]) throws -> BarsRange {
        func fail(_ words: String) -> Refusal { Refusal(code: "bad_request", words: words) }
        guard let question = (try? WireJSON.parse(message))?["bars"], let members = question.object else {
            throw fail("the request is not understood: auspex.bars asks for bars")
        }
        guard Set(members.keys).isSubset(of: ["instrument", "interval", "lookback", "start", "end"]) else {
            throw fail("the request has members that nobody knows")
        }
        guard let instrument = members["instrument"]?.string, let interval = members["interval"]?.string, interval.utf8.count <= 16 else {
            throw fail("a request names an instrument and an interval")
        }
        guard instruments.contains(instrument) else {
            let known = instruments.joined(separator: ", ")
            throw Refusal(
                code: "unknown_instrument",
                words: "the manifest does not list '\(instrument.prefix(utf8Bytes: 40))'; this run may read \(known)"
            )
        }
        var range = BarsRange(instrument: instrument, interval: interval)
        func moment(_ name: String) throws -> Timestamp? {
            guard let value = members[name] else { return nil }
            guard let microseconds = value.integer, Self.years.contains(microseconds) else { throw fail("\(name) is not a time from 1600 to 2400") }
            return Timestamp(microseconds: microseconds)
        }
        (range.start, range.end) = (try moment("start"), try moment("end"))
        if let end = range.end, end > asOf {
            throw Refusal(code: "after_as_of", words: "end is \(end.iso8601), but this run knows nothing after \(asOf.iso8601)")
        }
        if let start = range.start {
            guard members["lookback"] == nil else { throw fail("lookback counts back from end: give it or start, not both") }
            guard start < range.end ?? asOf else { throw fail("start does not lie before end, or before the run's point in time") }
        } else {
            let lookback = members["lookback"].map { $0.integer ?? 0 } ?? 500
            guard (1...Int64(BarsRange.mostBars)).contains(lookback) else { throw fail("lookback is a number from 1 to \(BarsRange.mostBars)") }
            range.lookback = Int(lookback)
        }
        return range
    }
}
