import Glibc
import ServiceRuntime
import Synchronization
import Testing

/// Atomics cannot be captured by nested closures; an object can.
private final class Tally: Sendable {
    let count = Atomic<Int>(0)
}

@Suite("Event loop")
struct EventLoopTests {
    @Test("an asynchronous body runs on the loop's thread, also after it waited for another executor")
    func staysOnLoop() async throws {
        let loop = try EventLoop.start(name: "test")
        let other = try EventLoop.start(name: "other")
        let placesMet = try await loop.run { () -> [Bool] in
            var met = [loop.inLoop]
            try await other.run { #expect(other.inLoop && !loop.inLoop) }
            met.append(loop.inLoop)
            await withCheckedContinuation { continuation in other.execute { continuation.resume() } }
            met.append(loop.inLoop)
            return met
        }
        #expect(placesMet == [true, true, true])
        await loop.stop()
        await other.stop()
    }

    @Test("work from many threads is neither lost nor doubled")
    func manyWakers() async throws {
        let loop = try EventLoop.start(name: "test")
        let tally = Tally()
        let rounds = 20_000
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<rounds { loop.execute { tally.count.wrappingAdd(1, ordering: .relaxed) } }
                }
            }
        }
        // What was put in before this runs before it.
        try await loop.run {}
        #expect(tally.count.load(ordering: .relaxed) == 4 * rounds)
        await loop.stop()
    }

    @Test("a cancelled timer does not fire, one that nobody holds does")
    func timers() async throws {
        let loop = try EventLoop.start(name: "test")
        let fired = Mutex<[String]>([])
        await withCheckedContinuation { continuation in
            loop.execute {
                let cancelled = loop.timer(after: .milliseconds(1)) { fired.withLock { $0.append("cancelled") } }
                loop.timer(after: .milliseconds(2)) { fired.withLock { $0.append("kept") } }
                cancelled.cancel()
                loop.timer(after: .milliseconds(5)) { continuation.resume() }
            }
        }
        #expect(fired.withLock { $0 } == ["kept"])
        await loop.stop()
    }

    @Test("a wait on a loop ends there and never early, and at once when its task is cancelled")
    func sleeps() async throws {
        let loop = try EventLoop.start(name: "test")
        let waited = try await loop.run { () -> UInt64 in
            // The turn is older than the wait is long when that begins: a timer counts from the turn's beginning.
            let turnedAt = monotonicNanoseconds()
            while monotonicNanoseconds() < turnedAt + 30_000_000 {}
            let asleepAt = monotonicNanoseconds()
            try await loop.sleep(for: .milliseconds(20))
            #expect(loop.inLoop)
            return monotonicNanoseconds() - asleepAt
        }
        #expect(waited >= 20_000_000)
        let sleeper = Task<Bool, Never>(on: loop) {
            do {
                try await loop.sleep(for: .seconds(36_000))
                return false
            } catch {
                return error is CancellationError
            }
        }
        // What was begun before this is asleep by now.
        try await loop.run {}
        sleeper.cancel()
        #expect(await sleeper.value)
        let late = Task<Bool, Never>(on: loop) {
            await withCheckedContinuation { continuation in loop.execute { continuation.resume() } }
            return (try? await loop.sleep(for: .seconds(36_000))) == nil
        }
        late.cancel()
        #expect(await late.value)
        await loop.stop()
    }

    @Test("a watcher reports what can be read, and nothing once it is closed")
    func watcher() async throws {
        let loop = try EventLoop.start(name: "test")
        var descriptors: [Int32] = [0, 0]
        #expect(pipe(&descriptors) == 0)
        let (readEnd, writeEnd) = (descriptors[0], descriptors[1])
        let text = await withCheckedContinuation { (continuation: CheckedContinuation<String, Never>) in
            loop.execute {
                nonisolated(unsafe) var watcher: SocketWatcher?
                watcher = loop.watch(
                    fileDescriptor: readEnd,
                    onReadable: {
                        var buffer = [UInt8](repeating: 0, count: 16)
                        let count = read(readEnd, &buffer, 16)
                        watcher?.close()
                        watcher = nil
                        continuation.resume(returning: String(decoding: buffer[..<max(0, count)], as: UTF8.self))
                    },
                    onWritable: {}
                )
                watcher?.wantsRead = true
                _ = write(writeEnd, "bar", 3)
            }
        }
        #expect(text == "bar")
        await loop.stop()
        close(readEnd)
        close(writeEnd)
    }

    @Test("stopping at once from two places, and again later, returns each time")
    func stopsTwice() async throws {
        let loop = try EventLoop.start(name: "test")
        async let first: Void = loop.stop()
        async let second: Void = loop.stop()
        _ = await (first, second)
        await loop.stop()
    }
}
