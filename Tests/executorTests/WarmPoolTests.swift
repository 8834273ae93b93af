import Contracts
import Cryptography
import FoundationEssentials
import ServiceRuntime
import Synchronization
import TestSupport
import Testing

@testable import executor

/// What the pool keeps, for whom, and what it throws away; with real sandboxes.
@Suite(.serialized) struct WarmPoolTests {
    private static let app = "from auspex import Prediction\ndef predict(context): return Prediction(1)\n"

    @Test("What is due again within a minute, however its length is written, is warmed at once; the rest is announced")
    func whatIsDueAgainSoon() {
        for (schedule, seconds) in [
            (Cadence.interval(seconds: 60), 60), (.interval(seconds: 61), nil), (.barClose(instrument: "BTCUSD", interval: "15s"), 15),
            (.barClose(instrument: "BTCUSD", interval: "1m"), 60), (.barClose(instrument: "BTCUSD", interval: "2m"), nil),
        ] { #expect(SignalRunHandler.soon(schedule) == seconds, "\(schedule)") }
    }

    /// Counts what it makes; each sandbox runs the app of its request's version.
    private final class Maker: Sendable {
        let fixture: SandboxFixture
        let apps: [SHA256Digest: String]
        let made = Mutex<[SHA256Digest]>([])

        init(_ fixture: SandboxFixture, _ apps: [SHA256Digest: String]) {
            self.fixture = fixture
            self.apps = apps
        }

        func make(_ request: WarmRequest, _ waiting: WaitingLimits) async throws -> WarmSandbox {
            made.withLock { $0.append(request.key.versionSHA256) }
            let folder = SandboxFixture.temporaryFolder
            let cache = DiskCache(root: folder, capacityBytes: 1 << 30, cpu: fixture.cpu)
            try cache.prepare()
            let app = apps[request.key.versionSHA256] ?? WarmPoolTests.app
            let lease = try await cache.entry("app") { try Data(app.utf8).write(to: URL(filePath: $0 + "/app.py")) }
            let command = fixture.program(lease.folder, SandboxLimits.of(.small, wallTime: .seconds(3600)), isAhead: true)
            return WarmSandbox(
                sandbox: try await fixture.sandbox.start(command, waiting: waiting),
                folder: lease,
                environment: PythonEnvironment(sha256: SHA256.digest(utf8: "plain"), python: SandboxFixture.python, packages: nil)
            )
        }
    }

    /// Due so late that a slow machine does not come to it, unless told.
    private static func request(
        _ version: String = "one",
        account: AccountID = account,
        signal: SignalID = SignalID.make(),
        due: Int64 = 1_000,
        hasPackages: Bool = false,
        time: any TimeSource = SystemTimeSource()
    ) -> WarmRequest {
        let requirements = CodeFile(path: "requirements.txt", sha256: SHA256.digest(utf8: "numpy"), bytes: 5)
        return WarmRequest(
            key: WarmKey(
                accountID: account,
                signalID: signal,
                versionSHA256: SHA256.digest(utf8: version),
                files: [],
                resourceClass: .small
            ),
            dueAt: time.now() + .seconds(due),
            files: hasPackages ? [requirements] : [],
            manifest: Manifest(name: "test", schedule: .interval(seconds: 60), inputs: [], output: SandboxFixture.output),
            jobToken: ""
        )
    }

    private static let account = AccountID.make()
    private static func digest(_ version: String) -> SHA256Digest { SHA256.digest(utf8: version) }

    private func withPool(
        _ apps: [String: String] = [:],
        memoryBytes: Int = 1 << 30,
        count: Int = 10,
        width: Int = 2,
        time: any TimeSource = SystemTimeSource(),
        _ body: (WarmPool, Maker) async throws -> Void
    ) async throws {
        let fixture = try await SandboxFixture.shared.get()
        let maker = Maker(fixture, Dictionary(uniqueKeysWithValues: apps.map { (Self.digest($0.key), $0.value) }))
        let bounds = WarmPool.Bounds(memoryBytes: memoryBytes, count: count, width: width)
        let pool = WarmPool(bounds: bounds, loop: fixture.loops.control, time: time)
        do { try await body(pool, maker) } catch {
            await pool.stop()
            throw error
        }
        await pool.stop()
        #expect(pool.size.count == 0)
    }

    @Test func eachIsTakenOnceByItsOwn() async throws {
        try await withPool { pool, maker in
            let request = Self.request()
            pool.want([request, request], make: maker.make)
            try await eventually { pool.size.idle == 1 }
            #expect(maker.made.withLock { $0.count } == 1)
            #expect(pool.take(Self.request(account: AccountID.make()).key) == nil)
            #expect(pool.take(Self.request("two").key) == nil)
            var other = request.key
            other.resourceClass = .standard
            #expect(pool.take(other) == nil)
            let warm = try #require(pool.take(request.key))
            #expect(pool.take(request.key) == nil)
            #expect(pool.size.bytes == 0)
            await warm.sandbox.discard()
        }
    }

    @Test func anotherVersionOfTheSignalThrowsTheOldOneAway() async throws {
        try await withPool { pool, maker in
            let signal = SignalID.make()
            pool.want([Self.request("one", signal: signal)], make: maker.make)
            try await eventually { pool.size.idle == 1 }
            let old = pool.size
            pool.want([Self.request("two", signal: signal)], make: maker.make)
            #expect(pool.take(Self.request("one").key) == nil)
            try await eventually { pool.size.idle == 1 }
            #expect(pool.size.count == 1 && old.count == 1)
            #expect(maker.made.withLock { $0 } == [Self.digest("one"), Self.digest("two")])
        }
    }

    @Test func memoryIsBoundedAndWhatIsDueLastMakesWay() async throws {
        // Two in the making, or one that waits and one in the making.
        try await withPool(memoryBytes: 200 << 20) { pool, maker in
            let late = [("late", Int64(5_000)), ("later", 6_000), ("latest", 7_000)].map { Self.request($0, due: $1) }
            for request in late {
                pool.want([request], make: maker.make)
                try await eventually { pool.size.idle == pool.size.count }
                #expect(pool.size.bytes <= 200 << 20)
            }
            let before = pool.size.count
            #expect(before >= 2)
            let soon = (0..<6).map { Self.request("soon \($0)", due: 1_000 + Int64($0)) }
            pool.want(soon, make: maker.make)
            try await eventually { maker.made.withLock { $0.contains(Self.digest("soon 0")) } && pool.size.idle == pool.size.count }
            #expect(pool.size.bytes <= 200 << 20)
            #expect(pool.take(late[2].key) == nil)
            let first = try #require(pool.take(soon[0].key))
            await first.sandbox.discard()
        }
    }

    @Test func theirNumberIsBounded() async throws {
        try await withPool(count: 2) { pool, maker in
            let requests = (0..<5).map { Self.request("\($0)", due: 1_000 + Int64($0)) }
            pool.want(requests, make: maker.make)
            try await eventually { pool.size.idle == 2 }
            #expect(pool.size.count == 2)
            #expect(Set(maker.made.withLock { $0 }) == [Self.digest("0"), Self.digest("1")])
            // What a run takes makes room for the next one.
            let taken = try #require(pool.take(requests[0].key))
            try await eventually { pool.size.idle == 2 && maker.made.withLock { $0.last } == Self.digest("2") }
            await taken.sandbox.discard()
        }
    }

    /// The run finds nothing, starts cold, and its author sees what is wrong; the pool does not try again and again.
    @Test func anImportThatEndsTheProcessIsLeftAlone() async throws {
        try await withPool(["one": "import os\nos._exit(3)\n"]) { pool, maker in
            let request = Self.request()
            pool.want([request], make: maker.make)
            try await eventually { pool.size.count == 0 && maker.made.withLock { $0.count } == 1 }
            pool.want([request], make: maker.make)
            #expect(pool.take(request.key) == nil)
            #expect(maker.made.withLock { $0.count } == 1 && pool.size.count == 0)
        }
    }

    @Test func anImportThatNeedsMoreMemoryGetsItTheNextTime() async throws {
        try await withPool(["one": "room = bytearray(120 << 20)\n" + Self.app]) { pool, maker in
            guard maker.fixture.sandbox.host.level == .full else { return }
            let request = Self.request()
            try await eventually {
                // As announcements do, again and again.
                pool.want([request], make: maker.make)
                return pool.size.idle == 1
            }
            #expect(maker.made.withLock { $0.count } == 2)
            #expect(pool.size.bytes > 120 << 20)
        }
    }

    @Test func anImportThatHangsIsThrownAway() async throws {
        let time = ManualTimeSource()
        try await withPool(["one": "import signal\nprint('hangs', flush=True)\nwhile True: signal.pause()\n"], time: time) { pool, maker in
            let request = Self.request(due: 100, time: time)
            pool.want([request], make: maker.make)
            try await eventually { pool.hasStarted(request.key) }
            pool.sweep()
            #expect(pool.size.count == 1)
            time.advance(by: .seconds(31))
            pool.sweep()
            #expect(pool.size.count == 0)
            pool.want([request], make: maker.make)
            #expect(pool.size.count == 0)
        }
    }

    @Test func whatWaitsForARunThatDoesNotComeIsThrownAway() async throws {
        let time = ManualTimeSource()
        try await withPool(time: time) { pool, maker in
            for (due, wait) in [(Int64(10), Duration.seconds(26)), (500, .seconds(121))] {
                let request = Self.request(due: due, time: time)
                pool.want([request], make: maker.make)
                try await eventually { pool.size.idle == 1 }
                pool.sweep()
                #expect(pool.size.count == 1)
                time.advance(by: wait)
                pool.sweep()
                #expect(pool.size.count == 0 && pool.take(request.key) == nil)
            }
        }
    }

    @Test func aPoolThatDrainsKeepsAndMakesNothing() async throws {
        try await withPool { pool, maker in
            pool.want((0..<6).map { Self.request("\($0)", due: 1_000 + Int64($0)) }, make: maker.make)
            try await eventually { pool.size.idle >= 1 }
            await pool.drain()
            #expect(pool.size.count == 0)
            let made = maker.made.withLock { $0.count }
            pool.want([Self.request("more")], make: maker.make)
            #expect(maker.made.withLock { $0.count } == made && pool.size.count == 0)
        }
    }

    // MARK: Nobody closes it for others

    @Test func aWishThatCanNeverFitIsInNobodysWay() async throws {
        try await withPool(memoryBytes: 200 << 20) { pool, maker in
            let large = Self.request("large", due: 500, hasPackages: true)
            pool.want([large, Self.request("small")], make: maker.make)
            try await eventually { pool.size.idle == 1 }
            pool.want([large], make: maker.make)
            #expect(maker.made.withLock { $0 } == [Self.digest("small")])
        }
    }

    /// Its need doubles until it is more than there is; then it runs cold, and others are warm.
    @Test func anImportThatNeedsMoreThanThePoolIsLeftAlone() async throws {
        try await withPool(["hungry": "room = bytearray(150 << 20)\n" + Self.app], memoryBytes: 150 << 20) { pool, maker in
            guard maker.fixture.sandbox.host.level == .full else { return }
            let hungry = Self.request("hungry", due: 500)
            pool.want([hungry], make: maker.make)
            try await eventually { pool.size == (0, 0, 0) && maker.made.withLock { $0.count } == 1 }
            pool.want([hungry, Self.request("small")], make: maker.make)
            try await eventually { pool.size.idle == 1 }
            #expect(maker.made.withLock { $0 } == [Self.digest("hungry"), Self.digest("small")])
        }
    }

    @Test func beyondItsHalfAnAccountHasOnlyWhatNoOtherWants() async throws {
        try await withPool(count: 4) { pool, maker in
            pool.want((0..<4).map { Self.request("\($0)", due: 1_000 + Int64($0)) }, make: maker.make)
            try await eventually { pool.size.idle == 4 }
            let others = (0..<3).map { Self.request("other \($0)", account: Self.other, due: 5_000 + Int64($0)) }
            pool.want(others, make: maker.make)
            try await eventually { maker.made.withLock { $0.count } == 6 && pool.size.idle == 4 }
            // What is due first is of no help to who has his half.
            pool.want([Self.request("first", due: 500)], make: maker.make)
            try await eventually { maker.made.withLock { $0.last } == Self.digest("first") && pool.size.idle == 4 }
            for other in others.prefix(2) {
                let warm = try #require(pool.take(other.key))
                await warm.sandbox.discard()
            }
        }
    }

    private static let other = AccountID.make()

    /// The hand that makes it is free for the next one, although this one imports for as long as its run lasts.
    @Test(.timeLimit(.minutes(10))) func aRunThatTakesItsSandboxEarlyTakesNoHandWithIt() async throws {
        try await withPool(["slow": "import signal\nwhile True: signal.pause()\n"], width: 1) { pool, maker in
            let slow = Self.request("slow", due: 500)
            pool.want([slow], make: maker.make)
            try await eventually { pool.hasStarted(slow.key) }
            let taken = try #require(pool.take(slow.key))
            pool.want([Self.request("next")], make: maker.make)
            try await eventually { pool.size.idle == 1 }
            await taken.sandbox.begin(try SandboxFixture.frame(), SandboxFixture.ClosedGateway(), within: .seconds(600))
            // Its maker waits for nothing any more, so the pool can stop while the run goes on.
            await pool.drain()
            #expect(!taken.sandbox.hasEnded)
            await taken.sandbox.discard()
        }
    }

    @Test(.timeLimit(.minutes(10))) func whatIsNotWantedAnyMoreHoldsNoHand() async throws {
        try await withPool(width: 1) { pool, maker in
            let signal = SignalID.make()
            let asked = TestSignal<Void>()
            pool.want([Self.request("old", signal: signal)]) { _, _ in
                asked.signal()
                try await Task.sleep(for: .seconds(3600))
                throw CancellationError()
            }
            _ = try await asked.next()
            pool.want([Self.request("new", signal: signal)], make: maker.make)
            try await eventually { pool.size.idle == 1 }
            #expect(maker.made.withLock { $0 } == [Self.digest("new")])
            pool.want([Self.request("more")]) { _, _ in
                asked.signal()
                try await Task.sleep(for: .seconds(3600))
                throw CancellationError()
            }
            _ = try await asked.next()
            await pool.drain()
        }
    }

    @Test func packagesThatAreBeingInstalledAreLookedForAgain() async throws {
        try await withPool { pool, maker in
            let request = Self.request(hasPackages: true)
            let asked = TestSignal<Void>()
            for _ in 0..<2 {
                pool.want([request]) { _, _ in
                    asked.signal()
                    throw EnvironmentError(kind: .timeLimit, reason: "they are being installed")
                }
                _ = try await asked.next()
                try await eventually { pool.size.count == 0 }
            }
            pool.want([request], make: maker.make)
            try await eventually { pool.size.idle == 1 }
        }
    }

    @Test func whatIsThrownAwayHasItsMemoryUntilItIsGone() async throws {
        try await withPool(memoryBytes: 110 << 20) { pool, maker in
            let signal = SignalID.make()
            let old = Mutex<StartedSandbox?>(nil)
            pool.want([Self.request("one", signal: signal)]) { request, waiting in
                let warm = try await maker.make(request, waiting)
                old.withLock { $0 = warm.sandbox }
                return warm
            }
            try await eventually { pool.size.idle == 1 }
            // Beside it the new one does not fit.
            #expect(pool.size.bytes > 14 << 20)
            pool.want([Self.request("two", signal: signal)]) { request, waiting in
                #expect(old.withLock { $0?.hasEnded } == true)
                return try await maker.make(request, waiting)
            }
            try await eventually { maker.made.withLock { $0.count } == 2 && pool.size.idle == 1 }
        }
    }

    @Test func withoutMemoryThereIsNoPool() async throws {
        try await withPool(memoryBytes: 0) { pool, maker in
            pool.want([Self.request()], make: maker.make)
            #expect(pool.size.count == 0 && pool.take(Self.request().key) == nil)
        }
    }
}
