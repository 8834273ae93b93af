internal import CLibEvent
internal import Glibc

/// A part of a service that is started and stopped.
///
/// `start()` returns once the part works or works on working: a dependency that is away is retried behind the scenes and shown by
/// ``Readiness``, it does not keep the service from starting.
public protocol Component: Sendable {
    /// The part's name, for logs.
    var name: String { get }
    /// Starts the part; throws only for what no waiting would mend.
    func start() async throws
    /// Finishes or releases what the part holds.
    func stop() async
}

/// Starts components in order, waits for SIGTERM or SIGINT, and stops them in reverse.
public struct Lifecycle: Sendable {
    private let components: [any Component]
    private let control: EventLoop
    private let readiness: Readiness
    private let drainTimeout: Duration
    private let logger = Logger("lifecycle")

    /// A lifecycle of the given parts; a later part may depend on an earlier one.
    public init(components: [any Component], control: EventLoop, readiness: Readiness, drainTimeout: Duration = .seconds(10)) {
        self.components = components
        self.control = control
        self.readiness = readiness
        self.drainTimeout = drainTimeout
    }

    /// Runs until a signal comes; returns once all is stopped or the time for it is over.
    public func run() async throws {
        // Registered before anything starts: a signal that comes early must not be lost.
        let stopSignal = await StopSignal.watch(on: control)
        var started: [any Component] = []
        for component in components {
            do {
                try await component.start()
            } catch {
                logger.error("a component did not start", ["component": .string(component.name), "error": .string("\(error)")])
                await stop(started)
                throw RuntimeError.componentNotStarted(name: component.name, reason: "\(error)")
            }
            started.append(component)
        }
        logger.notice("started")
        let signal = await stopSignal.wait()
        logger.notice("stopping", ["signal": .string(signal)])
        readiness.drain()
        let watchdog = startWatchdog()
        await stop(started)
        watchdog.cancel()
        logger.notice("stopped")
    }

    private func stop(_ components: [any Component]) async {
        for component in components.reversed() { await component.stop() }
    }

    /// What hangs in its stop must not keep the process: everything durable is safe by then or is retried by others.
    private func startWatchdog() -> Task<Void, Never> {
        let timeout = drainTimeout
        return Task(on: control) {
            guard (try? await Task.sleep(for: timeout, clock: .continuous)) != nil else { return }
            Logger("lifecycle").error("not stopped in time; leaving", ["seconds": .number(timeout.inSeconds)])
            exit(1)
        }
    }
}

/// SIGTERM and SIGINT as something to await.
private final class StopSignal: @unchecked Sendable {
    // Unchecked because only the control loop's thread touches the fields.
    private var events: [OpaquePointer] = []
    private var received: String?
    private var waiter: CheckedContinuation<String, Never>?
    private let loop: EventLoop

    private init(loop: EventLoop) { self.loop = loop }

    static func watch(on loop: EventLoop) async -> StopSignal {
        let watcher = StopSignal(loop: loop)
        await withCheckedContinuation { continuation in
            loop.execute {
                for number in [SIGTERM, SIGINT] {
                    let event = event_new(
                        loop.base,
                        number,
                        Int16(EV_SIGNAL | EV_PERSIST),
                        { number, _, context in
                            guard let context else { return }
                            let watcher = Unmanaged<StopSignal>.fromOpaque(context).takeUnretainedValue()
                            watcher.loop.turn { watcher.receive(number == SIGTERM ? "SIGTERM" : "SIGINT") }
                        },
                        Unmanaged.passUnretained(watcher).toOpaque()
                    )
                    guard let event else { preconditionFailure("out of memory for a signal event") }
                    event_add(event, nil)
                    watcher.events.append(event)
                }
                continuation.resume()
            }
        }
        return watcher
    }

    func wait() async -> String {
        await withCheckedContinuation { continuation in
            loop.execute { [self] in
                if let received { continuation.resume(returning: received) } else { waiter = continuation }
            }
        }
    }

    private func receive(_ name: String) {
        received = name
        waiter?.resume(returning: name)
        waiter = nil
    }
}
