public import ServiceRuntime
internal import Synchronization

/// DTN's IQConnect on loopback ports of its own: lookup, level 1, derivatives and admin, with whatever goes wrong in the world.
///
/// It knows the protocol and no data: a test hands it the raw bytes of answers, and pushes lines into the streams itself.
public final class IQFeedSimulator: Sendable {
    /// Its doors.
    public enum Port: String, Sendable, CaseIterable {
        case lookup, level1, derivatives, admin
    }

    /// A history request as it came.
    public struct Request: Sendable {
        /// The line.
        public let line: String
        /// `HIT`, `HTX` and so on.
        public let command: String
        /// What follows the command.
        public let fields: [String]
        /// The id that the client gave it.
        public let id: String?
    }

    /// What it answers to a history request.
    public enum Reply: Sendable {
        /// A raw answer, its end line included.
        case answer([UInt8])
        /// `!NO_DATA!` and the end line.
        case noData
        /// `!SYNTAX_ERROR!`, which has neither id nor end line.
        case syntaxError
        /// Another error, and the end line.
        case error(String)
        /// So many lines of the answer and half of the next, then the connection ends.
        case cut([UInt8], afterLines: Int)
        /// So many whole lines of the answer, then the connection ends.
        case end([UInt8], afterLines: Int)
        /// So many lines of the answer, then nothing, for ever.
        case hang([UInt8], afterLines: Int)
        /// A line of the answer for each call of ``IQFeedSimulator/sendSlowLine()``.
        case slow([UInt8])
        /// The answer in the form of an older protocol than was agreed on.
        case oldForm([UInt8])
        /// Nothing until ``IQFeedSimulator/sendHeld()``, which mixes the lines of all such answers.
        case held([UInt8])
    }

    /// What is wrong with a door.
    public enum Fault: Sendable {
        /// It ends each connection as soon as it has come: a storm of reconnects.
        case hangsUp
        /// It accepts and never says a word.
        case silent
        /// It speaks that protocol, whatever is asked for.
        case speaks(String)
    }

    private struct Slow {
        let peer: LineServer.Peer
        var lines: [[UInt8]]
    }

    private struct State {
        var reply: @Sendable (Request) -> Reply = { _ in .noData }
        var faults: [Port: Fault] = [:]
        var unknownSymbols: Set<String> = []
        var summaries: [String: String] = [:]
        var slow: [Slow] = []
        var held: [Slow] = []
        var refusesLogin = false
        var fieldOrder: [String]?
    }

    private let state = Mutex(State())
    private let servers = Mutex<[Port: LineServer]>([:])
    private let versions: [String]
    private let loop: EventLoop

    /// Somebody connected.
    public let connected = TestSignal<Port>()
    /// A history request came.
    public let requested = TestSignal<Request>()
    /// A line came at another door than lookup, those about the protocol and names apart.
    public let heard = TestSignal<(port: Port, line: String)>()

    private init(loop: EventLoop, versions: [String]) {
        self.loop = loop
        self.versions = versions
    }

    /// Starts it with the protocols that it knows, the best first.
    public static func start(on loop: EventLoop, versions: [String] = ["6.2", "6.1"]) async throws -> IQFeedSimulator {
        let simulator = IQFeedSimulator(loop: loop, versions: versions)
        for port in Port.allCases { try await simulator.openDoor(port) }
        return simulator
    }

    /// Ends it.
    public func stop() async {
        for server in servers.withLock({ Array($0.values) }) { await server.stop() }
    }

    /// The number of a door.
    public func number(of port: Port) -> Int { servers.withLock { $0[port]?.port ?? 0 } }

    // MARK: What it does

    /// What history requests are answered with, from now on.
    public func reply(_ reply: @escaping @Sendable (Request) -> Reply) { state.withLock { $0.reply = reply } }

    /// What is wrong with a door, from now on; nothing mends it.
    public func setFault(_ fault: Fault?, at port: Port) { state.withLock { $0.faults[port] = fault } }

    /// Symbols that it does not know, and the summary lines of those that it knows.
    public func setSymbols(unknown: Set<String> = [], summaries: [String: String] = [:]) {
        state.withLock {
            $0.unknownSymbols = unknown
            $0.summaries = summaries
        }
    }

    /// Gives the fields of updates in this order, whatever was selected.
    public func setFieldOrder(_ names: [String]?) { state.withLock { $0.fieldOrder = names } }

    /// Sends a line to everybody at a door.
    public func send(_ line: String, to port: Port) async {
        await server(port).onLoop { server in for peer in server.peers { peer.send(line: line) } }
    }

    /// Sends bytes that are no whole line to everybody at a door.
    public func sendPiece(_ text: String, to port: Port) async {
        await server(port).onLoop { server in for peer in server.peers { peer.send(Array(text.utf8)) } }
    }

    /// Ends all connections at a door.
    public func hangUp(_ port: Port) async {
        await server(port).onLoop { server in for peer in server.peers { peer.close() } }
    }

    /// How many are connected at a door.
    public func connections(at port: Port) async -> Int { await server(port).onLoop { $0.peers.count } }

    /// Sends the next line of each answer that is `slow`; false when there is none left.
    @discardableResult
    public func sendSlowLine() async -> Bool {
        await server(.lookup).onLoop { [self] _ in
            let pieces = state.withLock { state -> [(LineServer.Peer, [UInt8])] in
                var pieces: [(LineServer.Peer, [UInt8])] = []
                for index in state.slow.indices where !state.slow[index].lines.isEmpty {
                    pieces.append((state.slow[index].peer, state.slow[index].lines.removeFirst()))
                }
                return pieces
            }
            for (peer, line) in pieces { peer.send(line) }
            return !pieces.isEmpty
        }
    }

    /// Sends all answers that are `held`, a line of each in turn.
    public func sendHeld() async {
        await server(.lookup).onLoop { [self] _ in
            var held = state.withLock { state in
                defer { state.held = [] }
                return state.held
            }
            while held.contains(where: { !$0.lines.isEmpty }) {
                for index in held.indices where !held[index].lines.isEmpty { held[index].peer.send(held[index].lines.removeFirst()) }
            }
        }
    }

    private func server(_ port: Port) -> LineServer {
        guard let server = servers.withLock({ $0[port] }) else { preconditionFailure("no door \(port)") }
        return server
    }

    private func openDoor(_ port: Port) async throws {
        let server = try await LineServer.start(
            on: loop,
            onConnect: { [unowned self] peer in
                if case .hangsUp = state.withLock({ $0.faults[port] }) { peer.close() } else { greet(peer, port) }
                connected.signal(port)
            },
            onLine: { [unowned self] peer, line in take(line, from: peer, at: port) }
        )
        servers.withLock { $0[port] = server }
    }

    private func greet(_ peer: LineServer.Peer, _ port: Port) {
        if case .silent = state.withLock({ $0.faults[port] }) { return }
        switch port {
        case .level1:
            peer.send(line: "S,KEY,12345")
            peer.send(line: "S,SERVER CONNECTED")
            peer.send(line: "S,IP,127.0.0.1 60020,127.0.0.1 60020,127.0.0.1 60020,60000,60004,60003,60002,60050,0,500")
            peer.send(line: "S,CUST,real_time,127.0.0.1,60002,,6.2.0.25,0, EQUITY NASDAQ ,,500,QT_API,,,")
        case .derivatives: peer.send(line: "S,SERVER CONNECTED")
        case .lookup, .admin: break
        }
    }

    // MARK: What it understands

    private func take(_ line: String, from peer: LineServer.Peer, at port: Port) {
        let fault = state.withLock { $0.faults[port] }
        if case .silent = fault { return }
        let words = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        if line.hasPrefix("S,SET PROTOCOL,") {
            var spoken = versions.contains(words[2]) ? words[2] : versions.first ?? "4.9"
            if case .speaks(let version) = fault { spoken = version }
            peer.memory["protocol"] = spoken
            return peer.send(line: "S,CURRENT PROTOCOL,\(spoken)")
        }
        if line.hasPrefix("S,SET CLIENT NAME,") { return }
        switch port {
        case .lookup: takeLookup(line, words, peer)
        case .admin:
            answerAdmin(line, words, peer)
            heard.signal((port, line))
        case .level1:
            answerLevel1(line, words, peer)
            heard.signal((port, line))
        case .derivatives:
            if words[0] == "BW", words.count > 1, state.withLock({ $0.unknownSymbols.contains(words[1]) }) { peer.send(line: "n,\(words[1])") }
            if line == "S,REQUEST WATCHES" { peer.send(line: "S,WATCHES") }
            heard.signal((port, line))
        }
    }

    private func answerAdmin(_ line: String, _ words: [String], _ peer: LineServer.Peer) {
        guard words.count >= 2 else { return }
        switch words[1] {
        case "REGISTER CLIENT APP", "REMOVE CLIENT APP": peer.send(line: "S,\(words[1]) COMPLETED,")
        case "SET LOGINID": peer.send(line: "S,CURRENT LOGINID,\(words.dropFirst(2).joined(separator: ","))")
        case "SET PASSWORD": peer.send(line: "S,CURRENT PASSWORD,\(words.dropFirst(2).joined(separator: ","))")
        case "SET SAVE LOGIN INFO": peer.send(line: words.last == "On" ? "S,LOGIN INFO SAVED," : "S,LOGIN INFO NOT SAVED,")
        case "SET AUTOCONNECT": peer.send(line: words.last == "On" ? "S,AUTOCONNECT ON," : "S,AUTOCONNECT OFF,")
        default: break
        }
    }

    private func answerLevel1(_ line: String, _ words: [String], _ peer: LineServer.Peer) {
        if line.hasPrefix("S,SELECT UPDATE FIELDS,") {
            let names = state.withLock { $0.fieldOrder } ?? Array(words.dropFirst(2))
            return peer.send(line: "S,CURRENT UPDATE FIELDNAMES,\(names.joined(separator: ","))")
        }
        guard let first = line.first, first == "w" || first == "t" else { return }
        let symbol = String(line.dropFirst())
        let (unknown, summary) = state.withLock { ($0.unknownSymbols.contains(symbol), $0.summaries[symbol]) }
        if unknown { peer.send(line: "n,\(symbol)") } else if let summary { peer.send(line: summary) }
    }

    /// Where the id stands among the fields of a command.
    private static let idPlaces = [
        "HTX": 3, "HTD": 6, "HTT": 7, "HIX": 4, "HID": 7, "HIT": 8, "HDX": 3, "HWX": 3, "HMX": 3, "HDT": 5,
    ]

    private func takeLookup(_ line: String, _ words: [String], _ peer: LineServer.Peer) {
        guard let place = Self.idPlaces[words[0]] else { return peer.send(line: "E,!SYNTAX_ERROR!,") }
        let fields = Array(words.dropFirst())
        let id = fields.indices.contains(place) && !fields[place].isEmpty ? fields[place] : nil
        let request = Request(line: line, command: words[0], fields: fields, id: id)
        defer { requested.signal(request) }
        let isNew = peer.memory["protocol"] == "6.2"
        let prefix = Array((id.map { "\($0)," } ?? "").utf8)
        func lines(_ answer: [UInt8], old: Bool = false) -> [[UInt8]] {
            answer.split(separator: 0x0A).map { line in
                let mark = line.first == 0x21 || !isNew || old ? [] : Array("LH,".utf8)
                return prefix + mark + line + [0x0A]
            }
        }
        switch state.withLock({ $0.reply })(request) {
        case .answer(let bytes): peer.send(lines(bytes).joined())
        case .noData: peer.send(prefix + Array("E,!NO_DATA!,,\r\n".utf8) + prefix + Array("!ENDMSG!,\r\n".utf8))
        case .syntaxError: peer.send(line: "E,!SYNTAX_ERROR!,")
        case .error(let text): peer.send(prefix + Array("E,\(text),\r\n".utf8) + prefix + Array("!ENDMSG!,\r\n".utf8))
        case .cut(let bytes, let count):
            let all = lines(bytes)
            peer.send(all.prefix(count).joined())
            if all.indices.contains(count) { peer.send(all[count].prefix(all[count].count / 2)) }
            peer.finish()
        case .end(let bytes, let count):
            peer.send(lines(bytes).prefix(count).joined())
            peer.finish()
        case .hang(let bytes, let count): peer.send(lines(bytes).prefix(count).joined())
        case .slow(let bytes): state.withLock { $0.slow.append(Slow(peer: peer, lines: lines(bytes))) }
        case .oldForm(let bytes): peer.send(lines(bytes, old: true).joined())
        case .held(let bytes): state.withLock { $0.held.append(Slow(peer: peer, lines: lines(bytes))) }
        }
    }
}
