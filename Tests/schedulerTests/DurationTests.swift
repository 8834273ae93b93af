import Contracts
import ServiceRuntime
import TestSupport
import Testing

@testable import scheduler

/// How long a job will probably run, from how long those like it took.
struct DurationTests {
    /// A generator of one's own, so that a test means the same each time.
    private struct Noise {
        var state: UInt64

        /// From 0 to 1.
        mutating func next() -> Double {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Double(state >> 33) / Double(1 << 31)
        }

        /// Around 1, by ±`spread` of the logarithm mostly.
        mutating func factor(_ spread: Double) -> Double {
            let sum = (0..<12).reduce(0.0) { total, _ in total + next() } - 6
            return max(0.05, 1 + spread * sum)
        }
    }

    private func spec(bars: Int, signal: SignalID? = nil) -> JSONValue {
        var members: [String: JSONValue] = ["manifest": ["inputs": [["lookback": .integer(Int64(bars))]]]]
        if let signal { members["signal_id"] = .string(signal.description) }
        return .object(members)
    }

    @Test func afterFiftyJobsFourOfFiveEstimatesAreWithinAFactorOfTwo() {
        var noise = Noise(state: 7)
        var model = DurationModel()
        let signals = (0..<5).map { _ in SignalID.make() }
        func job() -> (key: DurationKey, seconds: Double) {
            // Each signal has a pace of its own; time is a fixed part and one for each bar; one job of twenty hangs.
            let which = Int(noise.next() * 4.999)
            let bars = 100 + noise.next() * 1_900
            let seconds = (0.2 + bars * 0.001 * Double(which + 1)) * noise.factor(0.25) * (noise.next() < 0.05 ? 10 : 1)
            return (DurationKey(kind: .signalRun, spec: spec(bars: Int(bars), signal: signals[which])), seconds)
        }
        for _ in 0..<50 {
            let (key, seconds) = job()
            model.add(seconds, of: key)
        }
        var within = 0
        for _ in 0..<1_000 {
            let (key, seconds) = job()
            guard let estimate = model.estimate(key) else { continue }
            if estimate <= seconds * 2 && seconds <= estimate * 2 { within += 1 }
            model.add(seconds, of: key)
        }
        #expect(within >= 800, "\(within) of 1000")
    }

    @Test func nothingIsSaidOfWhatIsNotKnown() {
        var model = DurationModel()
        let key = DurationKey(kind: .backtest, spec: ["size": 1_000])
        model.add(3, of: key)
        model.add(3, of: key)
        #expect(model.estimate(key) == nil)
        model.add(5, of: key)
        #expect(model.estimate(key) == 3)
        #expect(model.estimate(DurationKey(kind: .training, spec: ["size": 1_000])) == nil)
        // Twice the size takes twice the time, as long as nothing better is known.
        #expect(model.estimate(DurationKey(kind: .backtest, spec: ["size": 2_000])) == 6)
    }

    @Test func sizesAreMeasuredByKind() {
        #expect(JobSize.measure(kind: .dryRun, spec: spec(bars: 300)) == 300)
        #expect(JobSize.measure(kind: .tableConversion, spec: ["bytes": 4_096]) == 4_096)
        #expect(JobSize.measure(kind: .resampleAll, spec: ["start": "2016-10-01T00:00:00Z", "end": "2016-10-11T00:00:00Z"]) == 10)
        #expect(JobSize.measure(kind: .backtest, spec: ["size": 12]) == 12)
        for odd: JSONValue in [[:], ["size": "x"], ["size": -4], ["size": .number(JSONNumber("1e999")!)], 5, ["manifest": 3]] {
            for kind in [JobKind.signalRun, .tableConversion, .resampleAll, .noop] { #expect(JobSize.measure(kind: kind, spec: odd) >= 1) }
        }
        #expect(JobSize.bucket(kind: .noop, spec: [:]) == 0 && JobSize.bucket(kind: .tableConversion, spec: ["bytes": 4_096]) == 12)
    }

    @Test(.enabled(if: TestServers.hasPostgres)) func whatOneReplicaSawAnotherEstimatesFrom() async throws {
        try await withPostgresStore { plain, _ in
            func book() -> DurationBook {
                DurationBook(store: DurationStore(pool: plain.pool), time: SystemTimeSource(), loop: TestLoop.shared)
            }
            let (here, there) = (book(), book())
            let store = PostgresSchedulerStore(
                pool: plain.pool,
                outbox: plain.outbox,
                news: JobNews(ended: { here.note($0) }, estimate: { there.estimate($0) })
            )
            let jobs = (0..<5).map { Fixture.job("job \($0)", spec: ["size": 100]) }
            _ = try await store.insert(jobs)
            #expect(try await store.job(jobs[0].id)?.estimatedSeconds == nil)
            let claimed = try await store.claim(Fixture.claim())
            _ = try await store.finish(try claimed.map { try Fixture.finished($0) })
            try await here.round()
            try await there.round()
            let next = Fixture.job("next", spec: ["size": 100])
            _ = try await store.insert([next])
            let estimated = try #require(try await store.job(next.id)?.estimatedSeconds)
            let took = try await store.jobs(JobFilter(accountID: Fixture.account, state: .completed, limit: 10)).compactMap(\.tellingSeconds).sorted()
            #expect(took.count == 5 && estimated == took[2])
            // In one transaction with other things as well.
            let run = Fixture.job("run", spec: ["size": 100])
            _ = try await store.transaction { try await $0.insert([run]) }
            #expect(try await store.job(run.id)?.estimatedSeconds == estimated)
        }
    }
}
