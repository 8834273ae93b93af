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

    private struct State {
        var slots: Set<Int> = []
        var count = 0
    }

    /// Of the process, because users and names of groups are the machine's.
    private static let state = Mutex(State())

    /// Watches runs on the given loops in turn, and starts them on the pool.
    init(host: SandboxHost, loops: [EventLoop], cpu: CPUPool) {
        precondition(!loops.isEmpty)
        self.host = host
        self.loops = loops
        self.cpu = cpu
    }

    /// Runs a program to its end. Cancelling the task ends the program: by SIGTERM first and five seconds later by force, or by force at
    /// once when the job that it belongs to is no longer ours.
    func run(_ command: SandboxCommand) async throws -> SandboxOutcome {
        let (slot, number) = Self.state.withLock { state -> (Int, Int) in
            var slot = 0
            while state.slots.contains(slot) { slot += 1 }
            state.slots.insert(slot)
            state.count += 1
            return (slot, state.count)
        }
        defer { Self.state.withLock { _ = $0.slots.remove(slot) } }
        let loop = loops[number % loops.count]
        let run = SandboxRun(loop: loop, limits: command.limits)
        let launch = LaunchArguments(command: command, host: host)
        let (arguments, environment) = (launch.list(name: "\(getpid())-\(number)", slot: slot), launch.environment())
        try Task.checkCancellation()
        let launcher = host.launcher
        await run.attach(
            try await cpu.run {
                let input = command.input?.descriptor ?? command.door?.inside
                defer { command.door?.closeInside() }
                return try SandboxRun.spawn(launcher: launcher, arguments: arguments, environment: environment, input: input)
            }
        )
        let interruption = JobInterruption.current
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
}
