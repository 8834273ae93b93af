internal import CPostgres
internal import Glibc
internal import ServiceRuntime

/// The calls of libpq and of the C library that block, on a thread of their own: cancelling a statement and looking a host up.
actor BlockingCalls {
    /// Permission to cancel what one connection does; may be used from any thread.
    struct CancelHandle: @unchecked Sendable {
        // Unchecked because of the C handle: libpq makes a PGcancel for just this, use from another thread.
        let handle: OpaquePointer
    }

    static let shared: BlockingCalls? = (try? DedicatedThread.start(name: "postgres-block")).map(BlockingCalls.init)

    private let thread: DedicatedThread
    nonisolated var unownedExecutor: UnownedSerialExecutor { thread.asUnownedSerialExecutor() }

    private init(thread: DedicatedThread) { self.thread = thread }

    /// Asks the server to cancel; returns when the request has been delivered. The C functions are `PQcancel` and `PQfreeCancel`.
    func cancel(_ cancel: CancelHandle) {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            _ = PQcancel(cancel.handle, buffer.baseAddress, 256)
        }
        PQfreeCancel(cancel.handle)
    }

    /// The numeric address of a host; `nil` if it has none.
    func address(of host: String) -> String? {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0, let first = list else { return nil }
        defer { freeaddrinfo(first) }
        return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { text in
            guard getnameinfo(first.pointee.ai_addr, first.pointee.ai_addrlen, text.baseAddress, 64, nil, 0, NI_NUMERICHOST) == 0,
                let start = text.baseAddress
            else { return nil }
            return String(cString: start)
        }
    }
}
