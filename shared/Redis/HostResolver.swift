internal import Glibc
internal import ServiceRuntime
internal import Synchronization

/// Looks up host names on a thread of its own, which exists only when there is a name to look up.
final class HostResolver: Sendable {
    private let thread = Mutex<DedicatedThread?>(nil)

    private actor Lookup {
        private let thread: DedicatedThread
        nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

        init(_ thread: DedicatedThread) { self.thread = thread }

        func resolve(_ address: RedisAddress) -> String? { address.resolvedHost() }
    }

    func resolve(_ address: RedisAddress, _ completion: @escaping @Sendable (String?) -> Void) {
        var digits = in6_addr()
        if inet_pton(AF_INET, address.host, &digits) == 1 || inet_pton(AF_INET6, address.host, &digits) == 1 { return completion(address.host) }
        let started = thread.withLock { thread -> DedicatedThread? in
            if thread == nil { thread = try? DedicatedThread.start(name: "redis-names") }
            return thread
        }
        guard let started, let loop = EventLoop.current else { return completion(nil) }
        Task(on: loop) { completion(await Lookup(started).resolve(address)) }
    }

    func stop() async {
        await thread.withLock { $0 }?.stop()
    }
}
