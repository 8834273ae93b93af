import Contracts
import OutboundHTTP
import ServiceRuntime

/// What a client of a public interface allows itself.
struct WebLimits: Sendable, Equatable {
    var requestsPerSecond: Int
    /// Where requests have weights: how much a minute may weigh.
    var weightPerMinute: Int?
    /// How often a request is sent before its failure is told.
    var attempts = 3
    /// How long one request may take.
    var deadline = Duration.seconds(30)
    var answerBytes = 16 << 20
    /// A pause that the source asks for is kept in silence up to here; a longer one is an error at once.
    var patience = Duration.seconds(15)
    /// The rows that one question may bring together: more is asked for in pieces.
    var maximumRows = 1_000_000
}

/// A source's HTTP interface: requests in their pace and their weight, repeated where that may help, and never before the moment that the source named.
actor WebInterface {
    let baseURL: String
    let limits: WebLimits
    nonisolated let record: SourceRecord
    nonisolated let time: any TimeSource
    private let client: OutboundClient
    private let loop: EventLoop
    private let headers: [(name: String, value: String)]
    private let cpu: CPUPool
    private let backoff: Backoff
    /// What the source says about a refusal, out of its body; a line at most.
    private let complaint: @Sendable (JSONValue) -> String?
    /// What to do about a missing or wrong key.
    private let keyHint: String
    /// The statuses that mean that a key is missing or wrong.
    private let keyStatuses: Set<Int>
    /// The header in which the source tells how much it has counted.
    private let weightHeader: String?
    private var pacer: RequestPacer
    private var weight: RequestWeight?
    private var blocked: (until: Timestamp, why: String)?
    private let logger: Logger

    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }

    init(
        _ name: String,
        baseURL: String,
        limits: WebLimits,
        web: WebEnvironment,
        record: SourceRecord,
        headers: [(name: String, value: String)] = [],
        weightHeader: String? = nil,
        keyStatuses: Set<Int> = [401, 403],
        keyHint: String,
        complaint: @escaping @Sendable (JSONValue) -> String?
    ) {
        self.baseURL = baseURL.hasSuffix("/") ? String(baseURL.dropLast()) : baseURL
        self.limits = limits
        self.record = record
        self.headers = headers
        self.weightHeader = weightHeader
        self.keyStatuses = keyStatuses
        self.keyHint = keyHint
        self.complaint = complaint
        time = web.time
        // Connections of its own: a source that hangs holds up nobody else.
        client = OutboundClient(loop: web.loop, configuration: web.outbound)
        loop = web.loop
        cpu = web.cpu
        backoff = web.backoff
        pacer = RequestPacer(perSecond: limits.requestsPerSecond)
        weight = limits.weightPerMinute.map { RequestWeight(perMinute: $0) }
        logger = Logger(name)
    }

    /// Asks, and gives what `read` makes of an answer with a status of 200 to 299; an answer that cannot be read is asked for again. Throws `SourceError`.
    func get<Value: Sendable>(
        _ path: String,
        _ query: [(String, String)] = [],
        weight: Int = 1,
        _ read: @escaping @Sendable (OutboundAnswer) throws -> Value
    ) async throws -> Value {
        let words = query.map { "\($0.0)=\(Self.percentEncoded($0.1))" }
        let url = baseURL + path + (words.isEmpty ? "" : "?" + words.joined(separator: "&"))
        var backoff = backoff
        for attempt in 1... {
            do {
                try await waitForPlace(weight)
                let value = try await once(url, read)
                record.answered(at: time.now())
                return value
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                let failure = error as? SourceError ?? .unavailable("\(error)")
                switch failure {
                case .refused, .notSupported, .beyondReach: record.answered(at: time.now())
                default: record.failed(at: time.now(), failure.description)
                }
                guard failure.isPassing, failure != .busy, attempt < limits.attempts else {
                    logger.warning("a request failed", ["path": .string(path), "error": .string(failure.description)])
                    throw failure
                }
                // A limit names its own pause.
                if case .limited = failure { continue }
                backoff.failed()
                try await time.sleep(for: backoff.delay)
            }
        }
        throw SourceError.busy
    }

    private func waitForPlace(_ weight: Int) async throws {
        try await passBlock()
        let pause = pacer.reserve(now: time.monotonicNanoseconds())
        if pause > .zero { try await time.sleep(for: pause) }
        while let pause = self.weight?.reserve(weight, now: time.now()), pause > .zero { try await time.sleep(for: pause) }
        // While this one waited another may have been told to stop.
        try await passBlock()
    }

    private func passBlock() async throws {
        while let blocked {
            let rest = blocked.until - time.now()
            guard rest > .zero else {
                self.blocked = nil
                return
            }
            guard rest <= limits.patience else { throw SourceError.limited(blocked.why, until: blocked.until) }
            try await time.sleep(for: rest)
        }
    }

    private func once<Value: Sendable>(_ url: String, _ read: @escaping @Sendable (OutboundAnswer) throws -> Value) async throws -> Value {
        let answer: OutboundAnswer
        do {
            let request = OutboundRequest(url: url, headers: headers, deadline: limits.deadline, maximumAnswerBytes: limits.answerBytes)
            answer = try await client.send(request)
        } catch let error as OutboundError {
            throw SourceError(error)
        }
        if let weightHeader, let counted = answer.header(weightHeader).flatMap({ Int($0) }) { weight?.note(counted, now: time.now()) }
        guard (200..<300).contains(answer.status) else { throw refusal(answer) }
        do {
            return try await cpu.run { try read(answer) }
        } catch is CPUPoolError {
            throw SourceError.busy
        }
    }

    private func refusal(_ answer: OutboundAnswer) -> SourceError {
        let said = (try? WireJSON.parse(answer.body)).flatMap(complaint) ?? ""
        let text = "status \(answer.status)\(said.isEmpty ? "" : ": \(said.prefix(200))")"
        if keyStatuses.contains(answer.status) { return .refused(.unauthorized, "\(text); \(keyHint)") }
        switch answer.status {
        case 429, 418:
            // Without a word about it: a minute is what such limits are counted by; who is shut out has gone on too long already.
            let pause = answer.header("retry-after").flatMap { Int64($0) }.map { min(max($0, 1), 7 * 86_400) } ?? (answer.status == 418 ? 300 : 60)
            let until = time.now() + .seconds(pause)
            if until > blocked?.until ?? .distantPast { blocked = (until, text) }
            return .limited(text, until: until)
        case 400, 422: return .refused(.syntax, text)
        case 404: return .notSupported(text)
        case 451: return .refused(.other, "\(text); it is not offered from where this machine is")
        case 500...: return .unavailable(text)
        default: return .refused(.other, text)
        }
    }

    /// Everything but letters, digits and `-._~` as percent signs.
    static func percentEncoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        var encoded = ""
        for byte in text.utf8 {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, 0x2D, 0x2E, 0x5F, 0x7E: encoded.unicodeScalars.append(Unicode.Scalar(byte))
            default: encoded += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
        return encoded
    }
}

/// What sources on the web have in common: the loop that they live on, and who asks for them.
struct WebEnvironment: Sendable {
    let loop: EventLoop
    /// How they go out; each has a client with connections of its own.
    let outbound: OutboundConfiguration
    let cpu: CPUPool
    let time: any TimeSource
    var backoff = Backoff(first: .milliseconds(500), longest: .seconds(30))
}

extension SourceError {
    /// What a failed request or connection means here.
    init(_ error: OutboundError) {
        switch error {
        case .badRequest(let why): self = .notSupported(why)
        case .tooLarge(_, let maximumBytes): self = .tooLarge(maximumBytes: maximumBytes)
        case .lost, .malformed: self = .broken(error.description)
        case .refused(_, 401, _, _), .refused(_, 403, _, _): self = .refused(.unauthorized, error.description)
        case .nameNotResolved, .notConnected, .notTrusted, .timedOut, .refused, .silent, .closed, .peerDoesNotRead, .stopped:
            self = .unavailable(error.description)
        }
    }
}
