internal import CSandbox
import Contracts
import Glibc
import ServiceRuntime
import Synchronization

/// One run in a sandbox: the launcher as a child, its pipes and its channel on an event loop.
///
/// A program with a channel is started ahead of its run and waits on the channel for ``begin(_:_:)``; from there on its limits and its time count.
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
    private var printed = PrintedText()
    /// Hears what is printed, as it is printed.
    private var onPrint: (@Sendable (String) -> Void)?
    private var result: [UInt8] = []
    private var status: [UInt8] = []
    private var killer: SandboxOutcome.Killer?
    private var channel: RunChannel?
    private var gateway: (any RunGateway)?
    /// What the program is told when the launcher has lifted the limits of its waiting; nil when it has been told.
    private var unsaid: InputFrame?
    private let waitsForLimits: Bool
    private var hasBegun: Bool
    private var pid: pid_t = 0
    private var serving: Task<Void, Never>?
    private var isReady = false
    private var idleBytes: Int?
    private var idleWaiter: CheckedContinuation<Int?, Never>?
    private nonisolated let ended = Atomic(false)
    private var waiter: CheckedContinuation<SandboxOutcome, any Error>?
    private var finished: Result<SandboxOutcome, any Error>?

    /// Where the bytes of a pipe go.
    private enum Sink { case log, result, status }

    private struct Input {
        var sink: Sink
        var watcher: SocketWatcher
    }

    /// A run that has not begun, on the given loop.
    init(loop: EventLoop, limits: SandboxLimits, waiting: WaitingLimits? = nil, onPrint: (@Sendable (String) -> Void)? = nil) {
        self.loop = loop
        // Where waiting has no limits of its own, there is nothing to be lifted.
        waitsForLimits = waiting?.memoryBytes != nil
        hasBegun = waiting == nil
        self.limits = limits
        self.onPrint = onPrint
        log = CapturedLog(capacity: limits.logBytes)
    }

    /// A launcher that was started, with our ends of its pipes.
    struct Started: Sendable {
        fileprivate let pid: pid_t
        fileprivate let output: Int32
        fileprivate let results: Int32
        fileprivate let status: Int32
        fileprivate let control: Int32
        fileprivate let channel: Int32
    }

    /// Starts the launcher; throws when the machine does not allow it. Blocks until the launcher's program is loaded: not for a loop.
    ///
    /// - Parameters:
    ///   - environment: bwrap's arguments about the environment, as the launcher reads them.
    ///   - filter: the compiled system call filter, if there is one.
    ///   - input: what is at descriptor 4, unless `hasChannel`.
    static func spawn(
        launcher: String,
        arguments: [String],
        environment: [UInt8],
        filter: SystemCallFilter?,
        input: Int32?,
        hasChannel: Bool = false
    ) throws(SandboxError) -> Started {
        let null = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard null >= 0 else { throw SandboxError.system(call: "open /dev/null", code: errno) }
        defer { close(null) }
        let variables = try memoryFile(environment)
        defer { close(variables) }
        let channel = hasChannel ? try RunChannel.pair() : (ours: Int32(-1), theirs: Int32(-1))
        defer { if hasChannel { close(channel.theirs) } }
        var pipes: [Pipe] = []
        do {
            for _ in 0..<4 { pipes.append(try Pipe()) }
            let (output, results, status, control) = (pipes[0], pipes[1], pipes[2], pipes[3])
            let pid = try ChildProcess.spawn(
                path: launcher,
                arguments: arguments,
                environment: [:],
                descriptors: [
                    null, output.writeEnd, output.writeEnd, results.writeEnd, hasChannel ? channel.theirs : input ?? null,
                    status.writeEnd, control.readEnd, variables, filter?.descriptor ?? null,
                ]
            )
            for end in [output.writeEnd, results.writeEnd, status.writeEnd, control.readEnd] { close(end) }
            return Started(
                pid: pid,
                output: output.readEnd,
                results: results.readEnd,
                status: status.readEnd,
                control: control.writeEnd,
                channel: channel.ours
            )
        } catch {
            if hasChannel { close(channel.ours) }
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
        if started.channel >= 0 {
            channel = RunChannel(loop: loop, descriptor: started.channel) { message in self.take(message) }
        }
        pid = started.pid
    }

    // MARK: The channel

    /// Whether the run has ended; of a program that still waits, that it cannot be used.
    nonisolated var hasEnded: Bool { ended.load(ordering: .acquiring) }

    /// Says what can be known before the run: the first message that the program takes.
    func prepare(_ message: [UInt8]) { channel?.send(message) }

    /// Begins the run: the program takes its input, and may ask the gateway from now on.
    func begin(_ input: InputFrame, _ gateway: any RunGateway, within wallTime: Duration, onPrint: (@Sendable (String) -> Void)?) {
        if let onPrint {
            self.onPrint = onPrint
            if log.totalBytes > 0 { onPrint(log.text) }
        }
        guard finished == nil else { return }
        self.gateway = gateway
        let milliseconds = UInt64(max(1, wallTime.wholeMicroseconds / 1000)).littleEndian
        // One write: the launcher reads the order and its time together.
        send([UInt8(ascii: "S")] + withUnsafeBytes(of: milliseconds) { Array($0) })
        // Who waits for its imports waits for nothing now.
        idleWaiter?.resume(returning: nil)
        idleWaiter = nil
        // Under the limits of its waiting the code must not meet its bars: what it would be killed for then is not its fault.
        if waitsForLimits { unsaid = input } else { start(input) }
    }

    /// A small input follows in the start message, a large one as a file with a message of its own.
    private func start(_ input: InputFrame) {
        let start = Array(#"{"start":true}"#.utf8)
        guard let bytes = input.messageBytes else {
            channel?.send(start)
            channel?.send(Array(#"{"input":true}"#.utf8), input)
            return
        }
        let blanks = [UInt8](repeating: UInt8(ascii: " "), count: Self.startLength - start.count)
        channel?.send(start + blanks + bytes)
    }

    /// What a frame stands behind in the start message, in bytes, as in the SDK's `_channel.py`.
    private static let startLength = 64

    /// Waits until the program has nothing to do before its run, and takes away what it does not need then; gives the memory that it keeps, in
    /// bytes, or nil when it ended or its run began instead.
    func idle() async -> Int? {
        if finished != nil || gateway != nil { return nil }
        if let idleBytes { return idleBytes }
        return await withCheckedContinuation { idleWaiter = $0 }
    }

    private func take(_ message: [UInt8]) {
        // The runner says once that it is ready, which may come after the order to begin. Its code may have said so before: no question either.
        if message == Array(#"{"ready":true}"#.utf8) {
            if !isReady, gateway == nil { send(UInt8(ascii: "I")) }
            isReady = true
            return
        }
        // The number of the question, which its answer carries as well.
        let id = (try? WireJSON.parse(message))?["id"]?.integer
        guard let gateway else {
            channel?.send(GatewayAnswer.tooEarly.message(id))
            return
        }
        channel?.pause()
        serving = Task(on: loop) { await self.reply(await gateway.answer(message), id) }
    }

    private func reply(_ answer: GatewayAnswer, _ id: Int64?) {
        serving = nil
        let file: InputFrame?
        switch answer {
        case .end: return kill(.order)
        case .bars(let bars): file = bars
        case .refusal: file = nil
        }
        channel?.send(answer.message(id), file)
        channel?.resume()
    }

    /// Before its last line the launcher says how much memory an idle program keeps, and that the limits of waiting are lifted.
    private func readEarlyLines() {
        while let end = status.firstIndex(of: UInt8(ascii: "\n")) {
            let line = String(decoding: status[..<end], as: UTF8.self)
            if line == "begun" {
                status.removeSubrange(...end)
                hasBegun = true
                if let input = unsaid { start(input) }
                unsaid = nil
            } else if line.hasPrefix("idle memory_bytes=") {
                status.removeSubrange(...end)
                let bytes = Int(line.drop { $0 != "=" }.dropFirst()) ?? 0
                idleBytes = bytes
                idleWaiter?.resume(returning: bytes)
                idleWaiter = nil
            } else {
                return
            }
        }
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

    private func send(_ order: UInt8) { send([order]) }

    private func send(_ order: [UInt8]) {
        guard control >= 0 else { return }
        _ = write(control, order, order.count)
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
            if let onPrint { onPrint(printed.take(bytes)) }
            if log.totalBytes > limits.floodBytes { kill(.logFlood) }
        case .result:
            if result.count + bytes.count > limits.resultBytes { return kill(.resultFlood) }
            result += bytes
        case .status:
            if status.count < 4096 { status += bytes }
            readEarlyLines()
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
        channel?.close()
        channel = nil
        unsaid = nil
        serving?.cancel()
        let outcome = Result { () throws -> SandboxOutcome in try makeOutcome() }
        finished = outcome
        ended.store(true, ordering: .releasing)
        idleWaiter?.resume(returning: nil)
        idleWaiter = nil
        waiter?.resume(with: outcome)
        waiter = nil
        if pid > 0 { collectLater(pid, after: .milliseconds(2)) }
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
            hasBegun: hasBegun,
            result: result,
            log: log
        )
    }

    /// Looks after the launcher, whose pipes have ended, until it can be collected; it ends a moment after the run, once its cgroups are gone.
    private func collectLater(_ pid: pid_t, after pause: Duration) {
        loop.timer(after: pause) {
            if !ChildProcess.collect(pid) { self.collectLater(pid, after: min(pause * 2, .milliseconds(50))) }
        }
    }
}
