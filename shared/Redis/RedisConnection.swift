internal import CRedis
internal import ServiceRuntime

/// One connection of hiredis on one loop; touched only on that loop's thread.
///
/// Commands of one turn of the loop leave in one write, because hiredis collects them until the socket takes more. Answers come in order,
/// so the oldest command's age tells when Redis hangs: then the connection is dropped and everything under way fails.
final class RedisConnection: @unchecked Sendable {
    // Unchecked because only the loop's own thread touches the fields.

    typealias Completion = (Result<RedisValue, RedisError>) -> Void

    private final class Pending {
        let completion: Completion
        let sentAt: UInt64
        /// A subscription answers many times.
        let lasting: Bool

        init(completion: @escaping Completion, lasting: Bool) {
            self.completion = completion
            self.lasting = lasting
            sentAt = monotonicNanoseconds()
        }
    }

    private enum State {
        case idle
        case resolving
        case connecting
        case connected
        case waiting(LoopTimer)
        case closed
    }

    /// More commands than this under way means that Redis cannot follow: the next one fails.
    static let maximumUnderWay = 65_536

    private let loop: EventLoop
    private let address: RedisAddress
    private let resolver: HostResolver
    private let commandTimeout: Duration
    private let onState: (Bool) -> Void
    private var state = State.idle
    private var context: UnsafeMutablePointer<redisAsyncContext>?
    private var watcher: SocketWatcher?
    private var oldest: [UInt64] = []
    private var oldestFrom = 0
    private var watchdog: LoopTimer?
    private var attempts = 0

    init(
        loop: EventLoop,
        address: RedisAddress,
        resolver: HostResolver,
        commandTimeout: Duration,
        onState: @escaping @Sendable (Bool) -> Void
    ) {
        self.loop = loop
        self.address = address
        self.resolver = resolver
        self.commandTimeout = commandTimeout
        self.onState = onState
    }

    func send(_ arguments: [RedisArgument], lasting: Bool = false, completion: @escaping Completion) {
        switch state {
        case .idle:
            connect()
            return completion(.failure(.unavailable))
        case .resolving, .waiting, .closed: return completion(.failure(.unavailable))
        case .connecting, .connected: break
        }
        guard let context, oldest.count - oldestFrom < Self.maximumUnderWay else { return completion(.failure(.unavailable)) }
        let pending = Unmanaged.passRetained(Pending(completion: completion, lasting: lasting))
        let sent = arguments.withPointers { count, pointers, lengths in
            redisAsyncCommandArgv(
                context,
                { context, reply, data in
                    guard let context, let data, let owner = context.pointee.data else { return }
                    let connection = Unmanaged<RedisConnection>.fromOpaque(owner).takeUnretainedValue()
                    connection.answered(Unmanaged<Pending>.fromOpaque(data), reply?.assumingMemoryBound(to: redisReply.self))
                },
                pending.toOpaque(),
                count,
                pointers,
                lengths
            )
        }
        guard sent == REDIS_OK else {
            pending.release()
            return completion(.failure(.unavailable))
        }
        if !lasting { oldest.append(monotonicNanoseconds()) }
        startWatchdog()
    }

    func connect() {
        switch state {
        case .idle, .waiting: break
        case .resolving, .connecting, .connected, .closed: return
        }
        state = .resolving
        resolver.resolve(address) { [self] host in
            loop.execute { [self] in open(host: host) }
        }
    }

    func close() {
        if case .waiting(let timer) = state { timer.cancel() }
        state = .closed
        if let context { redisAsyncFree(context) }
    }

    private func open(host: String?) {
        guard case .resolving = state else { return }
        guard let host, let context = redisAsyncConnect(host, address.port), context.pointee.err == 0 else { return retryLater() }
        self.context = context
        context.pointee.data = Unmanaged.passRetained(self).toOpaque()
        state = .connecting
        attach(context)
        redisAsyncSetConnectCallback(context) { context, status in
            guard let owner = context?.pointee.data else { return }
            Unmanaged<RedisConnection>.fromOpaque(owner).takeUnretainedValue().connected(status == REDIS_OK)
        }
        // Sent first, so that whatever follows is answered by the right user and database.
        if let password = address.password {
            send((address.user.map { ["AUTH", .init($0), .init(password)] } ?? ["AUTH", .init(password)]) as [RedisArgument]) { [self] in refuse($0) }
        }
        if address.database != 0 { send(["SELECT", .init(String(address.database))]) { [self] in refuse($0) } }
    }

    private func refuse(_ answer: Result<RedisValue, RedisError>) {
        if case .failure(.refused(let text)) = answer {
            Logger("redis").error("Redis refuses this user or database", ["answer": .string(text)])
            if let context { redisAsyncFree(context) }
        }
    }

    private func attach(_ context: UnsafeMutablePointer<redisAsyncContext>) {
        watcher = loop.watch(
            fileDescriptor: context.pointee.c.fd,
            onReadable: { redisAsyncHandleRead(context) },
            onWritable: { redisAsyncHandleWrite(context) }
        )
        context.pointee.ev.data = Unmanaged.passUnretained(self).toOpaque()
        context.pointee.ev.addRead = { Unmanaged<RedisConnection>.fromOpaque($0!).takeUnretainedValue().watcher?.wantsRead = true }
        context.pointee.ev.delRead = { Unmanaged<RedisConnection>.fromOpaque($0!).takeUnretainedValue().watcher?.wantsRead = false }
        context.pointee.ev.addWrite = { Unmanaged<RedisConnection>.fromOpaque($0!).takeUnretainedValue().watcher?.wantsWrite = true }
        context.pointee.ev.delWrite = { Unmanaged<RedisConnection>.fromOpaque($0!).takeUnretainedValue().watcher?.wantsWrite = false }
        context.pointee.ev.cleanup = { Unmanaged<RedisConnection>.fromOpaque($0!).takeUnretainedValue().detached() }
        // hiredis asks for writing when it connects, before these callbacks were set.
        watcher?.wantsWrite = true
    }

    private func detached() {
        watcher?.close()
        watcher = nil
        guard context != nil else { return }
        context = nil
        oldest = []
        oldestFrom = 0
        onState(false)
        if case .closed = state {} else { retryLater() }
        // Balances the retain of open(); hiredis calls nothing of ours after its cleanup except the answers that it owes.
        loop.execute { [self] in Unmanaged.passUnretained(self).release() }
    }

    private func connected(_ well: Bool) {
        guard well else { return }
        state = .connected
        onState(true)
    }

    private func answered(_ data: Unmanaged<Pending>, _ reply: UnsafeMutablePointer<redisReply>?) {
        let pending = data.takeUnretainedValue()
        if !pending.lasting && oldestFrom < oldest.count {
            oldestFrom += 1
            if oldestFrom == oldest.count {
                oldest.removeAll(keepingCapacity: true)
                oldestFrom = 0
            }
        }
        guard let reply else {
            // No answer will come any more.
            data.release()
            return pending.completion(.failure(.unavailable))
        }
        if !pending.lasting { data.release() }
        switch RedisValue(reply) {
        case .error(let text): pending.completion(.failure(.refused(text)))
        case let value:
            // Not at the connection itself: one that refuses our password would be asked again at once, and for ever.
            attempts = 0
            pending.completion(.success(value))
        }
    }

    private func retryLater() {
        attempts += 1
        let milliseconds = min(5_000, 50 << min(attempts, 7))
        let jittered = Int.random(in: milliseconds / 2...milliseconds)
        state = .waiting(loop.timer(after: .milliseconds(jittered)) { [weak self] in self?.connect() })
    }

    private func startWatchdog() {
        guard watchdog == nil else { return }
        watchdog = loop.timer(after: commandTimeout / 4) { [weak self] in
            guard let self else { return }
            watchdog = nil
            guard oldestFrom < oldest.count else { return }
            let age = monotonicNanoseconds() - oldest[oldestFrom]
            if age > UInt64(commandTimeout.inSeconds * 1e9), let context {
                Logger("redis").warning("Redis did not answer in time", ["milliseconds": .integer(Int(age / 1_000_000))])
                redisAsyncFree(context)
            } else {
                startWatchdog()
            }
        }
    }
}
