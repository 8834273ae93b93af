import Contracts
import HTTPServing
import Synchronization
import TestSupport
import Testing

@testable import signals

@Suite("Which Pythons there are")
struct PythonDirectoryTests {
    @Test("That nobody knows is remembered for some seconds: the next uploads do not wait for it again")
    func remembersThatNobodyKnows() async throws {
        let asked = Mutex(0)
        let isThere = Mutex(false)
        var router = Router()
        router.get("/internal/v1/workers") { _ in
            asked.withLock { $0 += 1 }
            guard isThere.withLock({ $0 }) else { throw Problem.notFound() }
            return try .json(WorkersAnswer(workers: []))
        }
        let server = HTTPServer(name: "scheduler", address: "127.0.0.1", port: 0, router: router, loops: [TestLoop.shared])
        try await server.start()
        let time = ManualTimeSource()
        let scheduler = ServiceClient(baseURLs: ["http://127.0.0.1:\(server.boundPort)"], audience: "scheduler", tokens: nil, http: HTTPClient())
        let directory = PythonDirectory(scheduler: scheduler, time: time)
        #expect(await directory.present(for: .small).isEmpty)
        let first = asked.withLock { $0 }
        #expect(first > 0)
        isThere.withLock { $0 = true }
        for _ in 0..<3 { #expect(await directory.present(for: .small).isEmpty) }
        #expect(asked.withLock { $0 } == first)
        time.advance(by: .nanoseconds(PythonDirectory.memory))
        #expect(await directory.present(for: .small).isEmpty)
        #expect(asked.withLock { $0 } > first)
        await server.stop()
    }

    @Test("Those executors count that may be given a scheduled run or one of the version's class")
    func whoMayBeGivenARun() async throws {
        func worker(_ name: String, _ series: [String], _ classes: (ResourceClass, Int)...) -> KnownWorker {
            let pythons = series.map { WorkerPython(implementation: "cpython", series: $0, version: "\($0).1") }
            let report = WorkerReport(
                worker: name,
                pythons: pythons,
                classes: classes.map { WorkerClass(class: $0.0, slots: $0.1, busy: 0) }
            )
            return KnownWorker(report: report, reportedAt: .now())
        }
        let workers = [
            worker("signals", ["3.11"], (.signal, 2)), worker("small", ["3.12"], (.small, 4), (.signal, 0)), worker("large", ["3.13"], (.large, 1)),
            worker("other", [], (.signal, 2)),
        ]
        var router = Router()
        router.get("/internal/v1/workers") { _ in try .json(WorkersAnswer(workers: workers)) }
        let server = HTTPServer(name: "scheduler", address: "127.0.0.1", port: 0, router: router, loops: [TestLoop.shared])
        try await server.start()
        let scheduler = ServiceClient(baseURLs: ["http://127.0.0.1:\(server.boundPort)"], audience: "scheduler", tokens: nil, http: HTTPClient())
        let time = ManualTimeSource()
        let directory = PythonDirectory(scheduler: scheduler, time: time)
        // A machine that stands still for as long as the directory waits for an answer is asked again.
        try await eventually {
            time.advance(by: .nanoseconds(PythonDirectory.memory))
            return await !directory.present(for: .small).isEmpty
        }
        #expect(await directory.present(for: .small).map(\.seriesText) == ["3.11", "3.12"])
        #expect(await directory.present(for: .large).map(\.seriesText) == ["3.11", "3.13"])
        #expect(await directory.present(for: .gpu).map(\.seriesText) == ["3.11"])
        await server.stop()
    }
}
