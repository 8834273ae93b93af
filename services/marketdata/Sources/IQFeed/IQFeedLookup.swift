import Contracts
import LineConnections
import ServiceRuntime

/// What the lookup client allows itself.
struct IQFeedLookupLimits: Sendable, Equatable {
    var requestsPerSecond = 50
    var sockets = 4
    /// Requests under way on one socket.
    var requestsPerSocket = 8
    /// Requests that may wait for a place.
    var waiting = 1_000
    /// How often a request is sent before its failure is told.
    var attempts = 3
    /// How long a socket with requests under way may be silent; the client program can take long to begin an answer.
    var silence = Duration.seconds(30)
    /// How long one request may take in all.
    var deadline = Duration.seconds(600)
    var answerBytes = 256 << 20
    /// All answers that are coming in, together.
    var totalBytes = 512 << 20
}

/// The history client: many requests at once over a few sockets of the lookup port, each answer matched by its id.
///
/// An answer is whole when its end line came; anything else that happens to it is an error, and what came of it is dropped.
actor IQFeedLookup {
    /// A request under way.
    private struct Pending {
        var answer: IQFeedAnswer
        let continuation: CheckedContinuation<[UInt8]?, any Error>
        let deadline: Task<Void, Never>
    }

    /// One connection. Unchecked because the lookup client alone touches it, on its loop.
    private final class Socket: @unchecked Sendable {
        let session: IQFeedSession
        var pending: [UInt64: Pending] = [:]
        /// Places taken: requests under way, and those about to be sent.
        var taken = 0
        var isOpen = true

        init(_ session: IQFeedSession) { self.session = session }
    }

    /// How it has been doing.
    struct Record: Sendable, Equatable {
        var lastAnswerAt: Timestamp?
        var lastFailureAt: Timestamp?
        var lastFailure: String?
        var openSockets = 0
        var underWay = 0
        /// Bytes of answers that are not whole yet.
        var pendingBytes = 0
    }

    private let connector: IQFeedConnector
    private let limits: IQFeedLookupLimits
    private let loop: EventLoop
    private let time: any TimeSource
    private let logger = Logger("iqfeed-lookup")
    private var sockets: [Socket] = []
    private var opening = 0
    private var waiters: [(number: UInt64, continuation: CheckedContinuation<Void, any Error>)] = []
    private var pacer: RequestPacer
    private var backoff: Backoff
    private var lastNumber: UInt64 = 0
    private var byteCount = 0
    private var record = Record()
    private var isStopped = false

    /// It runs where its connections run.
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        connector: IQFeedConnector,
        limits: IQFeedLookupLimits = IQFeedLookupLimits(),
        backoff: Backoff = Backoff(first: .milliseconds(500), longest: .seconds(30))
    ) {
        self.connector = connector
        self.limits = limits
        self.backoff = backoff
        loop = connector.loop
        time = connector.time
        pacer = RequestPacer(perSecond: limits.requestsPerSecond)
    }

    /// How many wait for room on a socket.
    var waitingCount: Int { waiters.count }

    /// How it has been doing.
    func currentRecord() -> Record {
        var record = record
        record.openSockets = sockets.count
        record.underWay = sockets.reduce(0) { $0 + $1.pending.count }
        record.pendingBytes = byteCount
        return record
    }

    /// The rows of an answer as a file of it would hold them; nothing where there is no data. Throws `SourceError`.
    func rows(_ command: IQFeedHistoryCommand) async throws -> [UInt8]? {
        var attempt = 1
        while true {
            do {
                let rows = try await once(command)
                record.lastAnswerAt = time.now()
                backoff.succeeded()
                return rows
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                let failure = error as? SourceError ?? .unavailable("\(error)")
                if case .refused = failure { record.lastAnswerAt = time.now() } else { noteFailure(failure) }
                guard failure.isPassing, failure != .busy, attempt < limits.attempts, !isStopped else { throw failure }
                attempt += 1
            }
        }
    }

    /// Ends all connections; what is under way fails.
    func stop() async {
        isStopped = true
        for socket in sockets { await socket.session.connection.close() }
        for socket in sockets { ended(socket, .unavailable("stopping")) }
        wakeAll()
    }

    private func noteFailure(_ failure: SourceError) {
        record.lastFailureAt = time.now()
        record.lastFailure = failure.description
        logger.warning("a history request failed", ["error": .string(failure.description)])
    }

    private func once(_ command: IQFeedHistoryCommand) async throws -> [UInt8]? {
        let socket = try await place()
        // The place is kept while the request waits for its turn: the pace is that of all sockets together.
        let wait = pacer.reserve(now: time.monotonicNanoseconds())
        if wait > .zero {
            do { try await time.sleep(for: wait) } catch {
                leave(socket)
                throw error
            }
        }
        return try await send(command, on: socket)
    }

    // MARK: Places on sockets

    /// A socket with room for one more request; opens one if need be. The place is taken when it returns.
    private func place() async throws -> Socket {
        while true {
            guard !isStopped else { throw SourceError.unavailable("stopping") }
            let free = sockets.filter { $0.isOpen && $0.taken < limits.requestsPerSocket }.min { $0.taken < $1.taken }
            let mayOpen = sockets.count + opening < limits.sockets && (free == nil || backoff.failures == 0)
            if let free, free.taken == 0 || !mayOpen {
                free.taken += 1
                return free
            }
            // While nothing works one try at a time is enough.
            if mayOpen, opening == 0 || backoff.failures == 0 { return try await open() }
            try await waitForRoom()
        }
    }

    private func open() async throws -> Socket {
        opening += 1
        defer {
            opening -= 1
            wakeAll()
        }
        let known = backoff.failures
        if known > 0 { try await time.sleep(for: backoff.delay) }
        do {
            let socket = Socket(try await connector.connect(.lookup))
            guard !isStopped else {
                await socket.session.connection.close()
                throw SourceError.unavailable("stopping")
            }
            socket.taken = 1
            sockets.append(socket)
            read(socket)
            return socket
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // Those that were tried together failed together: one failure.
            if backoff.failures == known { backoff.failed() }
            if sockets.isEmpty { failWaiters(error) }
            throw error
        }
    }

    private func waitForRoom() async throws {
        guard waiters.count < limits.waiting else { throw SourceError.busy }
        lastNumber += 1
        let number = lastNumber
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                if Task.isCancelled { continuation.resume(throwing: CancellationError()) } else { waiters.append((number, continuation)) }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.cancelWait(number) } }
        }
    }

    private func cancelWait(_ number: UInt64) {
        guard let index = waiters.firstIndex(where: { $0.number == number }) else { return }
        waiters.remove(at: index).continuation.resume(throwing: CancellationError())
    }

    /// A place is free for one who waits.
    private func leave(_ socket: Socket) {
        socket.taken -= 1
        if !waiters.isEmpty { waiters.removeFirst().continuation.resume() }
    }

    /// With no socket at all there is no room to wait for: all who wait have failed as often as the one who tried for them.
    private func failWaiters(_ error: any Error) {
        let failed = waiters
        waiters = []
        for waiter in failed { waiter.continuation.resume(throwing: error) }
    }

    /// All look again: a socket came or went.
    private func wakeAll() {
        let woken = waiters
        waiters = []
        for waiter in woken { waiter.continuation.resume() }
    }

    // MARK: Requests and answers

    private func send(_ command: IQFeedHistoryCommand, on socket: Socket) async throws -> [UInt8]? {
        lastNumber += 1
        let number = lastNumber
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard !Task.isCancelled else {
                    leave(socket)
                    return continuation.resume(throwing: CancellationError())
                }
                guard socket.isOpen else {
                    leave(socket)
                    backoff.failed()
                    return continuation.resume(throwing: SourceError.unavailable("the connection ended before the request was sent"))
                }
                let deadline = Task(on: loop) { [weak self, time, limit = limits.deadline] in
                    guard (try? await time.sleep(for: limit)) != nil else { return }
                    await self?.finish(number, .failure(SourceError.unavailable("no whole answer within \(limit)")), closingAlone: true)
                }
                socket.pending[number] = Pending(
                    answer: IQFeedAnswer(version: socket.session.version, maximumBytes: limits.answerBytes),
                    continuation: continuation,
                    deadline: deadline
                )
                if socket.pending.count == 1 { watchSilence(of: socket, limits.silence) }
                do {
                    try socket.session.connection.assumeIsolated { try $0.send(command.line(id: "R\(number)")) }
                } catch {
                    end(socket, .unavailable("\(error)"))
                }
            }
        } onCancel: {
            loop.execute { self.assumeIsolated { $0.finish(number, .failure(CancellationError()), closingAlone: true) } }
        }
    }

    private func watchSilence(of socket: Socket, _ limit: Duration?) {
        socket.session.connection.assumeIsolated { $0.watchSilence(limit) }
    }

    /// Reads a socket to its end.
    private func read(_ socket: Socket) {
        let connection = socket.session.connection
        Task(on: loop) { [weak self] in
            do {
                while let batch = try await connection.next() { await self?.take(batch, from: socket) }
                await self?.ended(socket, .broken("the connection ended in the middle of an answer"))
            } catch let error as LineConnectionError {
                let failure: SourceError = if case .cutMidLine = error { .broken(error.description) } else { .unavailable(error.description) }
                await self?.ended(socket, failure)
            } catch {
                await self?.ended(socket, .unavailable("\(error)"))
            }
        }
    }

    private func take(_ batch: LineBatch, from socket: Socket) {
        batch.forEachLine { line in
            guard socket.isOpen else { return }
            let comma = line.firstIndex(of: 0x2C) ?? line.count
            if let number = Self.number(line[..<comma]) {
                // An id that is not under way is of somebody who has gone.
                if socket.pending[number] != nil { takeRow(number, UnsafeBufferPointer(rebasing: line[min(comma + 1, line.count)...]), socket) }
            } else if IQFeedAnswer.isError(line) {
                takeNamelessError(line, socket)
            } else if !line.starts(with: [0x53, 0x2C]) {
                end(socket, .broken("a line that belongs to no request"))
            }
        }
    }

    /// The number of an id of ours, `R12`.
    private static func number(_ id: Slice<UnsafeBufferPointer<UInt8>>) -> UInt64? {
        guard id.first == 0x52, id.count > 1 else { return nil }
        return parseDigits(UnsafeBufferPointer(rebasing: id.dropFirst())).map { UInt64($0) }
    }

    private func takeRow(_ number: UInt64, _ row: UnsafeBufferPointer<UInt8>, _ socket: Socket) {
        guard var pending = socket.pending[number] else { return }
        // Taken out while it grows: a second owner would copy all rows at each line.
        socket.pending[number] = nil
        let before = pending.answer.byteCount
        let step = pending.answer.take(row)
        byteCount += pending.answer.byteCount - before
        socket.pending[number] = pending
        switch step {
        case .more:
            if byteCount > limits.totalBytes { finish(number, .failure(SourceError.tooLarge(maximumBytes: limits.totalBytes)), closingAlone: true) }
        case .whole(let rows): finish(number, .success(rows))
        case .empty: finish(number, .success(nil))
        case .failed(.broken(let why)): end(socket, .broken(why))
        case .failed(let error):
            // What is too large still comes in; a refusal was all of it.
            if case .tooLarge = error { finish(number, .failure(error), closingAlone: true) } else { finish(number, .failure(error)) }
        }
    }

    /// `!SYNTAX_ERROR!` has no id: with one request under way it is that one's, with several nobody can tell.
    private func takeNamelessError(_ line: UnsafeBufferPointer<UInt8>, _ socket: Socket) {
        guard let (number, _) = socket.pending.first else { return }
        let error = IQFeedAnswer.error(line)
        guard socket.pending.count == 1 else {
            return end(socket, .broken("an error that names none of \(socket.pending.count) requests: \(error?.description ?? "no data")"))
        }
        if let error { finish(number, .failure(error)) } else { finish(number, .success(nil)) }
    }

    /// Ends one request. Of one that was given up the rows still come: alone on its socket it takes the socket along.
    private func finish(_ number: UInt64, _ result: Result<[UInt8]?, any Error>, closingAlone: Bool = false) {
        guard let socket = sockets.first(where: { $0.pending[number] != nil }), let pending = socket.pending.removeValue(forKey: number) else {
            return
        }
        settle(pending, result)
        if socket.pending.isEmpty {
            watchSilence(of: socket, nil)
            if closingAlone { end(socket, .unavailable("given up")) }
        }
        leave(socket)
    }

    private func settle(_ pending: Pending, _ result: Result<[UInt8]?, any Error>) {
        pending.deadline.cancel()
        byteCount -= pending.answer.byteCount
        pending.continuation.resume(with: result)
    }

    /// Ends a socket from this side.
    private func end(_ socket: Socket, _ error: SourceError) {
        socket.session.connection.assumeIsolated { $0.close() }
        ended(socket, error)
    }

    /// A socket is over: what was under way on it has no whole answer.
    private func ended(_ socket: Socket, _ error: SourceError) {
        guard socket.isOpen else { return }
        socket.isOpen = false
        sockets.removeAll { $0 === socket }
        let failed = socket.pending
        socket.pending = [:]
        if !failed.isEmpty { backoff.failed() }
        for pending in failed.values {
            settle(pending, .failure(error))
            socket.taken -= 1
        }
        wakeAll()
    }
}
