internal import ServiceRuntime

/// Keeps one connection alive on its thread: connects, reads what comes, connects again with backoff when it is lost.
///
/// It belongs to the actor whose executor is the thread and is used only there; its callbacks run there too.
final class BrokerSession {
    /// Sets up channels and queues on `candidate`; an error ends that connection.
    var onConnected: (() throws -> Void)?
    /// Takes what the broker says.
    var onEvent: ((WireEvent) -> Void)?
    /// Learns that the connection is gone; also called when it could not be made.
    var onLost: ((BrokerError) -> Void)?
    /// Called at least every second, and as soon as there is a connection, for the owner's own time limits.
    var onTick: (() -> Void)?

    /// The connection, while there is one that is set up.
    private(set) var connection: WireConnection?
    /// A new connection while it is being set up.
    private(set) var candidate: WireConnection?
    private let url: BrokerURL
    private let name: String
    private let thread: DedicatedThread
    private let readiness: ReadinessCheck?
    private let logger = Logger("broker")
    private var nextAttempt: UInt64 = 0
    private var failures = 0
    private var isPumping = false
    private var isStopped = true

    init(url: BrokerURL, name: String, thread: DedicatedThread, readiness: ReadinessCheck?) {
        self.url = url
        self.name = name
        self.thread = thread
        self.readiness = readiness
    }

    func start() {
        guard isStopped else { return }
        isStopped = false
        tickOften(true)
        connect()
    }

    func stop() {
        isStopped = true
        thread.whenIdle(every: nil)
        thread.watch(fileDescriptor: nil)
        connection?.close()
        connection = nil
        onConnected = nil
        onEvent = nil
        onLost = nil
        onTick = nil
    }

    /// Runs a request or sends something; an error that is more than a refusal ends the connection.
    func use<Value>(_ body: (WireConnection) throws(BrokerError) -> Value) throws(BrokerError) -> Value {
        guard let connection else { throw BrokerError(isStopped ? .stopped : .unavailable) }
        do {
            let value = try body(connection)
            pump()
            return value
        } catch {
            lose(error)
            throw error
        }
    }

    /// Reads all there is; deliveries may have come in while a request waited for its answer.
    func pump() {
        guard !isPumping, let connection else { return }
        isPumping = true
        defer { isPumping = false }
        do throws(BrokerError) {
            while self.connection === connection, let event = try connection.nextEvent() { onEvent?(event) }
        } catch {
            if self.connection === connection { lose(error) }
        }
    }

    /// Gives the connection up; a new one is made after a while.
    func lose(_ error: BrokerError) {
        guard !isStopped else { return }
        let wasConnected = connection != nil
        thread.watch(fileDescriptor: nil)
        connection?.close()
        connection = nil
        tickOften(true)
        failures += 1
        let milliseconds = min(5_000, 50 << min(failures, 7))
        nextAttempt = monotonicNanoseconds() + UInt64(Double(milliseconds) * 1e6 * Double.random(in: 0.8...1.2))
        readiness?.set(ready: false, detail: error.description)
        if wasConnected || failures == 1 {
            logger.warning("no connection to the broker; trying again", ["connection": .string(name), "reason": .string(error.debugDescription)])
        }
        onLost?(error)
    }

    /// Every second while all is well; often while a connection is wanted.
    private func tickOften(_ often: Bool) {
        thread.whenIdle(every: often ? .milliseconds(25) : .seconds(1)) { [unowned self] in tick() }
    }

    private func tick() {
        if connection == nil {
            if monotonicNanoseconds() >= nextAttempt { connect() }
        } else {
            pump()
        }
        onTick?()
    }

    private func connect() {
        guard !isStopped, connection == nil else { return }
        do {
            let connection = try WireConnection(to: url, name: name)
            candidate = connection
            defer { candidate = nil }
            do {
                try onConnected?()
            } catch {
                connection.close()
                throw error
            }
            self.connection = connection
            thread.watch(fileDescriptor: connection.fileDescriptor) { [unowned self] in pump() }
            if failures > 0 { logger.notice("connected to the broker", ["connection": .string(name)]) }
            failures = 0
            readiness?.set(ready: true)
            tickOften(false)
            onTick?()
            pump()
        } catch {
            lose(error as? BrokerError ?? BrokerError(.connectionLost, message: "\(error)"))
        }
    }
}
