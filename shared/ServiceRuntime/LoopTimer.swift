internal import CLibEvent
internal import Glibc

/// One shot of work at a later time, on its loop's thread. Made and cancelled only there.
public final class LoopTimer {
    private let event: OpaquePointer
    private let body: () -> Void
    private unowned let loop: EventLoop
    private var selfReference: LoopTimer?
    private var freed = false

    fileprivate init(loop: EventLoop, after: Duration, body: @escaping () -> Void) {
        loop.checkIsolated()
        self.loop = loop
        self.body = body
        let holder = Unmanaged<Holder>.passRetained(Holder())
        guard
            let event = event_new(
                loop.base,
                -1,
                0,
                { _, _, context in
                    guard let context else { return }
                    Unmanaged<Holder>.fromOpaque(context).takeUnretainedValue().timer?.fire()
                },
                holder.toOpaque()
            )
        else { preconditionFailure("out of memory for a timer") }
        self.event = event
        self.holder = holder
        holder.takeUnretainedValue().timer = self
        var interval = after.timeval
        event_add(event, &interval)
        // The loop keeps a pending timer alive, as one expects of a timer that nobody holds.
        selfReference = self
    }

    private final class Holder { weak var timer: LoopTimer? }
    private let holder: Unmanaged<Holder>

    /// Keeps the timer from firing; harmless when it has fired.
    public func cancel() {
        free()
        selfReference = nil
    }

    private func fire() {
        let loop = loop
        let body = body
        free()
        selfReference = nil
        loop.turn { body() }
    }

    private func free() {
        guard !freed else { return }
        freed = true
        event_free(event)
        holder.release()
    }

    deinit { free() }
}

/// Work that repeats on its loop's thread until cancelled. Made and cancelled only there.
final class RepeatingTimer {
    private var timer: LoopTimer?
    private let loop: EventLoop
    private let interval: Duration
    private let body: () -> Void

    init(loop: EventLoop, every interval: Duration, body: @escaping () -> Void) {
        self.loop = loop
        self.interval = interval
        self.body = body
        arm()
    }

    private func arm() {
        timer = loop.timer(after: interval) { [self] in
            body()
            arm()
        }
    }

    func cancel() {
        timer?.cancel()
        timer = nil
    }
}

extension EventLoop {
    /// Runs `body` on the loop after a while. Call it on the loop.
    @discardableResult
    public func timer(after: Duration, _ body: @escaping () -> Void) -> LoopTimer {
        LoopTimer(loop: self, after: after, body: body)
    }
}

extension Duration {
    var timeval: Glibc.timeval {
        let (seconds, attoseconds) = components
        let microseconds = attoseconds / 1_000_000_000_000
        return seconds < 0 || microseconds < 0 ? Glibc.timeval() : Glibc.timeval(tv_sec: Int(seconds), tv_usec: Int(microseconds))
    }

    /// The duration in seconds, for figures that people read.
    public var inSeconds: Double {
        let (seconds, attoseconds) = components
        return Double(seconds) + Double(attoseconds) / 1e18
    }
}
