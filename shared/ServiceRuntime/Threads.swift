internal import CLinux
internal import Glibc

private final class ThreadBody {
    let name: String
    let body: @Sendable () -> Void

    init(name: String, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.body = body
    }
}

/// Starts a detached thread with a name that tools such as `top -H` show (15 characters of it).
func startThread(named name: String, _ body: @escaping @Sendable () -> Void) throws {
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let box = Unmanaged.passRetained(ThreadBody(name: name, body: body))
    var thread = pthread_t()
    let result = pthread_create(
        &thread,
        &attributes,
        { pointer in
            guard let pointer else { return nil }
            let box = Unmanaged<ThreadBody>.fromOpaque(pointer).takeRetainedValue()
            _ = auspex_name_thread(String(box.name.prefix(15)))
            box.body()
            return nil
        },
        box.toOpaque()
    )
    guard result == 0 else {
        box.release()
        throw RuntimeError.threadNotStarted(name: name, code: result)
    }
}

/// Nanoseconds of the clock that never jumps.
public func monotonicNanoseconds() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}
