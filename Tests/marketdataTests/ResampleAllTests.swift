import Bars
import Contracts
import HTTPServing
import JobWorker
import Postgres
import Redis
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import marketdata

/// Takes down what is ordered, as the scheduler does; can be away.
final class NotedJobs: JobLedger {
    private let state = Mutex<(requests: [JobRequest], isAway: Bool)>(([], false))
    let heard = TestSignal<JobRequest>()

    var requests: [JobRequest] { state.withLock { $0.requests } }
    func set(away: Bool) { state.withLock { $0.isAway = away } }

    func create(_ request: JobRequest) async throws -> JobReceipt {
        let isNew = try state.withLock { state in
            if state.isAway { throw TestSupportError("the scheduler is away") }
            let known = state.requests.first { $0.idempotencyKey == request.idempotencyKey }
            if let known, known.comparedSpec != request.comparedSpec { throw TestSupportError("the key came with another spec") }
            state.requests.append(request)
            return known == nil
        }
        heard.signal(request)
        return JobReceipt(jobID: .make(), created: isNew)
    }
}

/// A job as it is handed out.
private func claimed(_ request: JobRequest, timeLimitSeconds: Int = 600) -> ClaimedJob {
    ClaimedJob(
        jobID: .make(),
        attemptID: .make(),
        attempt: 1,
        kind: request.kind,
        resourceClass: request.resourceClass,
        accountID: request.accountID,
        priority: request.priority,
        spec: request.spec,
        leaseSeconds: 30,
        timeLimitSeconds: timeLimitSeconds,
        jobToken: "",
        enqueuedAt: .now()
    )
}

private func job(_ symbol: String, _ start: String, _ end: String, price: String? = nil) throws -> ClaimedJob {
    let spec = ResampleAllSpec(instrument: symbol, start: at(start), end: at(end), asOf: .now(), price: price)
    return claimed(
        JobRequest(
            kind: .resampleAll,
            resourceClass: .marketdata,
            accountID: .platform,
            spec: try WireJSON.value(of: spec),
            idempotencyKey: "k"
        )
    )
}

private func chart(_ start: String, _ end: String, interval: String = "1m", asOf: Timestamp = .now()) -> ChartRequest {
    ChartRequest(
        id: .make(),
        sessionID: .make(),
        symbol: "BTCUSD",
        interval: interval,
        start: at(start),
        end: at(end),
        asOf: asOf,
        expiresAt: asOf + .seconds(3_600)
    )
}

@Suite("Intervals that are made in advance") struct ResampleAllTests {
    private func orders(
        _ store: any MarketdataStore,
        _ jobs: any JobLedger,
        _ cpu: CPUPool,
        minimumRows: Int = 100,
        time: any TimeSource = SystemTimeSource()
    ) -> ResampleOrders {
        ResampleOrders(store: store, jobs: jobs, cpu: cpu, time: time, loop: TestLoop.shared, minimumRows: minimumRows)
    }

    /// How many orders came to that.
    private func counter(_ outcome: ResampleOrders.Outcome) -> Counter {
        Metrics.shared.counter("marketdata_resample_orders_total", help: "", labels: ["outcome": outcome.rawValue])
    }

    private func withRedis(_ body: (RedisResultCache) async throws -> Void) async throws {
        try await withRedisPrefix { prefix in
            let client = try RedisClient(url: TestServers.redisURL, loops: [TestLoop.shared], role: .cache, commandTimeout: .seconds(60))
            try await client.start()
            do {
                try await eventually("a connection to Redis") { await (try? client.set(prefix + "probe", [1])) == true }
                try await body(RedisResultCache(redis: client, prefix: prefix))
                await client.stop()
            } catch {
                await client.stop()
                throw error
            }
        }
    }

    /// What a chart and `/api/bars` say of each interval, without what differs from one question to the next.
    private func answers(_ doors: ChartDoors, _ intervals: [String]) async throws -> [String: [JSONValue?]] {
        var found: [String: [JSONValue?]] = [:]
        let token = try await doors.token()
        for interval in intervals {
            let chart = try await doors.historical(token, "BTCUSD", interval, "2016-10-08", "2016-10-08")
            let bars = try await doors.client(doors.person)
                .get("/api/bars?instrument=BTCUSD&interval=\(interval)&start=2016-10-08T00:00:00Z&end=2016-10-09T00:00:00Z")
            #expect(chart.status == 200 && bars.status == 200, "\(interval): \(chart.text.prefix(300)) \(bars.text.prefix(300))")
            let (points, rows) = (try chart.json(), try bars.json())
            found[interval] = [points["columns"], points["count"], points["has_more"], rows["bars"], rows["data_sha256"], rows["next_start"]]
        }
        return found
    }

    @Test(
        "After a chart, every standard interval of its stretch is answered from Redis, on another replica and without the bars",
        .enabled(if: TestServers.hasRedis && TestServers.hasPostgres)
    )
    func laterQuestionsNeedNoBars() async throws {
        let intervals = StandardIntervals.all.map(\.text)
        try await withRedis { redis in
            try await withPostgresStore { store, pool, superuser in
                let jobs = NotedJobs()
                let cpu = try CPUPool(threads: 1)
                defer { cpu.stop() }
                let first = try ChartDoors(store, pool, orders: orders(store, jobs, cpu, minimumRows: 17_280))
                // A day of 17,280 rows, so that 5 s has more than a chart shows, and hours on either side of it.
                try await first.bench.take(rows(at: times(from: "2016-10-07T22:00:00Z", to: "2016-10-09T02:00:00Z", every: 5)), as: "BTCUSD.csv")
                let right = try await answers(first, intervals)
                let orders = orders(store, jobs, cpu, minimumRows: 17_280)
                #expect(await orders.order(chart("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")) == .ordered)
                let request = try #require(jobs.requests.last)
                // Done by a replica of its own.
                let worker = ResampleAllHandler(reader: try Bench(store, results: redis).reader, time: SystemTimeSource())
                let result = await worker.run(claimed(request), reporter: .silent)
                #expect(result.outcome == .completed, "\(result.errorMessage ?? "")")
                #expect(result.result?["made"] == .array(intervals.map { .string($0) }))
                #expect(result.result?["left_out"] == .array([]))
                try await superuser.execute("UPDATE chunks SET bytes = 'gone'")
                let other = try ChartDoors(store, pool, results: redis)
                let warm = try await answers(other, intervals)
                for interval in intervals { #expect(warm[interval] == right[interval], "\(interval)") }
                #expect(warm["5s"]?[1] == .integer(5_000) && warm["5s"]?[2] == .bool(true))
                // What nobody made has to be read, and cannot be.
                let cold = try await other.historical(try await other.token(), "BTCUSD", "2m", "2016-10-08", "2016-10-08")
                #expect(cold.problemCode == "damaged_chunk", "\(cold.text.prefix(300))")
            }
        }
    }

    @Test("A chart orders its stretch once, whatever the interval and whoever asks", .enabled(if: TestServers.hasPostgres))
    func aChartOrdersOnce() async throws {
        try await withPostgresStore { store, pool in
            let jobs = NotedJobs()
            let cpu = try CPUPool(threads: 1)
            defer { cpu.stop() }
            let orders = orders(store, jobs, cpu)
            try await orders.start()
            let doors = try ChartDoors(store, pool, orders: orders)
            try await doors.bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            for interval in ["5m", "1h", "5m"] {
                let answer = try await doors.historical(try await doors.token(), "BTCUSD", interval, "2016-10-08", "2016-10-08")
                #expect(answer.status == 200)
            }
            _ = try await doors.historical(try await doors.token(), "BTCUSD", "1m", "2016-10-08", "2016-10-09")
            let requests = [try await jobs.heard.next(), try await jobs.heard.next()]
            #expect(jobs.requests.count == 2)
            #expect(requests.allSatisfy { $0.kind == .resampleAll && $0.resourceClass == .marketdata && $0.priority == .low })
            let spec = try WireJSON.decode(ResampleAllSpec.self, from: requests[0].spec)
            #expect(spec.instrument == "BTCUSD" && spec.start == at("2016-10-08T00:00:00Z") && spec.end == at("2016-10-09T00:00:00Z"))
            #expect(try WireJSON.decode(ResampleAllSpec.self, from: requests[1].spec).end == at("2016-10-10T00:00:00Z"))
            // With the scheduler away a chart is as good as ever, and the order is left out.
            let away = counter(.unavailable)
            let before = away.current
            jobs.set(away: true)
            #expect(try await doors.historical(try await doors.token(), "BTCUSD", "5m", "2016-10-07", "2016-10-08").json()["count"] == .integer(288))
            try await eventually("the order that could not be placed") { away.current > before }
            #expect(jobs.requests.count == 2)
            await orders.stop()
        }
    }

    @Test("It is on unless it is switched off") func settings() throws {
        func read(_ environment: [String: String]) throws -> ResampleSettings {
            var reader = SettingsReader(environment: environment)
            let settings = ResampleSettings(from: &reader)
            try reader.finish()
            return settings
        }
        let usual = try read([:])
        #expect(usual.isOn && usual.minimumRows == 100_000 && usual.slots == 1)
        let other = try read(["AUSPEX_RESAMPLE_ALL": "false", "AUSPEX_RESAMPLE_ALL_ROWS": "5", "AUSPEX_RESAMPLE_ALL_SLOTS": "3"])
        #expect(!other.isOn && other.minimumRows == 5 && other.slots == 3)
    }

    @Test("An order that the scheduler did not take is placed with a later chart, and one it took is not placed twice")
    func withoutTheScheduler() async throws {
        let time = ManualTimeSource(.now())
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
        let jobs = NotedJobs()
        jobs.set(away: true)
        let orders = orders(bench.store, jobs, bench.cpu, time: time)
        let wanted = chart("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")
        #expect(await orders.order(wanted) == .unavailable)
        jobs.set(away: false)
        #expect(await orders.order(wanted) == .ordered)
        #expect(await orders.order(wanted) == .known)
        #expect(jobs.requests.count == 1)
        // When the answers are forgotten, they are worth making again.
        time.advance(by: .seconds(3_600))
        #expect(await orders.order(wanted) == .ordered)
        #expect(jobs.requests.count == 2)
    }

    @Test("The job's key is one of the stretch and its revisions, on every replica")
    func oneKeyForAStretchAndItsRevisions() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
        let time = ManualTimeSource(.now())
        let jobs = NotedJobs()
        func order(_ chart: ChartRequest) async throws -> (outcome: ResampleOrders.Outcome, key: String) {
            // Each time a replica that remembers nothing.
            let outcome = await orders(bench.store, jobs, bench.cpu, time: time).order(chart)
            return (outcome, try #require(jobs.requests.last).idempotencyKey)
        }
        let first = try await order(chart("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z"))
        let other = try await order(chart("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z", interval: "1h", asOf: .now() + .seconds(3)))
        #expect(first.outcome == .ordered && other.outcome == .known && first.key == other.key)
        let longer = try await order(chart("2016-10-08T00:00:00Z", "2016-10-10T00:00:00Z"))
        #expect(longer.outcome == .ordered && longer.key != first.key)
        try await bench.take(minutes(from: "2016-10-08T10:00:00Z", count: 60, first: 9_000), as: "BTCUSD.csv")
        let revised = try await order(chart("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z", asOf: .now() + .seconds(60)))
        #expect(revised.outcome == .ordered && revised.key != first.key)
        #expect(first.key.utf8.count <= 200)
    }

    @Test("What is cheap, still grows, or has no bars is left out")
    func whatIsNotWorthAJob() async throws {
        let time = ManualTimeSource(at("2016-10-09T12:00:00Z"))
        let bench = try Bench(MemoryMarketdataStore(time: time), time: time)
        try await bench.take(minutes(from: "2016-10-05T00:00:00Z", count: 4 * 1_440), as: "BTCUSD.csv")
        let jobs = NotedJobs()
        let orders = orders(bench.store, jobs, bench.cpu, minimumRows: 2_000, time: time)
        func order(_ start: String, _ end: String, symbol: String = "BTCUSD") async -> ResampleOrders.Outcome {
            var wanted = chart(start, end, asOf: time.now())
            wanted.symbol = symbol
            return await orders.order(wanted)
        }
        #expect(await order("2016-10-05T00:00:00Z", "2016-10-09T00:00:00Z") == .growing)
        #expect(await order("2016-10-05T00:00:00Z", "2016-10-08T00:00:00Z") == .growing)
        #expect(await order("2016-10-05T00:00:00Z", "2016-10-07T00:00:00Z") == .ordered)
        #expect(await order("2016-09-05T00:00:00Z", "2016-10-06T00:00:00Z") == .cheap)
        #expect(await order("2015-09-05T00:00:00Z", "2015-10-05T00:00:00Z") == .cheap)
        #expect(await order("2016-10-05T00:00:00Z", "2016-10-07T00:00:00Z", symbol: "NONE") == .cheap)
        #expect(jobs.requests.count == 1)
    }

    @Test("An interval that cannot be had is left out; the others are made, and progress is told")
    func intervalsThatCannotBeHad() async throws {
        let cache = CountingCache()
        var limits = ReadLimits()
        limits.baseRows = 5_000
        let bench = try Bench(MemoryMarketdataStore(), results: cache, limits: limits)
        try await bench.take(minutes(from: "2016-10-05T00:00:00Z", count: 4 * 1_440), as: "BTCUSD.csv")
        let told = Mutex<[Int]>([])
        let handler = ResampleAllHandler(reader: bench.reader, time: SystemTimeSource())
        let reporter = JobReporter(progress: { percent in told.withLock { $0.append(percent) } })
        let result = await handler.run(try job("BTCUSD", "2016-10-05T00:00:00Z", "2016-10-06T00:00:00Z"), reporter: reporter)
        #expect(result.outcome == .completed)
        #expect(result.result?["made"] == .array(["1m", "5m", "15m", "30m", "1h", "4h"]), "\(String(describing: result.result))")
        let leftOut = result.result?["left_out"]?.array ?? []
        #expect(leftOut.map { $0["interval"]?.string } == ["5s", "10s", "15s", "30s", "1d"])
        #expect(leftOut.map { $0["reason"]?.string } == Array(repeating: "interval_not_available", count: 4) + ["too_many_base_rows"])
        let percents = told.withLock { $0 }
        #expect(percents == percents.sorted() && percents.count == StandardIntervals.all.count && percents.last == 100)
        #expect(cache.count == 12)
    }

    @Test("A job that is stopped ends between two reads", .enabled(if: TestServers.hasPostgres))
    func aStoppedJobEnds() async throws {
        try await withPostgresStore { store, _ in
            let cache = GatedCache()
            let bench = try Bench(store, results: cache)
            try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 1_440), as: "BTCUSD.csv")
            let handler = ResampleAllHandler(reader: bench.reader, time: SystemTimeSource())
            let wanted = try job("BTCUSD", "2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")
            let running = Task { await handler.run(wanted, reporter: .silent) }
            _ = try await cache.asked.next()
            running.cancel()
            cache.open()
            let result = await running.value
            #expect(result.outcome == .failed && result.failureKind == .infra)
            #expect(cache.lookups <= 2)
        }
    }

    @Test("A job that says nonsense, or asks for nothing that there is, fails for good", arguments: ["spec", "symbol", "price", "range"])
    func badJobsFail(what: String) async throws {
        let bench = try Bench(MemoryMarketdataStore())
        try await bench.take(minutes(from: "2016-10-08T00:00:00Z", count: 30), as: "BTCUSD.csv")
        var wanted =
            switch what {
            case "symbol": try job("NONE", "2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")
            case "price": try job("BTCUSD", "2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z", price: "gold")
            case "range": try job("BTCUSD", "2016-10-09T00:00:00Z", "2016-10-08T00:00:00Z")
            default: try job("BTCUSD", "2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")
            }
        if what == "spec" { wanted.spec = ["instrument": "BTCUSD"] }
        let result = await ResampleAllHandler(reader: bench.reader, time: SystemTimeSource()).run(wanted, reporter: .silent)
        #expect(result.outcome == .failed && result.failureKind == .exception)
    }

    @Test("With too many charts at once the rest are left out")
    func tooManyChartsAtOnce() async throws {
        let bench = try Bench(MemoryMarketdataStore())
        let jobs = NotedJobs()
        // Never started: what is noted waits.
        let orders = orders(bench.store, jobs, bench.cpu)
        let dropped = counter(.dropped)
        let before = dropped.current
        for minute in 0..<(ResampleOrders.maximumWaiting + 5) {
            var wanted = chart("2016-10-08T00:00:00Z", "2016-10-09T00:00:00Z")
            wanted.start += .seconds(minute)
            orders.note(wanted)
            orders.note(wanted)
        }
        #expect(dropped.current - before == 5)
    }
}
