import Bars
import Contracts
import LineConnections
import ServiceRuntime

/// Level 1: trades and quotes of the watched symbols, as they happen.
actor IQFeedLevel1: IQFeedStreaming, SourceStream {
    /// The fields that updates are asked to carry; the client program says in which order it gives them.
    static let wantedFields = [
        "Symbol", "Most Recent Trade", "Most Recent Trade Size", "Most Recent Trade Date", "Most Recent Trade Time", "Total Volume", "Bid",
        "Bid Size",
        "Ask", "Ask Size", "Message Contents",
    ]

    let door = IQFeedDoor.level1
    let connector: IQFeedConnector
    nonisolated let events: SourceEvents
    nonisolated let heartbeat: Duration? = .seconds(1)
    let silence: Duration
    let probe: String? = nil
    var connection: LineConnection?
    var backoff: Backoff
    var lastHeardAt: Timestamp?
    private let clock: IQFeedClock
    private var symbols: Set<String> = []
    /// Where each field stands in a `P` or `Q` line, the letter being at 0.
    private var places: [String: Int] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { connector.loop.asUnownedSerialExecutor() }

    /// - Parameter silence: the door sends its clock each second; some missing ones mean that it is dead.
    init(
        connector: IQFeedConnector,
        clock: IQFeedClock,
        silence: Duration = .seconds(5),
        capacity: Int = 65_536,
        backoff: Backoff = Backoff(first: .milliseconds(500), longest: .seconds(30))
    ) {
        self.connector = connector
        self.clock = clock
        self.silence = silence
        self.backoff = backoff
        events = SourceEvents(capacity: capacity)
    }

    func watch(_ symbol: String) async throws {
        try IQFeedSymbol.check(symbol)
        guard symbols.insert(symbol).inserted else { return }
        try? await connection?.send("w\(symbol)")
    }

    func unwatch(_ symbol: String) async {
        guard symbols.remove(symbol) != nil else { return }
        try? await connection?.send("r\(symbol)")
    }

    func run() async { await keepRunning() }

    func opening() -> [String] {
        // Until the client program names them, fields come as they were asked for.
        setPlaces(Self.wantedFields)
        return ["S,SELECT UPDATE FIELDS,\(Self.wantedFields.joined(separator: ","))"] + symbols.sorted().map { "w\($0)" }
    }

    func take(_ line: UnsafeBufferPointer<UInt8>) {
        guard let first = line.first, line.count > 1 else { return }
        let now = connector.time.now()
        // The letter of a message is a field of its own; only `n` and the requests are glued to nothing else.
        guard line[1] == 0x2C else { return }
        let fields = IQFeedFields(line)
        switch first {
        case 0x51: update(fields, now)
        case 0x50: events.push(.summary(quote(fields), last: decimal(fields, "Most Recent Trade")), now: now)
        case 0x54: if let moment = clock.moment(fields.text(1)) { events.push(.clock(moment), now: now) }
        case 0x43: events.push(.correction(symbol: fields.text(1)), now: now)
        case 0x6E: refuse(fields.text(1), "unknown symbol", now)
        case 0x53: system(fields, now)
        case 0x45: Logger("iqfeed-level1").warning("the client program refused something", ["text": .string(fields.text(1))])
        default: break
        }
    }

    private func system(_ fields: IQFeedFields, _ now: Timestamp) {
        switch fields.text(1) {
        case "CURRENT UPDATE FIELDNAMES": setPlaces((2..<fields.count).map { fields.text($0) })
        case "SERVER CONNECTED": events.push(.upstream(isConnected: true), now: now)
        case "SERVER DISCONNECTED", "SERVER RECONNECT FAILED": events.push(.upstream(isConnected: false), now: now)
        case "SYMBOL LIMIT REACHED": refuse(fields.text(2), "the subscription's number of symbols is reached", now)
        default: break
        }
    }

    private func refuse(_ symbol: String, _ reason: String, _ now: Timestamp) {
        // It would be refused again after each reconnect.
        symbols.remove(symbol)
        events.push(.refused(symbol: symbol, reason: reason), now: now)
    }

    private func setPlaces(_ names: [String]) {
        places = [:]
        for (index, name) in names.enumerated() where !name.isEmpty { places[name] = index + 1 }
    }

    /// An update may tell of a trade, of quotes, of both, or of something that nobody here wants to know.
    private func update(_ fields: IQFeedFields, _ now: Timestamp) {
        let contents = bytes(fields, "Message Contents")
        let basis = contents.first { $0 == 0x43 || $0 == 0x45 || $0 == 0x4F }
        if let basis, let price = decimal(fields, "Most Recent Trade"), let size = decimal(fields, "Most Recent Trade Size") {
            events.push(
                .trade(
                    SourceTrade(
                        symbol: text(fields, "Symbol"),
                        time: tradeTime(fields),
                        price: price,
                        size: size,
                        qualifies: basis != 0x4F && !size.isZero,
                        totalVolume: decimal(fields, "Total Volume")
                    )
                ),
                now: now
            )
        }
        if contents.contains(0x62) || contents.contains(0x61) { events.push(.quote(quote(fields)), now: now) }
    }

    private func quote(_ fields: IQFeedFields) -> SourceQuote {
        SourceQuote(
            symbol: text(fields, "Symbol"),
            bid: decimal(fields, "Bid"),
            bidSize: decimal(fields, "Bid Size"),
            ask: decimal(fields, "Ask"),
            askSize: decimal(fields, "Ask Size")
        )
    }

    /// `MM/DD/CCYY` and `HH:MM:SS.ffffff` in New York.
    private func tradeTime(_ fields: IQFeedFields) -> Timestamp? {
        let date = text(fields, "Most Recent Trade Date").split(separator: "/")
        let time = text(fields, "Most Recent Trade Time")
        guard date.count == 3 else { return nil }
        return clock.moment("\(date[2])-\(date[0])-\(date[1]) \(time)")
    }

    private func bytes(_ fields: IQFeedFields, _ name: String) -> UnsafeBufferPointer<UInt8> { fields.bytes(places[name] ?? -1) }
    private func text(_ fields: IQFeedFields, _ name: String) -> String { LineBatch.text(bytes(fields, name)) }
    private func decimal(_ fields: IQFeedFields, _ name: String) -> DecimalNumber? { DecimalNumber(bytes(fields, name)) }
}
