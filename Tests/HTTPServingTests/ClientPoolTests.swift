import Contracts
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import HTTPServing

/// A deadline that no machine is too slow for.
private let patience = Duration.seconds(120)

/// Waiting for a connection: in order, never longer than the caller has, and no place is lost over who leaves.
@Suite struct ClientPoolTests {
    /// A pool with few places before a server whose answers wait at a gate.
    private struct House: Sendable {
        let pool: ClientPool
        let loop: EventLoop
        let gate = Gate()
        let served = TestSignal<String>()

        init(connections: Int = 1, waiters: Int = 100, lookUp: (@Sendable (String) async throws -> [String])? = nil) throws {
            loop = try EventLoop.start(name: "pool-test")
            var configuration = HTTPClientConfiguration()
            configuration.maximumConnectionsPerHost = connections
            configuration.maximumWaitersPerHost = waiters
            if let lookUp {
                pool = ClientPool(loop: loop, configuration: configuration, lookUp: lookUp)
            } else {
                pool = ClientPool(loop: loop, configuration: configuration)
            }
        }

        var router: Router {
            var router = Router()
            router.get("/at-gate") { _ in
                try await gate.pass()
                return .text("passed")
            }
            router.get("/n/{n}") {
                let name = $0.parameters["n"] ?? ""
                served.signal(name)
                return .text(name)
            }
            return router
        }

        func ask(_ path: String, port: Int, host: String = "127.0.0.1", deadline: Duration = patience) -> Task<ClientResponse, any Error> {
            Task(on: loop) { [pool] in
                let text = "http://\(host):\(port)\(path)"
                return try await pool.perform(ClientRequest(url: text), try ClientURL(text), deadline: deadline)
            }
        }

        func load(_ port: Int) async throws -> (active: Int, waiting: Int) {
            try await loop.run { [pool] in
                let load = pool.load(of: "127.0.0.1", port: port)
                return (load.active, load.waiting)
            }
        }

        /// Asks, and returns once the request stands in the line.
        func askAndWait(_ path: String, port: Int, deadline: Duration = patience) async throws -> Task<ClientResponse, any Error> {
            let before = try await load(port).waiting
            let task = ask(path, port: port, deadline: deadline)
            try await eventually("a place in the line") { try await load(port).waiting == before + 1 }
            return task
        }
    }

    private func within<Value: Sendable>(_ task: Task<Value, any Error>) async throws -> Result<Value, any Error> {
        let ended = TestSignal<Result<Value, any Error>>()
        Task { ended.signal(await task.result) }
        return try await ended.next()
    }

    @Test func leavesAtItsDeadlineWhileAllPlacesAreTaken() async throws {
        let house = try House()
        try await withServer(house.router) { _, port in
            let holder = house.ask("/at-gate", port: port)
            try await house.gate.entered.next()
            let late = house.ask("/n/late", port: port, deadline: .milliseconds(50))
            // The place is still taken: only the deadline can end this.
            let outcome = try await within(late)
            #expect(throws: HTTPClientError.timedOut(host: "127.0.0.1:\(port)")) { try outcome.get() }
            let load = try await house.load(port)
            #expect(load.active == 1 && load.waiting == 0)
            house.gate.open()
            #expect(try await holder.value.status == .ok)
            #expect(try await house.ask("/n/next", port: port).value.status == .ok)
            #expect(house.served.pendingCount == 1)
            #expect(try await house.load(port).active == 0)
        }
        await house.loop.stop()
    }

    @Test func leavesWhenCancelledWhileAllPlacesAreTaken() async throws {
        let house = try House()
        try await withServer(house.router) { _, port in
            let holder = house.ask("/at-gate", port: port)
            try await house.gate.entered.next()
            let leaving = try await house.askAndWait("/n/leaving", port: port)
            let staying = try await house.askAndWait("/n/staying", port: port)
            leaving.cancel()
            let outcome = try await within(leaving)
            #expect(throws: CancellationError.self) { try outcome.get() }
            let load = try await house.load(port)
            #expect(load.active == 1 && load.waiting == 1)
            house.gate.open()
            #expect(try await holder.value.status == .ok)
            #expect(try await staying.value.status == .ok)
            #expect(try await house.served.next() == "staying")
            #expect(house.served.pendingCount == 0)
            #expect(try await house.load(port).active == 0)
        }
        await house.loop.stop()
    }

    @Test func whoIsCancelledBeforeItWaitsTakesNoPlace() async throws {
        let house = try House()
        try await withServer(house.router) { _, port in
            let holder = house.ask("/at-gate", port: port)
            try await house.gate.entered.next()
            let leaving = house.ask("/n/leaving", port: port)
            leaving.cancel()
            let outcome = try await within(leaving)
            #expect(throws: CancellationError.self) { try outcome.get() }
            #expect(try await house.load(port).waiting == 0)
            house.gate.open()
            #expect(try await holder.value.status == .ok)
            #expect(try await house.load(port).active == 0)
        }
        await house.loop.stop()
    }

    @Test func whoJoinsWhileAPlaceComesFreeIsNotForgotten() async throws {
        let loop = try EventLoop.start(name: "joining-test")
        let line = WaitingLine<Int>(loop: loop)
        // Whatever was given before the caller stood in the line is found by it there.
        let got = try await loop.run { try await line.wait(atMost: patience, orThrow: .badURL("")) { 7 } }
        #expect(got == 7)
        await #expect(throws: HTTPClientError.tooManyWaiting(host: "a")) {
            try await loop.run {
                try await line.wait(atMost: patience, orThrow: .badURL("")) { () throws(HTTPClientError) in throw .tooManyWaiting(host: "a") }
            }
        }
        #expect(try await loop.run { line.count } == 0)
        await loop.stop()
    }

    @Test func aPlaceThatIsGivenToWhoJustLeftGoesToTheNext() async throws {
        let loop = try EventLoop.start(name: "line-test")
        // Both orders within one turn of the loop, so that nothing is left to chance.
        for cancelsFirst in [true, false] {
            let line = WaitingLine<Int>(loop: loop)
            let first = Task(on: loop) { try await line.wait(atMost: patience, orThrow: .badURL("")) { nil } }
            try await eventually { try await loop.run { line.count } == 1 }
            let second = Task(on: loop) { try await line.wait(atMost: patience, orThrow: .badURL("")) { nil } }
            try await eventually { try await loop.run { line.count } == 2 }
            let taken = try await loop.run {
                if cancelsFirst { first.cancel() }
                let taken = line.give(1)
                if !cancelsFirst { first.cancel() }
                return taken
            }
            #expect(taken)
            // What was given counts, although the cancel came in the same turn: nobody else is told to leave or gets it as well.
            #expect(try await within(first).get() == 1)
            #expect(try await loop.run { line.count } == 1)
            #expect(try await loop.run { line.give(2) })
            #expect(try await within(second).get() == 2)
            #expect(try await loop.run { line.give(3) } == false)
        }
        await loop.stop()
    }

    @Test func noPlaceIsLostOverCancelsAtAnyMoment() async throws {
        let house = try House()
        house.gate.open()
        try await withServer(house.router) { _, port in
            for turns in 0..<200 {
                let first = house.ask("/at-gate", port: port)
                let second = house.ask("/n/second", port: port)
                let third = house.ask("/n/third", port: port)
                for _ in 0..<turns { await Task.yield() }
                second.cancel()
                #expect(try await first.value.status == .ok)
                #expect(try await within(third).get().status == .ok)
                _ = await second.result
                let load = try await house.load(port)
                #expect(load.active == 0 && load.waiting == 0)
            }
        }
        await house.loop.stop()
    }

    @Test func placesGoInTheOrderOfAsking() async throws {
        let house = try House()
        try await withServer(house.router) { _, port in
            let holder = house.ask("/at-gate", port: port)
            try await house.gate.entered.next()
            var waiting: [Task<ClientResponse, any Error>] = []
            for number in 0..<8 { waiting.append(try await house.askAndWait("/n/\(number)", port: port)) }
            waiting[3].cancel()
            _ = await waiting[3].result
            house.gate.open()
            _ = try await holder.value
            for number in [0, 1, 2, 4, 5, 6, 7] { #expect(try await house.served.next() == "\(number)") }
            for (number, task) in waiting.enumerated() where number != 3 { #expect(try await task.value.status == .ok) }
        }
        await house.loop.stop()
    }

    @Test func onlySoManyWait() async throws {
        let house = try House(waiters: 2)
        try await withServer(house.router) { _, port in
            let holder = house.ask("/at-gate", port: port)
            try await house.gate.entered.next()
            let first = try await house.askAndWait("/n/1", port: port)
            let second = try await house.askAndWait("/n/2", port: port)
            let outcome = try await within(house.ask("/n/3", port: port))
            #expect(throws: HTTPClientError.tooManyWaiting(host: "127.0.0.1:\(port)")) { try outcome.get() }
            // Nothing was sent, so another replica may be asked.
            #expect(HTTPClientError.tooManyWaiting(host: "").mayBeRepeated(isIdempotent: false))
            // A place in the line that became free is taken by the next.
            first.cancel()
            _ = await first.result
            let fourth = try await house.askAndWait("/n/4", port: port)
            house.gate.open()
            for task in [holder, second, fourth] { #expect(try await task.value.status == .ok) }
        }
        await house.loop.stop()
    }

    @Test func aSlowLookUpHoldsNobodyPastItsTime() async throws {
        let gate = Gate()
        let asked = Mutex(0)
        let house = try House { _ in
            asked.withLock { $0 += 1 }
            try await gate.pass()
            return ["127.0.0.1"]
        }
        try await withServer(house.router) { _, port in
            let late = house.ask("/n/late", port: port, host: "slow.test", deadline: .milliseconds(50))
            let leaving = house.ask("/n/leaving", port: port, host: "slow.test")
            let staying = house.ask("/n/staying", port: port, host: "slow.test")
            try await gate.entered.next()
            leaving.cancel()
            let (lateOutcome, leftOutcome) = (try await within(late), try await within(leaving))
            #expect(throws: HTTPClientError.timedOut(host: "slow.test:\(port)")) { try lateOutcome.get() }
            #expect(throws: CancellationError.self) { try leftOutcome.get() }
            gate.open()
            #expect(try await staying.value.status == .ok)
            #expect(asked.withLock { $0 } == 1)
        }
        await house.loop.stop()
    }

    @Test func aFailedLookUpIsToldToAllWhoWait() async throws {
        let gate = Gate()
        let house = try House { name in
            try await gate.pass()
            throw HTTPClientError.nameNotResolved(name)
        }
        let tasks = (0..<3).map { house.ask("/n/\($0)", port: 1, host: "gone.test") }
        try await gate.entered.next()
        gate.open()
        for task in tasks {
            let outcome = try await within(task)
            #expect(throws: HTTPClientError.nameNotResolved("gone.test")) { try outcome.get() }
        }
        await house.loop.stop()
    }
}
