import Bars
import Contracts
import Cryptography
import HTTPServing
import ServiceRuntime
import Synchronization

/// Answers charts in parts, all parts of one chart as of one moment, and the same question again without reading a bar.
final class Charts: Sendable {
    private let store: ChartStore
    private let reader: BarReader
    private let marks: ChartMarks
    private let bodies: ChartBodies
    private let cpu: CPUPool
    private let time: any TimeSource
    private let limits: ChartLimits
    private let orders: ResampleOrders?
    private let rounds = Rounds<ChartQuestion, ChartMark>()
    /// From which day on questions have to be looked at whose first guess was too short.
    private let firstDays = Mutex<[ChartQuestion: CivilDay]>([:])

    init(
        store: ChartStore,
        reader: BarReader,
        marks: ChartMarks,
        bodies: ChartBodies,
        cpu: CPUPool,
        time: any TimeSource,
        limits: ChartLimits,
        orders: ResampleOrders? = nil
    ) {
        self.store = store
        self.reader = reader
        self.marks = marks
        self.bodies = bodies
        self.cpu = cpu
        self.time = time
        self.limits = limits
        self.orders = orders
    }

    /// A part of a chart, ready to be sent.
    struct Part: Sendable {
        var bytes: [UInt8]
        /// The moment that all parts of the chart are as of.
        var asOf: Timestamp
    }

    /// The last points of a question, and a chart that its earlier ones can be read of.
    ///
    /// What was answered before is answered again, with the same id, if a look at the stored days that began after the request says that nothing changed:
    /// then a chart pinned to now would have the same bytes.
    func open(_ question: ChartQuestion, for session: ChartSession, gzip: Bool) async throws -> Part {
        var mark = try await rounds.value(for: question) { try await marks.mark(question, firstDay: firstDay(of: question)) }
        let key = ChartBodies.Key(session: session.id, question: mark.digest)
        if let known = bodies.body(key), let body = try await stillOpen(known, key) { return try await part(of: body, key, gzip: gzip) }
        while true {
            // In this order: a correction that comes in between makes the answer newer than the mark, which only costs the next one its short way.
            let now = time.now()
            guard
                let request = try await store.open(
                    .make(),
                    of: session.id,
                    symbol: question.symbol,
                    interval: question.interval.text,
                    range: (mark.request.start ?? now)..<(mark.request.end ?? now),
                    at: now,
                    until: now + limits.requestLifetime,
                    atMost: limits.requestsPerSession
                )
            else { throw ChartSessions.noSession }
            let answer = try await read(request, before: request.end, points: ChartLimits.points)
            if let needed = missingDay(mark, answer, request) {
                setFirstDay(needed, of: question)
                mark = try await marks.mark(question, firstDay: needed)
                continue
            }
            let made = ChartBodies.Body(plain: answer.body, request: request)
            let part = try await part(of: made, ChartBodies.Key(session: session.id, question: mark.digest), gzip: gzip, isNew: true)
            // The answer is made: the other standard intervals of the stretch are ordered behind it, and nobody waits for them.
            orders?.note(request)
            return part
        }
    }

    /// The points of a chart before a moment.
    func chunk(_ id: ChartRequestID, before: Timestamp, limit: Int, for session: ChartSession, gzip: Bool) async throws -> Part {
        let question = SHA256.digest(utf8: "chunk1 \(id) \(before.microseconds) \(limit)")
        let key = ChartBodies.Key(session: session.id, question: question)
        if let known = bodies.body(key), known.request.expiresAt > time.now() { return try await part(of: known, key, gzip: gzip) }
        guard let request = try await store.request(id, of: session.id) else {
            throw Problem.notFound(code: "unknown_request", detail: "This session has no such chart.", field: "request_id")
        }
        guard request.expiresAt > time.now() else { throw Self.expired }
        let answer = try await read(request, before: min(before, request.end), points: limit)
        return try await part(of: ChartBodies.Body(plain: answer.body, request: request), key, gzip: gzip, isNew: true)
    }

    private struct Answer: Sendable {
        var body: [UInt8]
        /// The first bar that was looked at: one before the first that is answered, if there is one.
        var firstStart: Int64?
        var hasMore: Bool
    }

    private func read(_ request: ChartRequest, before: Timestamp, points: Int) async throws -> Answer {
        guard before > request.start else {
            return Answer(body: ChartAnswer.json(request.id, .empty, points: points), firstStart: nil, hasMore: false)
        }
        var question = BarRequest(symbol: request.symbol, interval: try BarInterval(text: request.interval))
        question.start = request.start
        question.end = before
        question.countback = points + 1
        question.limit = points + 1
        question.asOf = request.asOf
        let bars = try await reader.read(question).bars
        return try await cpu.run {
            Answer(body: ChartAnswer.json(request.id, bars, points: points), firstStart: bars.starts.first, hasMore: bars.count > points)
        }
    }

    /// From which day on the mark should have looked, if not from early enough: where there is no more, from the start.
    private func missingDay(_ mark: ChartMark, _ answer: Answer, _ request: ChartRequest) -> CivilDay? {
        let start = CivilDay(utcMicroseconds: request.start.microseconds) + -1
        let needed = answer.hasMore ? answer.firstStart.map { max(start, CivilDay(utcMicroseconds: $0) + -1) } ?? start : start
        return needed < mark.firstDay ? needed : nil
    }

    private func firstDay(of question: ChartQuestion) -> CivilDay? { firstDays.withLock { $0[question] } }

    private func setFirstDay(_ day: CivilDay, of question: ChartQuestion) {
        firstDays.withLock { days in
            if days.count >= 10_000 { days.removeAll(keepingCapacity: true) }
            days[question] = day
        }
    }

    /// An answer whose chart can be read on for at least half its time: the client has just got it.
    private func stillOpen(_ body: ChartBodies.Body, _ key: ChartBodies.Key) async throws -> ChartBodies.Body? {
        let now = time.now()
        let half = Duration.seconds(limits.requestLifetime.components.seconds / 2)
        if body.request.expiresAt >= now + half { return body }
        var renewed = body
        renewed.request.expiresAt = now + limits.requestLifetime
        guard try await store.prolong(body.request.id, at: now, until: renewed.request.expiresAt) else { return nil }
        bodies.store(renewed, for: key)
        return renewed
    }

    /// The bytes that the client takes; what is made of them is kept.
    private func part(of body: ChartBodies.Body, _ key: ChartBodies.Key, gzip: Bool, isNew: Bool = false) async throws -> Part {
        if gzip, let packed = body.gzip { return Part(bytes: packed, asOf: body.request.asOf) }
        var body = body
        if gzip { body.gzip = try await cpu.run { [plain = body.plain] in Gzip.pack(plain) } }
        if gzip || isNew { bodies.store(body, for: key) }
        return Part(bytes: gzip ? body.gzip ?? body.plain : body.plain, asOf: body.request.asOf)
    }

    static let expired = Problem(
        status: .gone,
        code: "request_expired",
        detail: "This chart can no longer be read on: ask /historical/ again.",
        field: "request_id"
    )
}
