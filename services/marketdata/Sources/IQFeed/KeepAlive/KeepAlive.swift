import Contracts
import LineConnections
import ServiceRuntime

/// Keeps DTN's client program running: starts it, logs it in, listens to two of its doors, and starts it again when it is gone or hangs.
///
/// A living client says something each second at the admin port (`S,STATS`) and at level 1 (`T`). A door that is silent means a hang; one that was cut and
/// does not open again at once means that the program is gone. The two connections are also what keeps the program from ending by itself.
actor KeepAlive: Component {
    /// How things stand.
    enum State: Sendable, Equatable {
        case stopped
        /// It was started, or is looked for, and does not work yet.
        case starting(String)
        /// Both doors speak and the vendor's servers are reached.
        case live
        /// It failed; the next start comes after a pause.
        case down(String)
    }

    /// Why a life of the program ended.
    enum Failure: Sendable, Equatable, CustomStringConvertible {
        case notStarted(String)
        case gone(IQFeedDoor, String)
        case hung(IQFeedDoor)

        var description: String {
            switch self {
            case .notStarted(let why): "it did not start: \(why)"
            case .gone(let door, let why): "it is gone (\(door.rawValue): \(why))"
            case .hung(let door): "it hangs (\(door.rawValue) is silent)"
            }
        }

        var word: String {
            switch self {
            case .notStarted: "not_started"
            case .gone: "gone"
            case .hung: "hung"
            }
        }
    }

    nonisolated let name = "iqfeed-keepalive"
    /// Connections that may be cut one soon after the other.
    private static let maximumHangUps = 5
    private let connector: IQFeedConnector
    private let login: IQFeedLogin
    private let command: [String]
    private let environment: [String: String]
    private let timing: KeepAliveTiming
    private let loop: EventLoop
    private let time: any TimeSource
    private let clientCheck: ReadinessCheck
    private let serverCheck: ReadinessCheck
    private let logger = Logger("iqfeed-keepalive")
    private let background = BackgroundTask()
    private var child: ChildProgram?
    private var backoff: Backoff
    private(set) var state = State.stopped
    private var waiters: [(number: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    private var lastNumber: UInt64 = 0
    /// Whether `S,STATS` says that the vendor's servers are reached; nothing while there is no such line.
    private var isConnected: Bool?
    private var isLevel1Up = false
    /// Lines that each door has said.
    private(set) var linesHeard: [IQFeedDoor: Int] = [:]
    private var liveSince: UInt64?
    private var nextLoginAt: UInt64 = 0
    private var loginPause = Duration.zero
    private var connectedWaiters: [CheckedContinuation<Void, Never>] = []
    /// Told of each change, for whoever wants to follow.
    private let onChange: @Sendable (State) -> Void

    private let up = Metrics.shared.gauge("marketdata_iqfeed_client_up", help: "Whether DTN's client program works.")
    private let sinceUpdate = Metrics.shared.gauge(
        "marketdata_iqfeed_seconds_since_update",
        help: "How long ago the vendor's servers sent something, as the client program says."
    )

    /// It runs where its connections run.
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    /// - Parameter environment: all that the client program gets of the environment; no secrets.
    init(
        connector: IQFeedConnector,
        login: IQFeedLogin,
        command: [String],
        environment: [String: String],
        timing: KeepAliveTiming = KeepAliveTiming(),
        readiness: Readiness,
        random: @escaping @Sendable () -> Double = { .random(in: 0...1) },
        onChange: @escaping @Sendable (State) -> Void = { _ in }
    ) {
        self.connector = connector
        self.login = login
        self.command = command
        self.environment = environment
        self.timing = timing
        self.onChange = onChange
        loop = connector.loop
        time = connector.time
        backoff = Backoff(first: timing.firstRestart, longest: timing.longestRestart, random: random)
        clientCheck = readiness.register("iqfeed client")
        serverCheck = readiness.register("iqfeed servers")
    }

    /// What of this process's environment the client program may see: nothing of Auspex, where the secrets are.
    static func cleaned(_ environment: [String: String]) -> [String: String] { environment.filter { !$0.key.hasPrefix("AUSPEX_") } }

    nonisolated func start() async throws { background.start(on: loop) { await self.run() } }

    /// Stops watching, and ends the program if it was started here.
    nonisolated func stop() async {
        await background.stop()
        await endChild()
        await change(.stopped)
    }

    /// Returns once the client program works; throws `SourceError.unavailable` when it does not within that time.
    func whenLive(within limit: Duration) async throws {
        if state == .live { return }
        lastNumber += 1
        let number = lastNumber
        let late = SourceError.unavailable("IQFeed's client program does not work")
        do {
            try await withDeadline(limit, time: time, orThrow: late) { try await self.waitForLive(number) }
        } catch let error as SourceError where error == late {
            throw SourceError.unavailable("IQFeed's client program: \(Self.text(state))")
        }
    }

    /// Whether a program was started here and has ended.
    var childHasEnded: Bool { child == nil || child?.exit != nil }

    /// A state in a few words.
    static func text(_ state: State) -> String {
        switch state {
        case .stopped: "not watched"
        case .starting(let detail): "starting: \(detail)"
        case .live: "live"
        case .down(let why): why
        }
    }

    // MARK: Lives of the program

    private func run() async {
        while !Task.isCancelled {
            do {
                try await failed(liveOnce())
            } catch { break }
        }
    }

    /// Tells of a failure, ends what is left of the program, and waits before the next start.
    private func failed(_ failure: Failure) async throws {
        try Task.checkCancellation()
        let lived = liveSince.map { Duration.nanoseconds(Int64(time.monotonicNanoseconds() - $0)) } ?? .zero
        liveSince = nil
        isLevel1Up = false
        setConnected(nil)
        if lived >= timing.healthyAfter { backoff.succeeded() }
        backoff.failed()
        let pause = backoff.delay
        change(.down(failure.description))
        Metrics.shared.counter(
            "marketdata_iqfeed_client_failures_total",
            help: "How often DTN's client program was found gone, hanging or not starting.",
            labels: ["reason": failure.word]
        ).increment()
        logger.error(
            "alarm: IQFeed's client program failed",
            [
                "reason": .string(failure.description), "next_start_in_seconds": .number(pause.inSeconds),
                "failures_in_a_row": .integer(backoff.failures),
            ]
        )
        // One that hangs hears no polite signal.
        child?.signal(9)
        _ = await child?.waitForExit()
        child = nil
        try await time.sleep(for: pause)
    }

    private func liveOnce() async throws -> Failure {
        change(.starting("looking for a running one"))
        var admin = try? await connector.connect(.admin)
        try Task.checkCancellation()
        if admin == nil {
            guard !command.isEmpty else { return .notStarted("none runs, and AUSPEX_DTN_COMMAND names none to start") }
            change(.starting("started"))
            do { child = try await ChildProgram.start(command, environment: environment, on: loop) } catch { return .notStarted("\(error)") }
            logger.notice("IQFeed's client program was started", ["process": .integer(Int(child?.processID ?? 0))])
            let begunAt = time.monotonicNanoseconds()
            while admin == nil {
                // A launcher that ends well may leave the program running behind it.
                if let exit = child?.exit, exit != .code(0) { return .notStarted("it ended at once (\(exit))") }
                guard time.monotonicNanoseconds() - begunAt < UInt64(timing.startLimit.inSeconds * 1e9) else {
                    return .notStarted("its admin port does not open")
                }
                try await time.sleep(for: timing.pause)
                admin = try? await connector.connect(.admin)
            }
        }
        guard let admin else { return .notStarted("its admin port does not open") }
        return await watch(admin)
    }

    /// Listens to both doors until one of them tells of a failure.
    private func watch(_ admin: IQFeedSession) async -> Failure {
        change(.starting("not connected to the vendor's servers yet"))
        nextLoginAt = 0
        loginPause = .zero
        return await withTaskGroup(of: Failure?.self) { group in
            group.addTask { await self.keepOpen(.admin, admin) }
            group.addTask { await self.keepOpen(.level1, nil) }
            defer {
                group.cancelAll()
                releaseConnectedWaiters()
            }
            while let failure = await group.next() {
                if let failure { return failure }
            }
            return .gone(.admin, "stopping")
        }
    }

    /// Reads a door; one that is cut is opened again at once, or the program is gone. Nothing when the task was cancelled.
    private func keepOpen(_ door: IQFeedDoor, _ first: IQFeedSession?) async -> Failure? {
        var session = first
        var hangUps = 0
        var refusedSince: UInt64?
        while !Task.isCancelled {
            let begunAt = time.monotonicNanoseconds()
            if door == .level1 { await waitUntilConnected() }
            if Task.isCancelled { break }
            do {
                let current: IQFeedSession
                if let session { current = session } else { current = try await connector.connect(door) }
                session = nil
                refusedSince = nil
                do { try await read(door, current) } catch {
                    await current.connection.close()
                    throw error
                }
                // It ended after a whole line: the next connection decides.
            } catch let error as LineConnectionError {
                if case .silent = error {
                    // Level 1 may fall silent while the vendor's servers are away: that is no hang.
                    if door == .admin || isConnected == true { return .hung(door) }
                }
            } catch {
                if Task.isCancelled { break }
                // The admin port is open as long as the program runs; level 1 may open a little later than that says `Connected`.
                let since = refusedSince ?? time.monotonicNanoseconds()
                let isPatient = door == .level1 && time.monotonicNanoseconds() - since < UInt64(timing.opening.inSeconds * 1e9)
                if !isPatient, door == .admin || isConnected == true { return .gone(door, "\(error)") }
                refusedSince = since
                hangUps = 0
                guard (try? await time.sleep(for: timing.openingPause)) != nil else { break }
            }
            if door == .level1 {
                isLevel1Up = false
                settle()
            }
            // One that hangs up as soon as somebody comes is not worked with in a circle.
            hangUps = time.monotonicNanoseconds() - begunAt < 10_000_000_000 ? hangUps + 1 : 1
            if hangUps == Self.maximumHangUps, door == .admin || isConnected == true { return .gone(door, "it hangs up again and again") }
        }
        return nil
    }

    private func read(_ door: IQFeedDoor, _ session: IQFeedSession) async throws {
        let connection = session.connection
        await connection.watchSilence(timing.silence)
        for line in session.greeting { heard(line, door, connection) }
        while let batch = try await connection.next() {
            try Task.checkCancellation()
            for line in batch.lines { heard(line, door, connection) }
        }
    }

    private func heard(_ line: String, _ door: IQFeedDoor, _ connection: LineConnection) {
        linesHeard[door, default: 0] += 1
        switch door {
        case .admin:
            if let stats = IQFeedStats(line: line) {
                sinceUpdate.set(Double(stats.secondsSinceUpdate))
                setConnected(stats.isConnected)
                if !stats.isConnected { logIn(connection) }
                settle()
            } else if line.hasPrefix("E,") {
                // The line itself may repeat what was sent.
                logger.error("alarm: IQFeed's client program refused a command of the login")
            }
        case .level1:
            if line.hasPrefix("T,"), !isLevel1Up {
                isLevel1Up = true
                settle()
            }
        case .lookup, .derivatives: break
        }
    }

    /// Registers and logs in over the admin port, which no other process can look into; again after a pause that doubles.
    private func logIn(_ connection: LineConnection) {
        let now = time.monotonicNanoseconds()
        guard now >= nextLoginAt else { return }
        loginPause = loginPause == .zero ? timing.loginPause : min(loginPause * 2, .seconds(600))
        nextLoginAt = now + UInt64(loginPause.inSeconds * 1e9)
        logger.notice("logging IQFeed's client program in")
        let commands = [
            "S,REGISTER CLIENT APP,\(login.product),\(AuspexVersion.current)", "S,SET LOGINID,\(login.login)", "S,SET PASSWORD,\(login.password)",
            "S,SET SAVE LOGIN INFO,Off", "S,SET AUTOCONNECT,On", "S,CONNECT",
        ]
        connection.assumeIsolated { connection in
            for command in commands { try? connection.send(command) }
        }
    }

    // MARK: What is known

    private func setConnected(_ connected: Bool?) {
        guard connected != isConnected else { return }
        if connected == false, isConnected == true { logger.error("alarm: IQFeed's client program lost the vendor's servers") }
        isConnected = connected
        serverCheck.set(ready: connected == true, detail: connected == true ? "" : connected == nil ? "not known" : "not connected")
        if connected == true {
            loginPause = .zero
            releaseConnectedWaiters()
        }
    }

    /// Live is what speaks at both doors and reaches the vendor.
    private func settle() {
        if isConnected == true, isLevel1Up {
            if liveSince == nil { liveSince = time.monotonicNanoseconds() }
            change(.live)
        } else {
            change(.starting(isConnected == true ? "level 1 does not speak yet" : "not connected to the vendor's servers"))
        }
    }

    private func change(_ new: State) {
        guard new != state else { return }
        if new == .live { logger.notice("IQFeed's client program works") }
        state = new
        up.set(new == .live ? 1 : 0)
        clientCheck.set(ready: new == .live, detail: new == .live ? "" : Self.text(new))
        if new == .live {
            let released = waiters
            waiters = []
            for waiter in released { waiter.continuation.resume() }
        }
        onChange(new)
    }

    private func waitForLive(_ number: UInt64) async throws {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if state == .live {
                    continuation.resume()
                } else if Task.isCancelled {
                    continuation.resume(throwing: CancellationError())
                } else {
                    waiters.append((number, continuation))
                }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.leave(number) } }
        }
    }

    private func leave(_ number: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.number == number }) else { return }
        waiters.remove(at: index).continuation.resume(throwing: CancellationError())
    }

    /// Returns when `S,STATS` says that the vendor's servers are reached, or when watching is over.
    private func waitUntilConnected() async {
        while isConnected != true, !Task.isCancelled {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    if Task.isCancelled || isConnected == true { continuation.resume() } else { connectedWaiters.append(continuation) }
                }
            } onCancel: {
                loop.execute { self.assumeIsolated { $0.releaseConnectedWaiters() } }
            }
        }
    }

    private func releaseConnectedWaiters() {
        let released = connectedWaiters
        connectedWaiters = []
        for continuation in released { continuation.resume() }
    }

    /// Asks the program to end, and makes it end after 3 s.
    private func endChild() async {
        guard let child else { return }
        self.child = nil
        guard child.exit == nil else { return child.signal(9) }
        child.signal(15)
        let watchdog = Task(on: loop) { [time] in
            guard (try? await time.sleep(for: .seconds(3))) != nil else { return }
            child.signal(9)
        }
        _ = await child.waitForExit()
        watchdog.cancel()
        child.signal(9)
    }
}
