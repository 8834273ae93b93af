import Bars
import Contracts
import LineConnections
import ServiceRuntime

/// Bars that IQFeed builds of the watched symbols, as they happen. After a reconnect each symbol is asked for from its last complete bar on, so that the
/// bars in between come as history and the hole closes by itself as far as the vendor keeps them.
actor IQFeedBarStream: IQFeedStreaming, SourceStream {
    let door = IQFeedDoor.derivatives
    let connector: IQFeedConnector
    nonisolated let events: SourceEvents
    let silence: Duration
    /// This door has no clock of its own: it is asked for something that it always answers.
    let probe: String? = "S,REQUEST WATCHES"
    var connection: LineConnection?
    var backoff: Backoff
    var lastHeardAt: Timestamp?
    private let clock: IQFeedClock
    private let seconds: Int
    /// Each symbol with the start of its last complete bar.
    private var symbols: [String: Timestamp?] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { connector.loop.asUnownedSerialExecutor() }

    init(
        connector: IQFeedConnector,
        clock: IQFeedClock,
        seconds: Int,
        silence: Duration = .seconds(15),
        capacity: Int = 65_536,
        backoff: Backoff = Backoff(first: .milliseconds(500), longest: .seconds(30))
    ) throws(SourceError) {
        guard IQFeedHistoryCommand.takes(seconds: seconds) else { throw .notSupported("streamed bars of \(seconds) s") }
        self.connector = connector
        self.clock = clock
        self.seconds = seconds
        self.silence = silence
        self.backoff = backoff
        events = SourceEvents(capacity: capacity)
    }

    func watch(_ symbol: String) async throws {
        try IQFeedSymbol.check(symbol)
        guard symbols[symbol] == nil else { return }
        symbols[symbol] = .some(nil)
        try? await connection?.send(command(symbol, since: nil))
    }

    func unwatch(_ symbol: String) async {
        guard symbols.removeValue(forKey: symbol) != nil else { return }
        try? await connection?.send("BR,\(symbol),\(requestID(symbol))")
    }

    func run() async { await keepRunning() }

    func opening() -> [String] { symbols.sorted { $0.key < $1.key }.map { command($0.key, since: $0.value) } }

    /// The id is the symbol itself with a mark: answers are then matched without a table, and it is unique as each symbol has one interval here.
    private func requestID(_ symbol: String) -> String { "B-\(symbol)" }

    private func command(_ symbol: String, since: Timestamp?) -> String {
        let begin = since.map { clock.stamp($0) } ?? ""
        return "BW,\(symbol),\(seconds),\(begin),,,,,\(requestID(symbol)),s,,1"
    }

    func take(_ line: UnsafeBufferPointer<UInt8>) {
        let now = connector.time.now()
        let fields = IQFeedFields(line)
        let first = fields.bytes(0)
        if first.starts(with: [0x42, 0x2D]) { return takeBar(fields, now) }
        switch fields.text(0) {
        case "n": refuse(fields.text(1), "unknown symbol", now)
        case "S":
            switch fields.text(1) {
            case "SERVER CONNECTED": events.push(.upstream(isConnected: true), now: now)
            case "SERVER DISCONNECTED", "SERVER RECONNECT FAILED": events.push(.upstream(isConnected: false), now: now)
            case "SYMBOL LIMIT REACHED": refuse(fields.text(2), "the subscription's number of symbols is reached", now)
            default: break
            }
        case "T": if let moment = clock.moment(fields.text(1)) { events.push(.clock(moment), now: now) }
        case "E": Logger("iqfeed-derivatives").warning("the client program refused something", ["text": .string(fields.text(1))])
        default: break
        }
    }

    private func refuse(_ symbol: String, _ reason: String, _ now: Timestamp) {
        symbols[symbol] = nil
        events.push(.refused(symbol: symbol, reason: reason), now: now)
    }

    private func takeBar(_ fields: IQFeedFields, _ now: Timestamp) {
        let symbol = fields.text(2)
        let state: SourceBar.State
        switch fields.text(1) {
        case "BH": state = .history
        case "BC": state = .complete
        case "BU": state = .running
        case "n": return refuse(symbol, "unknown symbol", now)
        default: return
        }
        // Open, high, low, last: another order than in history.
        guard let known = symbols[symbol], let start = clock.moment(fields.text(3)), let open = DecimalNumber(fields.bytes(4)),
            let high = DecimalNumber(fields.bytes(5)), let low = DecimalNumber(fields.bytes(6)), let close = DecimalNumber(fields.bytes(7))
        else { return }
        // What comes again after a reconnect was told already.
        if let known, start <= known { return }
        if state != .running { symbols[symbol] = .some(start) }
        events.push(
            .bar(
                SourceBar(
                    symbol: symbol,
                    state: state,
                    start: start,
                    seconds: seconds,
                    open: open,
                    high: high,
                    low: low,
                    close: close,
                    volume: DecimalNumber(fields.bytes(9)),
                    trades: parseDigits(fields.bytes(10))
                )
            ),
            now: now
        )
    }
}
