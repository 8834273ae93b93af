import Contracts
import ServiceRuntime
import Synchronization

/// Answers about predictions, from memory where they are known to be right.
///
/// Each body is valid for one revision of its signal. It is served while the store has confirmed that revision within the last 900 ms: ``RevisionWatch``
/// does that for all signals in use ten times a second with one statement, and builds new bodies before the old ones are dropped, so that a busy signal's
/// readers never wait for a prediction that has just come. What the watch has not confirmed in time is read from the store. A new prediction is
/// readable on every replica about 10 ms after its event, 100 ms after its commit without any event, and after 1 s in any case.
///
/// Nothing here belongs to a loop: a hit is one short lock and no hop.
final class PredictionReader: Sendable {
    /// How long a confirmation is good for.
    static let confirmationNanoseconds: UInt64 = 900_000_000
    static let maximumSignals = 10_000
    static let maximumBodiesPerSignal = 8
    /// Pages of 500 rows under many cursors could fill the memory: above this only the usual bodies stay.
    static let maximumBytes = 128 * 1_048_576
    /// A signal that nobody asked about for this long is forgotten.
    static let idleNanoseconds: UInt64 = 60_000_000_000
    /// What is read at once: the signals of two statements, and the rows of one.
    static let maximumSignalsPerRead = 64
    static let maximumRowsPerRead = 5_000

    /// What the answers to a signal's readers hang on.
    struct Standing: Sendable {
        var owner: AccountID
        var state: SignalState
    }

    private struct Entry {
        var standing: Standing
        var revision: Int64
        var confirmedAt: UInt64
        var usedAt: UInt64
        var bodies: [PredictionQuestion: PredictionAnswer]
        var bytes: Int { bodies.values.reduce(0) { $0 + $1.body.count } }
    }

    /// The entries, with a count of the bytes in their bodies.
    private struct Kept {
        private(set) var all: [SignalID: Entry] = [:]
        private(set) var bytes = 0

        subscript(signalID: SignalID) -> Entry? {
            get { all[signalID] }
            set {
                bytes += (newValue?.bytes ?? 0) - (all[signalID]?.bytes ?? 0)
                all[signalID] = newValue
            }
        }

        /// Changes no body.
        mutating func mark(_ signalID: SignalID, usedAt: UInt64) { all[signalID]?.usedAt = usedAt }
        mutating func confirm(_ signalID: SignalID, at moment: UInt64) {
            if let before = all[signalID]?.confirmedAt { all[signalID]?.confirmedAt = max(before, moment) }
        }

        mutating func keep(where isWanted: (Entry) -> Bool) {
            for (signalID, entry) in all where !isWanted(entry) { self[signalID] = nil }
        }

        /// Leaves each signal the body that its readers usually ask for.
        mutating func dropUnusual() {
            for (signalID, entry) in all {
                var entry = entry
                entry.bodies = entry.bodies.filter { $0.key == .usual }
                self[signalID] = entry
            }
        }
    }

    private let store: any SignalsStore
    private let time: any TimeSource
    /// Where the bodies of many signals are written; without it everything is done where the call is.
    private let cpu: CPUPool?
    private let entries = Mutex(Kept())
    private let hits: Counter
    private let misses: Counter

    init(store: any SignalsStore, time: any TimeSource, cpu: CPUPool? = nil) {
        self.store = store
        self.time = time
        self.cpu = cpu
        hits = Metrics.shared.counter("auspex_prediction_cache_hits_total", help: "Prediction bodies served from memory.")
        misses = Metrics.shared.counter("auspex_prediction_cache_misses_total", help: "Prediction bodies read from the store.")
    }

    /// Owner and state of a signal; nil when there is none.
    func standing(of signalID: SignalID) async throws -> Standing? {
        let now = time.monotonicNanoseconds()
        let known = entries.withLock { entries -> Standing? in
            guard let entry = entries[signalID], Self.age(entry.confirmedAt, at: now) < Self.confirmationNanoseconds else { return nil }
            return entry.standing
        }
        if let known { return known }
        return try await load([signalID: []])[signalID]?.standing
    }

    /// The answer from memory if it is there and confirmed: the hot path.
    func ready(_ question: PredictionQuestion, about signalID: SignalID) -> (standing: Standing, answer: PredictionAnswer)? {
        let now = time.monotonicNanoseconds()
        let found = entries.withLock { entries -> (Standing, PredictionAnswer)? in
            guard let entry = entries[signalID], Self.age(entry.confirmedAt, at: now) < Self.confirmationNanoseconds,
                let answer = entry.bodies[question]
            else {
                return nil
            }
            // Written rarely: a store to the map for every request would only cost.
            if Self.age(entry.usedAt, at: now) > 1_000_000_000 { entries.mark(signalID, usedAt: now) }
            return (entry.standing, answer)
        }
        guard let found else { return nil }
        hits.increment()
        return (found.0, found.1)
    }

    /// The answer, from the store when need be; nil when there is no such signal.
    func answer(_ question: PredictionQuestion, about signalID: SignalID) async throws -> PredictionAnswer? {
        if let ready = ready(question, about: signalID) { return ready.answer }
        misses.increment()
        return try await load([signalID: [question]])[signalID]?.answers[question]
    }

    // MARK: Keeping bodies right

    /// The signals in use.
    var watched: [SignalID] {
        let now = time.monotonicNanoseconds()
        return entries.withLock { entries in
            entries.keep { Self.age($0.usedAt, at: now) < Self.idleNanoseconds }
            return Array(entries.all.keys)
        }
    }

    /// Takes what the store said of revisions at `askedAt`; returns the signals whose bodies have to be built anew, the most urgent ones first.
    func confirm(_ revisions: [SignalID: Int64], askedAt: UInt64) -> [SignalID] {
        entries.withLock { entries in
            var stale: [(signalID: SignalID, confirmedAt: UInt64)] = []
            for (signalID, entry) in entries.all {
                guard let revision = revisions[signalID] else { continue }
                if revision == entry.revision {
                    entries.confirm(signalID, at: askedAt)
                } else if revision > entry.revision {
                    stale.append((signalID, entry.confirmedAt))
                }
            }
            return stale.sorted { $0.confirmedAt < $1.confirmedAt }.map(\.signalID)
        }
    }

    /// Builds the bodies of signals anew, as many signals at a time as one read may take, and tells of each such part when it is done; readers get the old
    /// bodies meanwhile, for as long as those are confirmed.
    func refresh(_ signalIDs: [SignalID], whenDone: ([SignalID]) -> Void) async throws {
        var rest = signalIDs[...]
        while !rest.isEmpty {
            let (part, questions) = entries.withLock { entries in
                var questions: [SignalID: [PredictionQuestion]] = [:]
                var rows = 0
                let part = rest.prefix(Self.maximumSignalsPerRead).prefix { signalID in
                    guard let entry = entries[signalID] else { return true }
                    rows += entry.bodies.keys.reduce(0) { $0 + $1.limit + 1 }
                    // However much one signal's readers ask for, it has to be read.
                    guard questions.isEmpty || rows <= Self.maximumRowsPerRead else { return false }
                    questions[signalID] = Array(entry.bodies.keys)
                    return true
                }
                return (Array(part), questions)
            }
            rest = rest.dropFirst(part.count)
            if !questions.isEmpty { _ = try await load(questions) }
            whenDone(part)
        }
    }

    /// Another thread may have marked an entry since `now` was read.
    private static func age(_ moment: UInt64, at now: UInt64) -> UInt64 { now - min(now, moment) }

    /// The memory that bodies take up.
    var keptBytes: Int { entries.withLock { $0.bytes } }

    private typealias Loaded = (standing: Standing, answers: [PredictionQuestion: PredictionAnswer])

    /// Reads what is asked of each signal with two statements, however many signals there are; leaves out those that do not exist.
    private func load(_ questions: [SignalID: [PredictionQuestion]]) async throws -> [SignalID: Loaded] {
        let askedAt = time.monotonicNanoseconds()
        // The heads come first: whatever is read after them is at least as new as their revisions.
        let views = try await store.views(Array(questions.keys))
        let asked = views.flatMap { view in (questions[view.signal.id] ?? []).map { (view: view, question: $0) } }
        // One row more than asked for tells whether there is a next page.
        let pages = try await store.predictions(
            asked.map { view, question in
                PredictionQuery(signalID: view.signal.id, afterSeq: question.afterSeq, beforeSeq: question.beforeSeq, limit: question.limit + 1)
            }
        )
        let answers = try await written(zip(asked, pages).map { ($0.view, $0.question, $1) })
        var loaded: [SignalID: Loaded] = [:]
        for view in views { loaded[view.signal.id] = (Standing(owner: view.signal.accountID, state: view.signal.state), [:]) }
        for (asked, answer) in zip(asked, answers) { loaded[asked.view.signal.id]?.answers[asked.question] = answer }
        for view in views {
            guard let (standing, answers) = loaded[view.signal.id] else { continue }
            keep(view.signal.id, standing: standing, revision: view.head.revision, answers: answers, askedAt: askedAt)
        }
        let missing = questions.keys.filter { loaded[$0] == nil }
        if !missing.isEmpty { entries.withLock { entries in for signalID in missing { entries[signalID] = nil } } }
        return loaded
    }

    /// The bodies of several pages: a few are written at once, many would hold up the loop and whoever it serves.
    private func written(_ pages: [(SignalView, PredictionQuestion, [StoredPrediction])]) async throws -> [PredictionAnswer] {
        guard pages.count > 1, let cpu else { return pages.map(Self.answer) }
        return try await cpu.run(lane: Self.writing) { pages.map(Self.answer) }
    }

    private static let writing = CPULane(name: "prediction_bodies", maximumConcurrent: 1, maximumQueued: 1_024)

    private static func answer(_ view: SignalView, _ question: PredictionQuestion, _ found: [StoredPrediction]) -> PredictionAnswer {
        let hasMore = found.count > question.limit
        let rows = Array(found.prefix(question.limit))
        let cursor = hasMore ? rows.last.map { PredictionCursor(epoch: view.epoch, seq: $0.entry.seq).text } : nil
        let body =
            switch question.format {
            case .json: PredictionAnswers.page(view, rows: rows, nextCursor: cursor)
            case .csv: PredictionAnswers.csv(rows)
            }
        return PredictionAnswer(body: body, lastSeq: rows.map(\.entry.seq).max() ?? view.head.seq, isEmpty: rows.isEmpty)
    }

    private func keep(
        _ signalID: SignalID,
        standing: Standing,
        revision: Int64,
        answers: [PredictionQuestion: PredictionAnswer],
        askedAt: UInt64
    ) {
        entries.withLock { entries in
            if var entry = entries[signalID], entry.revision >= revision {
                // Somebody has loaded something newer meanwhile: then only that is kept.
                guard entry.revision == revision else { return }
                entry.confirmedAt = max(entry.confirmedAt, askedAt)
                entry.usedAt = max(entry.usedAt, askedAt)
                if entry.bodies.count + answers.count > Self.maximumBodiesPerSignal { entry.bodies = entry.bodies.filter { $0.key == .usual } }
                entry.bodies.merge(answers) { _, new in new }
                entries[signalID] = entry
            } else {
                if entries.all.count >= Self.maximumSignals, entries[signalID] == nil,
                    let oldest = entries.all.min(by: { $0.value.usedAt < $1.value.usedAt })
                {
                    entries[oldest.key] = nil
                }
                let usedAt = entries[signalID]?.usedAt ?? askedAt
                entries[signalID] = Entry(standing: standing, revision: revision, confirmedAt: askedAt, usedAt: usedAt, bodies: answers)
            }
            if entries.bytes > Self.maximumBytes { entries.dropUnusual() }
        }
    }
}
