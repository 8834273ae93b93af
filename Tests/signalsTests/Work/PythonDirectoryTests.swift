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
        #expect(await directory.present().isEmpty)
        let first = asked.withLock { $0 }
        #expect(first > 0)
        isThere.withLock { $0 = true }
        for _ in 0..<3 { #expect(await directory.present().isEmpty) }
        #expect(asked.withLock { $0 } == first)
        time.advance(by: .nanoseconds(PythonDirectory.memory))
        #expect(await directory.present().isEmpty)
        #expect(asked.withLock { $0 } == first + 1)
        await server.stop()
    }
}
