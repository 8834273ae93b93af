internal import CSandbox
import Glibc
import ServiceRuntime

/// One run in a sandbox: the launcher as a child, and its pipes on an event loop.
///
/// Everything here happens on the loop's thread. The run ends when the status pipe and both output pipes have ended; the launcher itself
/// is collected a moment later, while nobody waits for it.
actor SandboxRun {
    private nonisolated let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    private let limits: SandboxLimits
    private var control: Int32 = -1
    private var inputs: [Int32: Input] = [:]
    private var log: CapturedLog
    private var result: [UInt8] = []
    private var status: [UInt8] = []
    private var killer: SandboxOutcome.Killer?
    private var waiter: CheckedContinuation<SandboxOutcome, any Error>?
    private var finished: Result<SandboxOutcome, any Error>?

    /// Where the bytes of a pipe go.
    private enum Sink { case log, result, status }

    private struct Input {
        var sink: Sink
        var watcher: SocketWatcher
    }

    /// A run that has not begun, on the given loop.
    init(loop: EventLoop, limits: SandboxLimits) {
        self.loop = loop
        self.limits = limits
        log = CapturedLog(capacity: limits.logBytes)
    }

    /// A launcher that was started, with our ends of its pipes.
    struct Started: Sendable {
        fileprivate let pid: pid_t
        fileprivate let output: Int32
        fileprivate let results: Int32
        fileprivate let status: Int32
        fileprivate let control: Int32
    }

    /// Starts the launcher; throws when the machine does not allow it. Blocks until the launcher's program is loaded: not for a loop.
    ///
    /// - Parameters:
    ///   - environment: bwrap's arguments about the environment, as the launcher reads them.
    ///   - input: what it has at descriptor 4.
    static func spawn(launcher: String, arguments: [String], environment: [UInt8], input: Int32?) throws(SandboxError) -> Started {
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard null >= 0 else { throw SandboxError.system(call: "open /dev/null", code: errno) }
        defer { close(null) }
        let variables = try memoryFile(environment)
        defer { close(variables) }
        var pipes: [Pipe] = []
        do {
            for _ in 0..<4 { pipes.append(try Pipe()) }
            let (output, results, status, control) = (pipes[0], pipes[1], pipes[2], pipes[3])
            let pid = try ChildProcess.spawn(
                path: launcher,
                arguments: arguments,
                environment: [:],
                descriptors: [
                    null, output.writeEnd, output.writeEnd, results.writeEnd, input ?? null, status.writeEnd, control.readEnd,
                    variables,
                ]
            )
            for end in [output.writeEnd, results.writeEnd, status.writeEnd, control.readEnd] { close(end) }
            return Started(pid: pid, output: output.readEnd, results: results.readEnd, status: status.readEnd, control: control.writeEnd)
        } catch {
            for pipe in pipes { pipe.close() }
            throw error
        }
    }

    private static func memoryFile(_ bytes: [UInt8]) throws(SandboxError) -> Int32 {
        let descriptor = auspex_memory_file("auspex-environment")
        guard descriptor >= 0 else { throw .system(call: "memfd_create", code: errno) }
        // The kernel's memory takes a few kilobytes whole or not at all.
        guard write(descriptor, bytes, bytes.count) == bytes.count, lseek(descriptor, 0, SEEK_SET) == 0 else {
            let code = errno
            close(descriptor)
            throw .system(call: "write the environment", code: code)
        }
        return descriptor
    }

    /// Takes over a launcher that was started.
    func attach(_ started: Started) {
        control = started.control
        watch(started.output, .log)
        watch(started.results, .result)
        watch(started.status, .status)
        collectLater(started.pid)
    }

    /// How it ended; returns when it has.
    func outcome() async throws -> SandboxOutcome {
        if let finished { return try finished.get() }
        return try await withCheckedThrowingContinuation { waiter = $0 }
    }

    /// Asks the program to end (SIGTERM).
    func terminate() { send(UInt8(ascii: "T")) }

    /// Kills everything in the sandbox.
    func kill() { kill(.order) }

    private func kill(_ reason: SandboxOutcome.Killer) {
        guard finished == nil else { return }
        if killer == nil { killer = reason }
        send(UInt8(ascii: "K"))
    }

    private func send(_ order: UInt8) {
        guard control >= 0 else { return }
        var order = order
        _ = write(control, &order, 1)
    }

    private func watch(_ descriptor: Int32, _ sink: Sink) {
        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
        let watcher = loop.watch(fileDescriptor: descriptor, onReadable: { self.readable(descriptor) }, onWritable: {})
        watcher.wantsRead = true
        inputs[descriptor] = Input(sink: sink, watcher: watcher)
    }

    private func readable(_ descriptor: Int32) {
        guard let sink = inputs[descriptor]?.sink else { return }
        // A bounded share of a turn: a flooding program must not keep the loop from its other runs.
        withUnsafeTemporaryAllocation(byteCount: 65536, alignment: 16) { buffer in
            for _ in 0..<4 {
                let count = read(descriptor, buffer.baseAddress, buffer.count)
                if count < 0 && errno == EINTR { continue }
                if count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) { return }
                guard count > 0 else { return ended(descriptor) }
                take(UnsafeRawBufferPointer(rebasing: buffer[..<count]), sink)
            }
        }
    }

    private func take(_ bytes: UnsafeRawBufferPointer, _ sink: Sink) {
        switch sink {
        case .log:
            log.append(bytes)
            if log.totalBytes > limits.floodBytes { kill(.logFlood) }
        case .result:
            if result.count + bytes.count > limits.resultBytes { return kill(.resultFlood) }
            result += bytes
        case .status:
            if status.count < 4096 { status += bytes }
        }
    }

    private func ended(_ descriptor: Int32) {
        inputs.removeValue(forKey: descriptor)?.watcher.close()
        close(descriptor)
        if inputs.isEmpty { finish() }
    }

    private func finish() {
        if control >= 0 { close(control) }
        control = -1
        let outcome = Result { () throws -> SandboxOutcome in try makeOutcome() }
        finished = outcome
        waiter?.resume(with: outcome)
        waiter = nil
    }

    private func makeOutcome() throws(SandboxError) -> SandboxOutcome {
        let status = try LauncherStatus(String(decoding: status, as: UTF8.self))
        let signal = status.count("signal")
        let launcherKiller: SandboxOutcome.Killer? =
            switch status.killed {
            case "deadline": .deadline
            case "order": .order
            case nil, "leftover", "memory": nil
            default: .outside
            }
        // A flood counts even when the program ended before the order reached it: what it said is incomplete.
        let flooded = killer == .logFlood || killer == .resultFlood
        return SandboxOutcome(
            exitCode: signal > 0 ? 128 + signal : status.count("exit"),
            killer: flooded ? killer : launcherKiller,
            outOfMemory: status.count("out_of_memory_kills") > 0,
            hitProcessLimit: status.count("process_limit_hits") > 0,
            wallTime: .microseconds(status.count("wall_microseconds")),
            cpuSeconds: Double(status.count("cpu_microseconds")) / 1e6,
            memoryPeakBytes: Int64(status.count("memory_peak_bytes")),
            result: result,
            log: log
        )
    }

    /// Looks after the launcher until it can be collected; it ends a moment after the run, once its cgroups are gone.
    private func collectLater(_ pid: pid_t) {
        loop.timer(after: .milliseconds(finished == nil ? 50 : 2)) {
            if !ChildProcess.collect(pid) { self.collectLater(pid) }
        }
    }
}
