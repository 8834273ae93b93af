import Glibc
import JobWorker
import ServiceRuntime
import Synchronization

/// Runs programs in sandboxes on this machine, each under a slot of its own.
final class Sandbox: Sendable {
    /// What the machine offers.
    let host: SandboxHost
    private let loops: [EventLoop]
    private let cpu: CPUPool
    /// For what has to happen on some loop.
    var firstLoop: EventLoop { loops[0] }

    /// Watches runs on the given loops in turn, and starts them on the pool.
    init(host: SandboxHost, loops: [EventLoop], cpu: CPUPool) {
        precondition(!loops.isEmpty)
        self.host = host
        self.loops = loops
        self.cpu = cpu
    }

    /// Runs a program to its end. Cancelling the task ends the program: by SIGTERM first and five seconds later by force, or by force at
    /// once when the job that it belongs to is no longer ours.
    ///
    /// - Parameter onPrint: hears what the program prints as it prints it; called on a loop, so it must not block.
    func run(_ command: SandboxCommand, onPrint: (@Sendable (String) -> Void)? = nil) async throws -> SandboxOutcome {
        try await start(command, onPrint: onPrint).outcome()
    }

    /// Starts a program. One with a channel waits there for its run, within `waiting`.
    func start(
        _ command: SandboxCommand,
        waiting: WaitingLimits? = nil,
        lane: CPULane = .general,
        onPrint: (@Sendable (String) -> Void)? = nil
    ) async throws -> StartedSandbox {
        let slot = SandboxSlot()
        let loop = loops[slot.count % loops.count]
        let run = SandboxRun(loop: loop, limits: command.limits, waiting: command.preparation == nil ? nil : waiting, onPrint: onPrint)
        let launch = LaunchArguments(command: command, host: host, waiting: waiting)
        let (arguments, environment) = (launch.list(name: slot.name, slot: slot.number), launch.environment())
        try Task.checkCancellation()
        let (launcher, filter, hasChannel) = (host.launcher, host.filter, command.preparation != nil)
        await run.attach(
            try await cpu.run(lane: lane) {
                let input = command.input?.descriptor ?? command.door?.inside
                defer { command.door?.closeInside() }
                return try SandboxRun.spawn(
                    launcher: launcher,
                    arguments: arguments,
                    environment: environment,
                    filter: filter,
                    input: input,
                    hasChannel: hasChannel
                )
            }
        )
        if let preparation = command.preparation { await run.prepare(preparation) }
        return StartedSandbox(run: run, loop: loop, slot: slot)
    }
}

/// A user and a name for one sandbox. Of the process, because users and names of groups are the machine's.
private final class SandboxSlot: Sendable {
    private struct State {
        var taken: Set<Int> = []
        var count = 0
    }

    private static let state = Mutex(State())
    /// Process numbers come again, after a restart in a container even at once: groups of a launcher that was killed must not be in the way.
    private static let word = String(UInt32.random(in: 0...UInt32.max), radix: 36)

    let number: Int
    let count: Int
    /// The name of its groups.
    var name: String { "\(getpid())-\(Self.word)-\(count)" }

    init() {
        (number, count) = Self.state.withLock { state in
            var number = 0
            while state.taken.contains(number) { number += 1 }
            state.taken.insert(number)
            state.count += 1
            return (number, state.count)
        }
    }

    deinit { Self.state.withLock { [number] in _ = $0.taken.remove(number) } }
}

/// A program in a sandbox: waiting for its run, or doing it. It has to be followed to its ``outcome()`` or to ``discard()``.
final class StartedSandbox: Sendable {
    private let run: SandboxRun
    private let loop: EventLoop
    private let slot: SandboxSlot

    fileprivate init(run: SandboxRun, loop: EventLoop, slot: SandboxSlot) {
        self.run = run
        self.loop = loop
        self.slot = slot
    }

    /// Whether the program has ended.
    var hasEnded: Bool { run.hasEnded }

    /// Returns when the program has nothing to do before its run, with the memory that it keeps; nil when it ended or its run began instead.
    func idle() async -> Int? { await run.idle() }

    /// Begins the run, which may take so long. `onPrint` hears what the program prints, and first what it has printed so far.
    func begin(
        _ input: InputFrame,
        _ gateway: any RunGateway,
        within wallTime: Duration,
        onPrint: (@Sendable (String) -> Void)? = nil
    ) async {
        await run.begin(input, gateway, within: wallTime, onPrint: onPrint)
    }

    /// How the program ended; returns when it has. Cancelling the task ends it, see ``Sandbox/run(_:)``.
    func outcome() async throws -> SandboxOutcome {
        let interruption = JobInterruption.current
        let (run, loop) = (run, loop)
        return try await withTaskCancellationHandler {
            try await run.outcome()
        } onCancel: {
            let isImmediate = interruption?.reason?.isImmediate == true
            Task(on: loop) {
                if isImmediate { return await run.kill() }
                await run.terminate()
                try? await Task.sleep(for: .seconds(5))
                await run.kill()
            }
        }
    }

    /// Ends it without a run; returns when nothing is left of it.
    @discardableResult
    func discard() async -> SandboxOutcome? {
        await run.kill()
        // Not the caller's cancellation: who gives up a run still has to see its sandbox go.
        return await Task(on: loop) { [run] in try? await run.outcome() }.value
    }
}
