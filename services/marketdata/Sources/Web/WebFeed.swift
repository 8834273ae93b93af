import Contracts
import OutboundHTTP
import ServiceRuntime

/// A stream over a WebSocket that is kept up: connect, watch everything, read, and after a loss wait and begin again.
///
/// What the messages are is the dialect's to know. What is here: holes, trades that come twice or not at all, the replacement of an old connection.
actor WebFeed<Dialect: FeedDialect>: SourceStream {
    /// A connection on which everything is watched, with what has come over it so far.
    private struct Line {
        let socket: WebSocketConnection
        var dialect: Dialect
        var symbols: Set<String>
        var early: [SourceEvent] = []
    }

    nonisolated let events: SourceEvents
    /// How often it tells its clock at least, though nothing happens.
    nonisolated let heartbeat: Duration?
    private let name: String
    private let settings: FeedSettings
    private let dialect: Dialect
    private let web: WebEnvironment
    private let record: SourceRecord
    /// Asks elsewhere whether there is such a symbol; throws a `SourceError` that does not pass where there is none.
    private let vet: (@Sendable (String) async throws -> Void)?
    private var backoff: Backoff
    private var pacer: RequestPacer
    private var symbols: Set<String> = []
    private var line: Line?
    /// The one that takes over.
    private var fresh: Line?
    private var isFlushing = false
    private var firstSymbol: CheckedContinuation<Void, Never>?
    /// The last number of each symbol, and the latest time of its trades.
    private var lastTrades: [String: (id: Int64, time: Timestamp?)] = [:]
    /// The symbols whose numbers went on over this connection: until then they may have begun anew at the exchange.
    private var goingOn: Set<String> = []
    /// The symbols of which nothing was missed since that trade.
    private var unbroken: Set<String> = []
    private var lastHeardAt: Timestamp?
    private var lastEventAt: Timestamp?
    private let logger: Logger

    nonisolated var unownedExecutor: UnownedSerialExecutor { web.loop.asUnownedSerialExecutor() }

    init(
        _ name: String,
        _ dialect: Dialect,
        settings: FeedSettings,
        web: WebEnvironment,
        record: SourceRecord,
        capacity: Int = 65_536,
        vet: (@Sendable (String) async throws -> Void)? = nil
    ) {
        self.vet = vet
        self.name = name
        self.dialect = dialect
        self.settings = settings
        self.web = web
        self.record = record
        backoff = web.backoff
        pacer = RequestPacer(perSecond: settings.messagesPerSecond)
        heartbeat = settings.heartbeat
        events = SourceEvents(capacity: capacity)
        logger = Logger("\(name)-feed")
    }

    func watch(_ symbol: String) async throws {
        try Dialect.check(symbol)
        guard !symbols.contains(symbol) else { return }
        guard symbols.count < settings.maximumSymbols else {
            throw SourceError.notSupported("more than \(settings.maximumSymbols) symbols in one stream")
        }
        symbols.insert(symbol)
        firstSymbol?.resume()
        firstSymbol = nil
        flush()
        if let vet { Task(on: web.loop) { [weak self] in await self?.check(symbol, vet) } }
    }

    /// Watching does not wait for it: whether a symbol is known is told as an event, as sources that say it themselves do.
    private func check(_ symbol: String, _ vet: @Sendable (String) async throws -> Void) async {
        do { try await vet(symbol) } catch let error as SourceError where !error.isPassing {
            guard symbols.contains(symbol) else { return }
            pass(.refused(symbol: symbol, reason: error.description))
            flush()
        } catch {
            // Nobody could say: it is watched, and what comes of it is told.
        }
    }

    func unwatch(_ symbol: String) async {
        guard symbols.remove(symbol) != nil else { return }
        forget(symbol)
        flush()
    }

    private func forget(_ symbol: String) {
        lastTrades[symbol] = nil
        goingOn.remove(symbol)
        unbroken.remove(symbol)
    }

    func run() async {
        while !Task.isCancelled {
            // Some sources hang up on who connects and wants nothing.
            guard await waitForSymbols() else { break }
            var pause: Duration?
            do {
                try await runOnce()
                lost("the server ended the connection")
            } catch is CancellationError {
                lost("stopping")
                break
            } catch let error as OutboundError {
                lost(error.description)
                if case .refused(_, _, _, .some(let seconds)) = error { pause = .seconds(min(seconds, 7 * 86_400)) }
            } catch {
                lost("\(error)")
            }
            backoff.failed()
            guard (try? await web.time.sleep(for: max(backoff.delay, pause ?? .zero))) != nil else { break }
        }
        events.finish()
    }

    private func waitForSymbols() async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if symbols.isEmpty, !Task.isCancelled { firstSymbol = continuation } else { continuation.resume() }
            }
        } onCancel: {
            web.loop.execute { self.assumeIsolated { $0.stopWaiting() } }
        }
        return !Task.isCancelled
    }

    private func stopWaiting() {
        firstSymbol?.resume()
        firstSymbol = nil
    }

    // MARK: A connection

    private func runOnce() async throws {
        adopt(try await open())
        record.countStream(1)
        defer { record.countStream(-1) }
        push(.live)
        takeEarly()
        let renewal = startRenewing()
        defer { renewal?.cancel() }
        let beganAt = web.time.monotonicNanoseconds()
        while true {
            guard let socket = line?.socket else { return }
            let message: WebSocketMessage?
            do { message = try await socket.next() } catch let error as OutboundError {
                guard takeOver() else { throw error }
                continue
            }
            try Task.checkCancellation()
            guard let message else {
                if takeOver() { continue }
                return
            }
            lastHeardAt = web.time.now()
            for event in try read(message) {
                // What the source itself refused need not be taken back.
                if case .refused(let symbol, _) = event { line?.symbols.remove(symbol) }
                pass(event)
            }
            // Only a connection that held is worth a quick reconnect.
            if web.time.monotonicNanoseconds() - beganAt >= 10_000_000_000 { backoff.succeeded() }
        }
    }

    /// A connection on which everything that is watched has been agreed on.
    private func open() async throws -> Line {
        var configuration = WebSocketConfiguration()
        configuration.outbound = web.outbound
        configuration.pingAfter = settings.pingAfter
        configuration.silenceLimit = settings.silenceLimit
        configuration.maximumMessageBytes = settings.maximumMessageBytes
        let socket = try await WebSocketConnection.connect(to: settings.url, on: web.loop, time: web.time, configuration: configuration)
        do {
            let late = SourceError.unavailable("what is to be watched was not agreed on within \(settings.patience)")
            return try await withDeadline(settings.patience, time: web.time, orThrow: late) { [self] in try await settle(socket) }
        } catch {
            await socket.close()
            throw error
        }
    }

    private func settle(_ socket: WebSocketConnection) async throws -> Line {
        var line = Line(socket: socket, dialect: dialect, symbols: symbols)
        for text in line.dialect.messages(watching: symbols.sorted(), unwatching: []) { try await socket.send(text) }
        while !line.dialect.isSettled {
            guard let message = try await socket.next() else { throw SourceError.unavailable("\(socket.peer) ended the connection at once") }
            line.early += try Self.read(message, &line.dialect)
        }
        return line
    }

    private func adopt(_ line: Line) {
        self.line = line
        goingOn = []
        record.answered(at: web.time.now())
        lastHeardAt = web.time.now()
        flush()
    }

    private func takeEarly() {
        let early = line?.early ?? []
        line?.early = []
        for event in early {
            if case .refused(let symbol, _) = event { line?.symbols.remove(symbol) }
            pass(event)
        }
    }

    private func read(_ message: WebSocketMessage) throws -> [SourceEvent] {
        guard var line else { return [] }
        let events = try Self.read(message, &line.dialect)
        self.line?.dialect = line.dialect
        return events
    }

    private static func read(_ message: WebSocketMessage, _ dialect: inout Dialect) throws -> [SourceEvent] {
        guard case .text(let bytes) = message else { throw SourceError.broken("a message that is no text") }
        return try dialect.take(try parseAnswer(bytes))
    }

    /// The reader learns that events are missing.
    private func lost(_ reason: String) {
        let now = web.time.now()
        let had = line
        line = nil
        if let fresh { close(fresh.socket) }
        fresh = nil
        record.failed(at: now, reason)
        logger.warning("the stream is down", ["reason": .string(reason)])
        guard let had else { return }
        close(had.socket)
        unbroken = []
        push(.hole(since: holeBegin(now), .disconnected(reason)))
    }

    private func close(_ socket: WebSocketConnection) { socket.assumeIsolated { $0.close() } }

    /// Events carry the source's clock, and reach us later than that or, where our clock is slow, earlier: the hole begins with the earlier of the two. Of
    /// a symbol that is seldom traded the last event is old, and a minute is more than any way here takes.
    private func holeBegin(_ now: Timestamp) -> Timestamp {
        let heardAt = lastHeardAt ?? now
        guard let lastEventAt else { return heardAt - .seconds(60) }
        return max(min(heardAt, lastEventAt), heardAt - .seconds(60))
    }

    // MARK: Replacing a connection

    private func startRenewing() -> Task<Void, Never>? {
        guard let renewAfter = settings.renewAfter else { return nil }
        let (time, backoff) = (web.time, web.backoff)
        return Task(on: web.loop) { [weak self] in
            var (pause, retries) = (renewAfter, backoff)
            while (try? await time.sleep(for: pause)) != nil, !Task.isCancelled {
                guard let isDone = await self?.renew() else { return }
                if isDone { retries.succeeded() } else { retries.failed() }
                pause = isDone ? renewAfter : retries.delay
            }
        }
    }

    /// Makes the new connection and then ends the old one; what comes over both is told once. Gives whether it could.
    private func renew() async -> Bool {
        do {
            let made = try await open()
            guard let line, !Task.isCancelled else {
                close(made.socket)
                return true
            }
            fresh = made
            logger.info("the stream goes over a new connection")
            close(line.socket)
            return true
        } catch {
            // The old one may last a while; the next try is not far, and a loss is repaired as any other.
            logger.warning("the stream could not be renewed", ["error": .string("\(error)")])
            return false
        }
    }

    private func takeOver() -> Bool {
        guard let fresh else { return false }
        self.fresh = nil
        adopt(fresh)
        takeEarly()
        return true
    }

    // MARK: What is watched

    /// Brings the connection to what is wanted, as fast as the source takes messages.
    private func flush() {
        guard !isFlushing, let line, line.symbols != symbols else { return }
        isFlushing = true
        let pause = pacer.reserve(now: web.time.monotonicNanoseconds())
        Task(on: web.loop) { [weak self, time = web.time] in
            if pause > .zero { try? await time.sleep(for: pause) }
            await self?.sendChanges()
        }
    }

    private func sendChanges() {
        isFlushing = false
        guard var line else { return }
        let added = symbols.subtracting(line.symbols).sorted()
        let removed = line.symbols.subtracting(symbols).sorted()
        line.symbols = symbols
        for text in line.dialect.messages(watching: added, unwatching: removed) {
            // Where sending fails reading does too, and begins again.
            line.socket.assumeIsolated { try? $0.send(text) }
        }
        self.line = line
    }

    // MARK: What is told

    private func push(_ event: SourceEvent) { events.push(event, now: web.time.now()) }

    /// Tells what happened: each trade once, and where some are missing, that they are.
    private func pass(_ event: SourceEvent) {
        switch event {
        case .trade(let trade):
            guard symbols.contains(trade.symbol) else { return }
            if let id = trade.id { guard isNew(trade, id) else { return } }
            note(trade.time)
        case .bar(let bar):
            guard symbols.contains(bar.symbol) else { return }
            note(bar.start)
        case .quote(let quote), .summary(let quote, _): guard symbols.contains(quote.symbol) else { return }
        case .clock(let moment): note(moment)
        case .refused(let symbol, _):
            // It would be refused again after each reconnect.
            symbols.remove(symbol)
            forget(symbol)
        case .live, .correction, .upstream, .hole: break
        }
        push(event)
    }

    /// Whether a trade of that number was not told yet; tells of those that are missing before it.
    private func isNew(_ trade: SourceTrade, _ id: Int64) -> Bool {
        var time = trade.time
        if let last = lastTrades[trade.symbol] {
            if id > last.id {
                if Dialect.numbersAreDense, unbroken.contains(trade.symbol), id != last.id + 1 {
                    tellHole("\(id - last.id - 1) trades of \(trade.symbol) did not come")
                }
                if let before = last.time { time = max(before, time ?? before) }
            } else {
                // A trade that comes again is not later than what was told. A later one with a smaller number: the exchange counts from the beginning, as
                // some do after they were down, and how many are missing nobody can say.
                guard !goingOn.contains(trade.symbol), id < last.id, let now = trade.time, let before = last.time, now > before else { return false }
                tellHole("the numbers of \(trade.symbol) begin anew with \(id)")
            }
        }
        lastTrades[trade.symbol] = (id, time)
        goingOn.insert(trade.symbol)
        unbroken.insert(trade.symbol)
        return true
    }

    private func tellHole(_ reason: String) {
        push(.hole(since: holeBegin(web.time.now()), .disconnected(reason)))
        push(.live)
    }

    private func note(_ moment: Timestamp?) {
        guard let moment else { return }
        lastEventAt = max(lastEventAt ?? moment, moment)
    }
}
