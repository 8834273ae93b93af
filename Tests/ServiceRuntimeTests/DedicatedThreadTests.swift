import Glibc
import ServiceRuntime
import Testing

private actor Blocking {
    private let thread: DedicatedThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    init(_ thread: DedicatedThread) { self.thread = thread }

    func waitForByte(on descriptor: Int32) -> UInt8 {
        var byte: UInt8 = 0
        _ = read(descriptor, &byte, 1)
        return byte
    }

    func watch(_ descriptor: Int32) async -> UInt8 {
        await withCheckedContinuation { continuation in
            thread.watch(fileDescriptor: descriptor) { [thread] in
                var byte: UInt8 = 0
                _ = read(descriptor, &byte, 1)
                thread.watch(fileDescriptor: nil)
                continuation.resume(returning: byte)
            }
        }
    }
}

@Suite("Dedicated thread")
struct DedicatedThreadTests {
    @Test("an actor that blocks on its own thread stops nobody else")
    func blocksAlone() async throws {
        let threads = try (0..<8).map { try DedicatedThread.start(name: "blocking-\($0)") }
        var pipes: [(Int32, Int32)] = []
        for _ in threads {
            var descriptors: [Int32] = [0, 0]
            #expect(pipe(&descriptors) == 0)
            pipes.append((descriptors[0], descriptors[1]))
        }
        let ends = pipes
        let sum = await withTaskGroup(of: Int.self) { group in
            for (thread, ends) in zip(threads, ends) {
                group.addTask { Int(await Blocking(thread).waitForByte(on: ends.0)) }
            }
            // Written only now: were the shared pool blocked, this task group would never get here.
            group.addTask {
                for ends in ends { _ = write(ends.1, [UInt8(1)], 1) }
                return 0
            }
            return await group.reduce(0, +)
        }
        #expect(sum == 8)
        for thread in threads { await thread.stop() }
        for (first, second) in pipes {
            close(first)
            close(second)
        }
    }

    @Test("a watched descriptor calls back on the thread while jobs still run")
    func watches() async throws {
        let thread = try DedicatedThread.start(name: "watching")
        var descriptors: [Int32] = [0, 0]
        #expect(pipe(&descriptors) == 0)
        let (readEnd, writeEnd) = (descriptors[0], descriptors[1])
        let actor = Blocking(thread)
        async let byte = actor.watch(readEnd)
        _ = write(writeEnd, [UInt8(7)], 1)
        #expect(await byte == 7)
        await thread.stop()
        close(readEnd)
        close(writeEnd)
    }
}
