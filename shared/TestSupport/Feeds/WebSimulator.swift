internal import Cryptography
internal import Foundation
public import ServiceRuntime
internal import Synchronization

/// A server of HTTP and WebSocket on a free port of the loopback, with whatever goes wrong in the world: what exchanges' public interfaces look like.
///
/// It knows the protocols and no data: a test says what is answered, and pushes messages itself.
public final class WebSimulator: Sendable {
    /// A request as it came.
    public struct Request: Sendable {
        /// `GET`, or `CONNECT` where we are taken for a proxy.
        public let method: String
        /// What stands in the first line.
        public let target: String
        /// The target before its query.
        public let path: String
        /// The query, decoded.
        public let query: [String: String]
        /// Fields by name in small letters.
        public let headers: [String: String]
        /// Counts requests from 0.
        public let number: Int
    }

    /// What is answered.
    public enum Reply: Sendable {
        /// A whole answer.
        case answer(status: Int, headers: [String: String], body: [UInt8])
        /// Half of an answer whose head announces all of it, then the connection ends.
        case cut([UInt8])
        /// Nothing, for ever.
        case silence
        /// The connection ends without a word.
        case hangUp
        /// Those bytes, whatever they are.
        case raw([UInt8])
        /// A WebSocket.
        case webSocket
        /// A WebSocket, agreed to with another's key.
        case wrongWebSocket

        /// 200 with JSON.
        public static func json(_ text: String, headers: [String: String] = [:]) -> Reply {
            .answer(status: 200, headers: headers, body: Array(text.utf8))
        }
        /// Another status with JSON.
        public static func status(_ status: Int, _ text: String = "", headers: [String: String] = [:]) -> Reply {
            .answer(status: status, headers: headers, body: Array(text.utf8))
        }
    }

    /// A frame of a client.
    public struct Heard: Sendable, Equatable {
        /// Which WebSocket, counted from 0.
        public let socket: Int
        /// 1 text, 8 close, 9 ping, 10 pong.
        public let opcode: UInt8
        /// What it holds, unmasked.
        public let payload: [UInt8]
        /// The payload as text.
        public var text: String { String(decoding: payload, as: UTF8.self) }
    }

    private struct State {
        var reply: @Sendable (Request) -> Reply = { _ in .status(404) }
        var onText: @Sendable (Int, String) -> [String] = { _, _ in [] }
        var answersPings = true
        var requests = 0
        var sockets = 0
    }

    private let state = Mutex(State())
    private let server = Mutex<LineServer?>(nil)

    /// A request came.
    public let requested = TestSignal<Request>()
    /// A WebSocket was agreed on; its number.
    public let opened = TestSignal<Int>()
    /// A frame came.
    public let heard = TestSignal<Heard>()

    private init() {}

    /// Starts it.
    public static func start(on loop: EventLoop) async throws -> WebSimulator {
        let simulator = WebSimulator()
        let server = try await LineServer.start(on: loop, onBytes: { [unowned simulator] peer, bytes in simulator.take(bytes, from: peer) })
        simulator.server.withLock { $0 = server }
        return simulator
    }

    /// Ends it.
    public func stop() async { await server.withLock { $0 }?.stop() }

    /// Its port.
    public var port: Int { server.withLock { $0?.port ?? 0 } }
    /// Where its HTTP is.
    public var url: String { "http://127.0.0.1:\(port)" }
    /// Where its WebSockets are.
    public var webSocketURL: String { "ws://127.0.0.1:\(port)" }

    // MARK: What it does

    /// What requests are answered with, from now on.
    public func reply(_ reply: @escaping @Sendable (Request) -> Reply) { state.withLock { $0.reply = reply } }

    /// What texts of WebSockets are answered with, from now on.
    public func onText(_ answers: @escaping @Sendable (_ socket: Int, _ text: String) -> [String]) { state.withLock { $0.onText = answers } }

    /// Whether pings are answered.
    public func answerPings(_ answers: Bool) { state.withLock { $0.answersPings = answers } }

    /// Sends a text to every WebSocket, or to that one.
    public func send(_ text: String, to socket: Int? = nil) async { await sendFrame(0x81, Array(text.utf8), to: socket) }

    /// Sends a frame with that first byte, unmasked.
    public func sendFrame(_ first: UInt8, _ payload: [UInt8], to socket: Int? = nil) async { await sendBytes(Self.frame(first, payload), to: socket) }

    /// Sends those bytes, which need not be a whole frame.
    public func sendBytes(_ bytes: [UInt8], to socket: Int? = nil) async {
        await sockets(socket) { $0.send(bytes) }
    }

    /// Says goodbye with a code.
    public func sendClose(_ code: Int, _ reason: String = "", to socket: Int? = nil) async {
        await sendFrame(0x88, [UInt8(code >> 8), UInt8(code & 0xFF)] + Array(reason.utf8), to: socket)
    }

    /// Ends connections without a word.
    public func hangUp(_ socket: Int? = nil) async { await sockets(socket) { $0.close() } }

    /// How many WebSockets are open.
    public func openSockets() async -> Int {
        await server.withLock { $0 }?.onLoop { server in server.peers.count { $0.memory["socket"] != nil } } ?? 0
    }

    /// A frame of a server.
    public static func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        if count < 126 { return [first, UInt8(count)] + payload }
        if count < 65_536 { return [first, 126, UInt8(count >> 8), UInt8(count & 0xFF)] + payload }
        return [first, 127] + (0..<8).map { UInt8(truncatingIfNeeded: count >> (56 - 8 * $0)) } + payload
    }

    private func sockets(_ socket: Int?, _ body: @escaping @Sendable (LineServer.Peer) -> Void) async {
        await server.withLock { $0 }?
            .onLoop { server in
                for peer in server.peers where peer.memory["socket"] != nil && (socket == nil || peer.memory["socket"] == "\(socket ?? 0)") {
                    body(peer)
                }
            }
    }

    // MARK: What it understands

    private func take(_ bytes: [UInt8], from peer: LineServer.Peer) {
        peer.pending += bytes
        while peer.isOpen {
            if peer.memory["socket"] != nil {
                guard takeFrame(peer) else { return }
            } else if let end = peer.pending.firstRange(of: [0x0D, 0x0A, 0x0D, 0x0A]) {
                let head = String(decoding: peer.pending[..<end.lowerBound], as: UTF8.self)
                peer.pending.removeSubrange(..<end.upperBound)
                answer(head, peer)
            } else {
                return
            }
        }
    }

    private func answer(_ head: String, _ peer: LineServer.Peer) {
        let lines = head.components(separatedBy: "\r\n")
        let words = lines[0].split(separator: " ").map(String.init)
        guard words.count == 3 else { return peer.close() }
        var headers: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { headers[parts[0].lowercased()] = parts[1].trimmingCharacters(in: .whitespaces) }
        }
        let target = words[1]
        var query: [String: String] = [:]
        for pair in target.split(separator: "?", maxSplits: 1).dropFirst().first?.split(separator: "&") ?? [] {
            let parts = pair.split(separator: "=", maxSplits: 1).map { String($0).removingPercentEncoding ?? "" }
            query[parts[0]] = parts.count == 2 ? parts[1] : ""
        }
        let (number, reply) = state.withLock { state in
            defer { state.requests += 1 }
            return (state.requests, state.reply)
        }
        let path = String(target.prefix { $0 != "?" })
        let request = Request(method: words[0], target: target, path: path, query: query, headers: headers, number: number)
        defer { requested.signal(request) }
        let outcome = reply(request)
        switch outcome {
        case .answer(let status, let fields, let body):
            var text = "HTTP/1.1 \(status) Status\r\nContent-Length: \(body.count)\r\n"
            for (name, value) in fields { text += "\(name): \(value)\r\n" }
            peer.send(Array((text + "\r\n").utf8) + body)
        case .cut(let body):
            peer.send(Array("HTTP/1.1 200 OK\r\nContent-Length: \(body.count)\r\n\r\n".utf8) + body.prefix(body.count / 2))
            peer.finish()
        case .silence: break
        case .hangUp: peer.close()
        case .raw(let bytes): peer.send(bytes)
        case .webSocket, .wrongWebSocket:
            var key = headers["sec-websocket-key"] ?? ""
            if case .wrongWebSocket = outcome { key = "somebody else's" }
            let accept = Data(SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))).base64EncodedString()
            peer.send(
                Array("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \(accept)\r\n\r\n".utf8)
            )
            let socket = state.withLock { state in
                defer { state.sockets += 1 }
                return state.sockets
            }
            peer.memory["socket"] = "\(socket)"
            opened.signal(socket)
        }
    }

    /// Takes one whole frame of a client; false when there is none.
    private func takeFrame(_ peer: LineServer.Peer) -> Bool {
        let bytes = peer.pending
        guard bytes.count >= 6 else { return false }
        var length = Int(bytes[1] & 0x7F)
        var start = 2
        if length == 126 {
            length = Int(bytes[2]) << 8 | Int(bytes[3])
            start = 4
        } else if length == 127 {
            guard bytes.count >= 14 else { return false }
            length = bytes[2..<10].reduce(0) { $0 << 8 | Int($1) }
            start = 10
        }
        guard bytes[1] & 0x80 != 0 else {
            // A client's frame without a mask must not be.
            peer.close()
            return false
        }
        guard bytes.count >= start + 4 + length else { return false }
        let payload = (0..<length).map { bytes[start + 4 + $0] ^ bytes[start + $0 % 4] }
        peer.pending.removeSubrange(..<(start + 4 + length))
        let socket = Int(peer.memory["socket"] ?? "") ?? 0
        let heard = Heard(socket: socket, opcode: bytes[0] & 0x0F, payload: payload)
        let (onText, answersPings) = state.withLock { ($0.onText, $0.answersPings) }
        switch heard.opcode {
        case 1: for answer in onText(socket, heard.text) { peer.send(Self.frame(0x81, Array(answer.utf8))) }
        case 9: if answersPings { peer.send(Self.frame(0x8A, payload)) }
        default: break
        }
        self.heard.signal(heard)
        return true
    }
}
