import Contracts
import HTTPServing
import ServiceRuntime

extension SignalsRoutes {
    private static let maximumWaitSeconds = 30

    /// `GET /api/predictions/{id}`: the route that must be fast. A caller, a signal and a question that are known cost three short locks.
    func signalPredictions(_ request: Request) async throws -> Response {
        let caller = try request.requiredCaller()
        let signalID = try request.parameter("id", as: SignalID.self)
        let question = request.query.entries.isEmpty && !Self.wantsCSV(request) ? PredictionQuestion.usual : try await self.question(request)
        // Before anything is looked for: whether a request is right must not depend on what is in memory.
        let wait = request.query.entries.isEmpty ? 0 : try self.wait(request)
        if wait > 0, question.afterSeq == nil {
            throw Problem.badRequest(code: "missing_parameter", detail: "wait needs after_seq: the last seq that you have.", field: "after_seq")
        }
        if let (standing, answer) = reader.ready(question, about: signalID) {
            try await check(caller, signalID, standing)
            if !answer.isEmpty || wait == 0 { return Self.response(answer, question) }
        }
        guard let standing = try await reader.standing(of: signalID) else { throw Problem.notFound(field: "id") }
        try await check(caller, signalID, standing)
        return try await answer(question, about: signalID, waitingSeconds: wait, caller: caller)
    }

    private func answer(_ question: PredictionQuestion, about signalID: SignalID, waitingSeconds: Int, caller: Caller) async throws -> Response {
        let deadline = time.monotonicNanoseconds() + UInt64(waitingSeconds) * 1_000_000_000
        while true {
            let mark = hub.mark
            guard let answer = try await reader.answer(question, about: signalID), let standing = try await reader.standing(of: signalID) else {
                throw Problem.notFound(field: "id")
            }
            // A subscription may end while its owner waits.
            try await check(caller, signalID, standing)
            let now = time.monotonicNanoseconds()
            if !answer.isEmpty || now >= deadline { return Self.response(answer, question) }
            // Too many wait, the client has gone, the service stops, or the time is over: then there is nothing new to say.
            let isNews = await hub.wait(for: [signalID], since: mark, timeout: .nanoseconds(Int64(deadline - now)))
            if !isNews { return Self.response(answer, question) }
        }
    }

    private func check(_ caller: Caller, _ signalID: SignalID, _ standing: PredictionReader.Standing) async throws {
        let isReader = caller.owns(standing.owner) || caller.isAdmin
        let isSubscribed: Bool
        if isReader {
            isSubscribed = false
        } else if let ready = entitlements.ready(caller.accountID, signalID) {
            isSubscribed = ready
        } else {
            isSubscribed = try await entitlements.isSubscribed(caller.accountID, to: signalID)
        }
        switch Entitlement.toPredictions(
            signalID: signalID,
            owner: standing.owner,
            state: standing.state,
            caller: caller,
            isSubscribed: isSubscribed
        )
        {
        case .granted: return
        case .hidden: throw Problem.notFound(field: "id")
        case .insufficientScope: throw Refusal.insufficientScope
        case .notSubscribed: throw Refusal.notSubscribed
        }
    }

    private func question(_ request: Request) async throws -> PredictionQuestion {
        let query = request.query
        try query.reject(unknownExcept: ["after_seq", "cursor", "limit", "wait", "format"])
        var question = PredictionQuestion()
        question.afterSeq = try query.integer("after_seq").map(Int64.init)
        question.limit = try query.integer("limit", range: 1...500, default: PredictionQuestion.usual.limit)
        if let text = query.string("cursor") {
            guard let cursor = PredictionCursor(text) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "The cursor is not one of ours.", field: "cursor")
            }
            guard try await store.ledgerEpoch() == cursor.epoch else {
                throw Problem.conflict(code: "ledger_epoch_changed", detail: "The ledger was restored; begin again.", field: "cursor")
            }
            if question.afterSeq == nil { question.beforeSeq = cursor.seq } else { question.afterSeq = cursor.seq }
        }
        question.format = try Self.format(request)
        return question
    }

    private static func format(_ request: Request) throws -> PredictionQuestion.Format {
        switch try request.query.choice("format", of: ["json", "csv"]) {
        case "csv": return .csv
        case "json": return .json
        default: return wantsCSV(request) ? .csv : .json
        }
    }

    private static func wantsCSV(_ request: Request) -> Bool { request.headers["accept"]?.hasPrefix("text/csv") == true }

    private func wait(_ request: Request) throws -> Int {
        try request.query.integer("wait", range: 0...Self.maximumWaitSeconds, default: 0)
    }

    private static func response(_ answer: PredictionAnswer, _ question: PredictionQuestion) -> Response {
        switch question.format {
        case .json: .json(bytes: answer.body)
        case .csv: .bytes(answer.body, contentType: "text/csv; charset=utf-8")
        }
    }

    /// `GET /api/predictions`: all signals that the caller is subscribed to, newest first; or, with `after`, what is newer than that mark, oldest first.
    func allPredictions(_ request: Request) async throws -> Response {
        let caller = try request.requiredCaller()
        try request.query.reject(unknownExcept: ["after", "cursor", "limit", "wait", "format"])
        let limit = try request.query.integer("limit", range: 1...500, default: 50)
        let format = try Self.format(request)
        let wait = try self.wait(request)
        let epoch = try await store.ledgerEpoch()
        if let text = request.query.string("after") {
            guard request.query.string("cursor") == nil else {
                throw Problem.badRequest(
                    code: "invalid_parameter",
                    detail: "after has no further pages: ask again with the new mark.",
                    field: "cursor"
                )
            }
            guard format == .json else {
                throw Problem.badRequest(code: "invalid_parameter", detail: "json: a table has no place for the next mark.", field: "format")
            }
            guard let mark = FeedMark(text) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "The mark is not one of ours.", field: "after")
            }
            try Self.check(epoch: mark.epoch, is: epoch, field: "after")
            return try await news(since: mark, of: caller, limit: limit, waitingSeconds: wait)
        }
        guard wait == 0 else {
            throw Problem.badRequest(code: "missing_parameter", detail: "wait needs after: the mark of the answer before.", field: "after")
        }
        let before = try request.query.string("cursor").map { text -> PredictionPosition in
            guard let cursor = FeedCursor(text) else {
                throw Problem.badRequest(code: "invalid_cursor", detail: "The cursor is not one of ours.", field: "cursor")
            }
            try Self.check(epoch: cursor.epoch, is: epoch, field: "cursor")
            return cursor.position
        }
        let readable = try await readableSignals(caller)
        let madeAt = time.now()
        // Rows and standings are of one moment, whatever is appended meanwhile: a row between the two would be in neither, or in both.
        let (views, found) = try await store.snapshot { store in
            (try await store.views(readable), try await store.predictions(of: readable, before: before, limit: limit + 1))
        }
        let rows = Array(found.prefix(limit))
        let cursor = found.count > limit ? rows.last.map { FeedCursor(epoch: epoch, position: $0.position).text } : nil
        // Only the first page is the newest: whoever goes on from an older one would miss what came since the first.
        let seqs = Dictionary(views.map { ($0.signal.id, $0.head.seq) }, uniquingKeysWith: max)
        let mark = before == nil ? FeedMark(epoch: epoch, madeAt: madeAt, seqs: seqs) : nil
        return Self.feed(rows, views, epoch: epoch, mark: mark, nextCursor: cursor, format)
    }

    /// What is newer than the mark, as soon as there is something; nothing when the time is over.
    private func news(since mark: FeedMark, of caller: Caller, limit: Int, waitingSeconds: Int) async throws -> Response {
        let deadline = time.monotonicNanoseconds() + UInt64(waitingSeconds) * 1_000_000_000
        // Of signals that the mark does not know: where they stood then is looked up once.
        var then: [SignalID: Int64] = [:]
        while true {
            let looked = hub.mark
            let madeAt = time.now()
            // A subscription may begin or end while its owner waits.
            let readable = try await readableSignals(caller)
            let unknown = readable.filter { mark[$0] == nil && then[$0] == nil }
            if !unknown.isEmpty { then.merge(try await store.seqs(of: unknown, at: mark.madeAt)) { _, new in new } }
            var seen: [SignalID: Int64] = [:]
            for signalID in readable { seen[signalID] = mark[signalID] ?? then[signalID] ?? 0 }
            let rows = try await store.predictions(above: seen, limit: limit)
            let now = time.monotonicNanoseconds()
            var isOver = !rows.isEmpty || now >= deadline
            if !isOver {
                isOver = !(await hub.wait(for: Set(seen.keys), since: looked, timeout: .nanoseconds(Int64(deadline - now))))
            }
            guard isOver else { continue }
            for row in rows { seen[row.statement.signalID] = row.entry.seq }
            let next = FeedMark(epoch: mark.epoch, madeAt: madeAt, seqs: seen)
            return Self.feed(rows, try await store.views(readable), epoch: mark.epoch, mark: next, nextCursor: nil, .json)
        }
    }

    private static func check(epoch: Int64, is current: Int64, field: String) throws {
        guard epoch == current else {
            throw Problem.conflict(code: "ledger_epoch_changed", detail: "The ledger was restored; begin again.", field: field)
        }
    }

    private static func feed(
        _ rows: [StoredPrediction],
        _ views: [SignalView],
        epoch: Int64,
        mark: FeedMark?,
        nextCursor: String?,
        _ format: PredictionQuestion.Format
    ) -> Response {
        if format == .csv { return .bytes(PredictionAnswers.csv(rows), contentType: "text/csv; charset=utf-8") }
        return json([
            "items": .array(rows.map(PredictionAnswers.prediction)), "signals": .array(views.map(PredictionAnswers.standing)),
            "ledger_epoch": .integer(epoch),
            "mark": mark.map { .string($0.text) } ?? .null, "next_cursor": nextCursor.map { .string($0) } ?? .null,
        ])
    }

    /// What the caller is subscribed to, as far as an API key lets it be read.
    private func readableSignals(_ caller: Caller) async throws -> [SignalID] {
        var ids = try await entitlements.signals(of: caller.accountID)
        if let named = caller.signals(named: Scope.readPredictions) {
            guard !named.isEmpty else { throw Refusal.insufficientScope }
            ids.formIntersection(named)
        }
        return ids.sorted()
    }
}
