import Contracts
import HTTPServing
import Postgres
import TestSupport
import Testing

@testable import scheduler

/// Who works now: reports of executors, and what signals reads of them.
@Suite("Workers", .enabled(if: TestServers.hasPostgres, "no test Postgres"))
struct WorkerBookTests {
    private static func report(_ worker: String, busy: Int = 0) -> WorkerReport {
        WorkerReport(
            worker: worker,
            pythons: [WorkerPython(implementation: "cpython", series: "3.11", version: "3.11.2")],
            classes: [WorkerClass(class: .small, slots: 4, busy: busy)],
            sandboxLevel: .full,
            memoryBytes: 8 << 30
        )
    }

    private static func send(_ report: WorkerReport, to house: TestHouse) async throws -> RequestClient.Answer {
        try await house.service("executor").post("/internal/v1/workers/report", json: try WireJSON.value(of: report))
    }

    private static func present(_ house: TestHouse) async throws -> [KnownWorker] {
        try await WireJSON.decode(WorkersAnswer.self, from: house.service("signals").get("/internal/v1/workers").json()).workers
    }

    @Test func aReportReplacesTheLastOneOfItsWorker() async throws {
        try await withTestHouse { house in
            for report in [Self.report("b"), Self.report("a", busy: 1), Self.report("a", busy: 3)] {
                #expect(try await Self.send(report, to: house).status == 204)
            }
            let known = try await Self.present(house)
            #expect(known.map(\.report) == [Self.report("a", busy: 3), Self.report("b")])
        }
    }

    @Test func whoIsSilentForAMinuteIsGone() async throws {
        try await withTestHouse { house in
            for name in ["silent", "slow", "lively"] { _ = try await Self.send(Self.report(name), to: house) }
            try await house.pool.execute("UPDATE workers SET reported_at = clock_timestamp() - interval '61 seconds' WHERE worker = 'silent'")
            try await house.pool.execute("UPDATE workers SET reported_at = clock_timestamp() - interval '55 seconds' WHERE worker = 'slow'")
            #expect(try await Self.present(house).map(\.report.worker) == ["lively", "slow"])
            // The row itself goes with somebody else's report.
            _ = try await Self.send(Self.report("lively"), to: house)
            let rows: [String] = try await house.pool.query("SELECT worker FROM workers ORDER BY worker").map { try $0.column(0) }
            #expect(rows == ["lively", "slow"])
        }
    }

    @Test func reportsAtOnceDoNotWaitForEachOther() async throws {
        try await withTestHouse { house in
            try await house.pool.execute(
                """
                INSERT INTO workers (worker, report, reported_at)
                SELECT 'old ' || n, '{"worker": "old", "pythons": [], "classes": []}', clock_timestamp() - interval '1 hour'
                FROM generate_series(1, 200) AS n
                """
            )
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<20 { group.addTask { try await Self.send(Self.report("executor \(number)"), to: house).status } }
                for try await status in group { #expect(status == 204) }
            }
            #expect(try await Self.present(house).count == 20)
        }
    }

    @Test(arguments: [
        ("", 1, "worker"), (String(repeating: "x", count: 201), 1, "worker"), ("a\u{1F}b", 1, "worker"), ("a", 65, "pythons"),
    ])
    func aReportWithoutSenseIsRefused(worker: String, pythons: Int, field: String) async throws {
        try await withTestHouse { house in
            var senseless = Self.report(worker)
            senseless.pythons = Array(repeating: senseless.pythons[0], count: pythons)
            let verdict = try await Self.send(senseless, to: house).verdict
            #expect(verdict == "400 invalid_value \(field)")
            let present = try await Self.present(house)
            #expect(present.isEmpty)
        }
    }

    @Test func aReportNamesEachClassOnce() async throws {
        try await withTestHouse { house in
            var report = Self.report("a")
            report.classes += report.classes
            let verdict = try await Self.send(report, to: house).verdict
            #expect(verdict == "400 invalid_value classes")
        }
    }

    /// As an upload asks: scheduled runs of a version of any class wait in `signal`.
    @Test func theExecutorsOfSignalNeedThePythonsOfEveryClass() {
        var signal = Self.report("signal")
        signal.classes = [WorkerClass(class: .signal, slots: 2, busy: 0)]
        var large = Self.report("large")
        large.classes = [WorkerClass(class: .large, slots: 1, busy: 0)]
        large.pythons.append(WorkerPython(implementation: "cpython", series: "3.12", version: "3.12.1"))
        let gap = [PythonGap(series: "3.12", lacking: ["signal"])]
        #expect(PythonGap.found(among: [signal, large, Self.report("small")]) == [.large: gap])
        signal.pythons = large.pythons
        #expect(PythonGap.found(among: [signal, large]).isEmpty)
        #expect(PythonGap.found(among: [signal, large, Self.report("small")]) == [.small: [PythonGap(series: "3.12", lacking: ["small"])]])
    }

    @Test func pythonsThatNotAllOfAClassHaveAreShown() async throws {
        try await withTestHouse { house in
            var small = Self.report("small")
            small.pythons.append(WorkerPython(implementation: "pypy", series: "pypy3.9", version: "pypy3.9.16"))
            var large = Self.report("large")
            large.classes = [WorkerClass(class: .large, slots: 1, busy: 0), WorkerClass(class: .small, slots: 0, busy: 0)]
            let gauge = PythonGauge(workers: { try await WorkerBook(pool: house.pool).present() }, time: ManualTimeSource(), loop: TestLoop.shared)
            for report in [small, large] { _ = try await Self.send(report, to: house) }
            // Whoever has no slots of a class is given none of its jobs.
            #expect(try await gauge.round().isEmpty)
            for name in ["b", "a"] { _ = try await Self.send(Self.report(name), to: house) }
            #expect(try await gauge.round() == [.small: [PythonGap(series: "pypy3.9", lacking: ["a", "b"])]])
            var bare = Self.report("bare")
            bare.pythons = []
            _ = try await Self.send(bare, to: house)
            #expect(try await gauge.round()[.small]?.first?.lacking == ["a", "b"])
            // Another patch level of a series is no gap: manifests name series as a rule.
            for name in ["a", "b"] {
                var report = small
                report.worker = name
                report.pythons[0].version = "3.11.9"
                _ = try await Self.send(report, to: house)
            }
            #expect(try await gauge.round().isEmpty)
        }
    }
}
