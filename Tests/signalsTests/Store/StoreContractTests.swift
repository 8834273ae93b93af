import Contracts
import Cryptography
import Postgres
import TestSupport
import Testing

@testable import signals

/// What every store must do; run against both.
struct StoreContract {
    let store: any SignalsStore
    let now = Fixtures.now

    func signals() async throws {
        let (mine, other) = (AccountID.make(), AccountID.make())
        let draft = Fixtures.signal(account: mine, name: "A draft")
        try await store.create(draft)
        #expect(try await store.signal(draft.id) == draft)
        #expect(try await store.signal(.make()) == nil)
        let (published, version) = try await Fixtures.published(in: store, account: other)
        #expect(published.state == .published && published.version == 2 && published.feed == .live)
        #expect(published.instruments == ["BTCUSD"] && published.intervalSeconds == [15])

        func list(_ filter: SignalFilter) async throws -> [SignalID] { try await store.signals(filter, after: nil, limit: 10).map(\.id) }
        #expect(try await list(SignalFilter()) == [published.id])
        #expect(try await Set(list(SignalFilter(viewer: mine))) == [draft.id, published.id])
        #expect(try await list(SignalFilter(viewer: mine, onlyOwn: true)) == [draft.id])
        #expect(try await list(SignalFilter(viewer: mine, instrument: "BTCUSD")) == [published.id])
        #expect(try await list(SignalFilter(instrument: "ETHUSD")) == [])
        #expect(try await list(SignalFilter(intervalSeconds: 15)) == [published.id])
        #expect(try await list(SignalFilter(viewer: mine, text: "a DRAFT")) == [draft.id])
        #expect(try await list(SignalFilter(text: "%")) == [])

        let renamed = try await store.updateSignal(draft.id, name: "New", description: nil, now: now + .seconds(1))
        #expect(renamed?.name == "New" && renamed?.description == draft.description)
        #expect(try await store.updateSignal(.make(), name: "x", description: nil, now: now) == nil)
        #expect(try await store.publishedSignals(after: nil, limit: 5).map(\.version) == [version])
        #expect(try await store.publishedSignals(after: published.id, limit: 5).isEmpty)

        let withdrawn = try await store.unpublish(published.id, reason: "tired", now: now)
        #expect(withdrawn.state == .unpublished && withdrawn.version == 3)
        #expect(try await store.unpublish(published.id, reason: "again", now: now).version == 3)
        #expect(try await store.deleteSignal(draft.id, now: now))
        #expect(try await store.deleteSignal(draft.id, now: now) == false)
        #expect(try await store.signal(draft.id) == nil)
        await #expect(throws: SignalsStoreError.unknownSignal) { try await store.publish(.make(), versionID: version.id, feed: .live, now: now) }
        await #expect(throws: SignalsStoreError.gone) { try await store.addVersion(Fixtures.newVersion(draft)) }
    }

    func versions() async throws {
        let signal = Fixtures.signal()
        try await store.create(signal)
        let first = try await store.addVersion(Fixtures.newVersion(signal, note: "one"))
        let second = try await store.addVersion(Fixtures.newVersion(signal, note: "two"))
        #expect(first.number == 1 && second.number == 2)
        #expect(first.sha256 != second.sha256)
        #expect(first.files.map(\.path) == ["app.py", "auspex.toml"])
        #expect(try await store.version(signal.id, number: 1) == first)
        #expect(try await store.version(second.id) == second)
        #expect(try await store.version(signal.id, number: 3) == nil)
        #expect(try await store.versions(signal.id, before: nil, limit: 5).map(\.number) == [2, 1])
        #expect(try await store.versions(signal.id, before: 2, limit: 5) == [first])
        #expect(try await store.signal(signal.id)?.instruments == ["BTCUSD"])
        let other = Fixtures.signal()
        try await store.create(other)
        await #expect(throws: SignalsStoreError.unknownVersion) { try await store.publish(other.id, versionID: first.id, feed: .live, now: now) }
    }

    func uploads() async throws {
        let signal = Fixtures.signal()
        try await store.create(signal)
        let version = try await store.addVersion(Fixtures.newVersion(signal))
        let (kept, loose, foreign) = (version.files[0].sha256, SHA256.digest(utf8: "loose"), SHA256.digest(utf8: "foreign"))
        for (digest, account) in [(kept, signal.accountID), (loose, signal.accountID), (foreign, AccountID.make())] {
            try await store.record(Upload(accountID: account, sha256: digest, bytes: 5, uploadedAt: now))
        }
        let owned = try await store.ownedBlobs(signal.accountID, among: [kept, loose, foreign, version.files[1].sha256])
        #expect(Set(owned.keys) == [kept, loose, version.files[1].sha256])
        #expect(owned[loose] == 5)
        #expect(try await store.forgetUploads(before: now, limit: 10).isEmpty)
        // Of what is forgotten only that may be deleted which no version names.
        #expect(try await Set(store.forgetUploads(before: now + .seconds(1), limit: 10)) == [loose, foreign])
        #expect(try await store.ownedBlobs(signal.accountID, among: [loose]).isEmpty)
        #expect(try await store.referencedBlobs(among: [loose, version.files[1].sha256]) == [version.files[1].sha256])

        let dryRun = DryRun(jobID: .make(), signalID: signal.id, versionID: version.id, accountID: signal.accountID, createdAt: now)
        try await store.add(dryRun, request: "one")
        try await store.add(dryRun, request: "one")
        #expect(try await store.dryRun(dryRun.jobID) == dryRun)
        #expect(try await store.dryRun(.make()) == nil)
    }

    func dryRunPlaces() async throws {
        let (account, other) = (AccountID.make(), AccountID.make())
        let signal = Fixtures.signal(account: account)
        try await store.create(signal)
        let version = try await store.addVersion(Fixtures.newVersion(signal))
        let limits = DryRunLimits(open: 2, perMinute: 4)
        func take(_ request: String, _ account: AccountID, after seconds: Int = 0) async throws -> DryRunDecision {
            try await store.takeDryRunPlace(account, request: request, limits: limits, now: now + .seconds(seconds))
        }
        func begin(_ request: String) async throws -> JobID {
            let run = DryRun(jobID: .make(), signalID: signal.id, versionID: version.id, accountID: account, createdAt: now)
            try await store.add(run, request: request)
            return run.jobID
        }
        #expect(try await take("one", account) == .admitted)
        #expect(try await take("two", account, after: 1) == .admitted)
        // The same request again has its place; another account has places of its own.
        #expect(try await take("two", account, after: 1) == .admitted)
        #expect(try await take("one", other) == .admitted)
        #expect(try await take("three", account, after: 2) == .tooManyOpen(jobs: []))
        let first = try await begin("one")
        #expect(try await take("three", account, after: 2) == .tooManyOpen(jobs: [first]))
        // Given back, or never used.
        try await store.leaveDryRunPlace(account, request: "one")
        try await store.leaveDryRunPlace(account, request: "two")
        #expect(try await take("three", account, after: 2) == .admitted)
        #expect(try await take("four", account, after: 31) == .tooManyOpen(jobs: [first]))
        #expect(try await take("four", account, after: 32) == .admitted)
        let fourth = try await begin("four")
        // Ended by another account's word: not at all.
        try await store.endDryRuns([first, fourth], of: other, now: now)
        guard case .tooManyOpen(let open) = try await take("five", account, after: 33) else { return #expect(Bool(false)) }
        #expect(Set(open) == [first, fourth])
        try await store.endDryRuns([first, fourth], of: account, now: now)
        #expect(try await take("five", account, after: 33) == .admitted)
        try await store.endDryRuns([try await begin("five")], of: account, now: now)
        // Four within a minute: one, three, four and five.
        #expect(try await take("six", account, after: 34) == .tooManyRecently(until: now + .seconds(60)))
        #expect(try await take("six", account, after: 60) == .admitted)
        try await store.forgetDryRunPlaces(before: now + .seconds(100))
        #expect(try await take("seven", account, after: 60) == .admitted)
    }

    func subscriptions() async throws {
        let (signal, _) = try await Fixtures.published(in: store)
        let account = AccountID.make()
        let (first, isNew) = try await store.subscribe(account, to: signal.id, now: now)
        let (again, isNewAgain) = try await store.subscribe(account, to: signal.id, now: now)
        #expect(isNew && !isNewAgain && first == again)
        #expect(try await store.subscribedSignals(account) == [signal.id])
        #expect(try await store.subscriptions(account, after: nil, limit: 5) == [first])
        #expect(try await store.subscriptions(account, after: first.id, limit: 5).isEmpty)
        #expect(try await store.unsubscribe(first.id, accountID: .make(), now: now) == nil)
        let ended = try await store.unsubscribe(first.id, accountID: account, now: now)
        #expect(ended?.active == false && ended?.version == 2)
        #expect(try await store.unsubscribe(first.id, accountID: account, now: now)?.version == 2)
        #expect(try await store.subscribedSignals(account).isEmpty)
        #expect(try await store.subscribe(account, to: signal.id, now: now).isNew)
        _ = try await store.unpublish(signal.id, reason: "x", now: now)
        await #expect(throws: SignalsStoreError.unknownSignal) { try await store.subscribe(.make(), to: signal.id, now: now) }
    }

    func ledger() async throws {
        let (signal, version) = try await Fixtures.published(in: store)
        let before = try #require(await store.head(signal.id))
        #expect(before.seq == 0 && before.link == LedgerHash.zero)
        let run = Fixtures.run(signal, version: version, rows: 2)
        let outcome = try await store.append(run)
        #expect(outcome.isNew && outcome.firstSeq == 1 && outcome.lastSeq == 2 && !outcome.late)
        let again = try await store.append(run)
        #expect(!again.isNew && again.firstSeq == 1 && again.lastSeq == 2)
        let empty = try await store.append(Fixtures.run(signal, version: version, rows: 0))
        #expect(empty.isNew && empty.lastSeq == 2)
        let third = try await store.append(Fixtures.run(signal, version: version, dueAt: .now() - .seconds(120)))
        #expect(third.firstSeq == 3 && third.late)
        #expect(third.madeAt > outcome.madeAt && again.madeAt >= outcome.madeAt)

        let head = try #require(await store.head(signal.id))
        #expect(head.seq == 3 && head.link == third.head && head.revision > before.revision)
        #expect(try await store.revisions([signal.id, .make()]) == [signal.id: head.revision])
        let rows = try await store.predictions(PredictionQuery(signalID: signal.id, limit: 10))
        #expect(rows.map(\.entry.seq) == [3, 2, 1])
        #expect(try await store.predictions(PredictionQuery(signalID: signal.id, afterSeq: 1, limit: 1)).map(\.entry.seq) == [2])
        #expect(try await store.predictions(PredictionQuery(signalID: signal.id, beforeSeq: 3, limit: 1)).map(\.entry.seq) == [2])
        #expect(rows.map(\.entry.madeAt) == rows.map(\.entry.madeAt).sorted(by: >) && Set(rows.map(\.entry.madeAt)).count == 3)
        #expect(rows[0].entry.madeAt == third.madeAt && head.madeAt == third.madeAt)
        #expect(rows[2].statement == run.statement(run.rows[0], madeAt: outcome.madeAt))
        #expect(rows[2].entry.payload == rows[2].statement.payload)
        #expect(LedgerVerifier.firstFault(signalID: signal.id, entries: rows.reversed().map(\.entry), seals: []) == nil)

        let failed = EndedRun(
            jobID: .make(),
            signalID: signal.id,
            versionID: version.id,
            outcome: .rejected,
            reportedRows: 4,
            badRow: 2,
            reason: "no",
            dueAt: now
        )
        #expect(try await store.record(failed, now: now))
        #expect(try await store.record(failed, now: now) == false)
        var foreign = failed
        foreign.jobID = .make()
        foreign.signalID = .make()
        #expect(try await store.record(foreign, now: now) == false)
        let unknown = Fixtures.run(Fixtures.signal(), version: version)
        await #expect(throws: SignalsStoreError.unknownSignal) { try await store.append(unknown) }
    }

    func seals() async throws {
        #expect(try await store.seal(signing: Fixtures.signing) == nil)
        let key = LedgerKey(keyID: "one", jwk: "{}", firstUsedAt: now)
        try await store.remember(key)
        try await store.remember(LedgerKey(keyID: "one", jwk: "{\"other\":1}", firstUsedAt: now))
        #expect(try await store.ledgerKeys() == [key])
        let (first, version) = try await Fixtures.published(in: store)
        let (second, otherVersion) = try await Fixtures.published(in: store)
        _ = try await store.append(Fixtures.run(first, version: version, rows: 2))
        let one = try #require(await store.seal(signing: Fixtures.signing))
        #expect(one.number == 1 && one.heads.map(\.seq) == [2] && one.previousRoot == LedgerHash.zero)
        #expect(try await store.seal(signing: Fixtures.signing) == nil)
        _ = try await store.append(Fixtures.run(first, version: version))
        _ = try await store.append(Fixtures.run(second, version: otherVersion))
        let two = try #require(await store.seal(signing: Fixtures.signing))
        #expect(
            two.number == 2 && two.heads.map(\.signalID) == [first.id, second.id].sorted() && two.previousRoot == one.root
        )
        let (firstTime, secondTime) = (try #require(one.sealedAt), try #require(two.sealedAt))
        #expect(secondTime >= firstTime)
        // No seal is older than a row that it binds.
        for head in two.heads { #expect(try #require(await store.head(head.signalID)?.madeAt) <= secondTime) }
        func all(after number: Int64, limit: Int = 5, heads: Int = 9) async throws -> SealPage {
            try await store.seals(after: number, limit: limit, maximumHeads: heads)
        }
        #expect(try await all(after: 0) == SealPage(seals: [one, two], hasMore: false))
        #expect(try await all(after: 1) == SealPage(seals: [two], hasMore: false))
        // The second seal holds two heads: with the first one's that is more than two. Alone it is a page, however small that may be.
        #expect(try await all(after: 0, heads: 2) == SealPage(seals: [one], hasMore: true))
        #expect(try await all(after: 0, limit: 1) == SealPage(seals: [one], hasMore: true))
        #expect(try await all(after: 1, heads: 1) == SealPage(seals: [two], hasMore: false))
        func own(after seq: Int64, heads: Int = 9) async throws -> SealPage {
            try await store.seals(of: first.id, afterSeq: seq, throughSeq: .max, maximumHeads: heads)
        }
        #expect(try await own(after: 0) == SealPage(seals: [one, two], hasMore: false))
        #expect(try await own(after: 2) == SealPage(seals: [two], hasMore: false))
        #expect(try await own(after: 0, heads: 2) == SealPage(seals: [one], hasMore: true))
        #expect(try await store.sealCount(of: first.id) == 2)
        #expect(try await store.sealCount(of: second.id) == 1)
        #expect(try await store.lastSeal(before: secondTime + .seconds(1)) == two)
        #expect(try await store.lastSeal(before: firstTime) == nil)
        let rows = try await store.predictions(PredictionQuery(signalID: first.id, limit: 5))
        #expect(rows.map { $0.seal?.number } == [2, 1, 1])
        #expect(try await store.head(first.id)?.sealedSeq == 3)
        let fault = LedgerVerifier.firstFault(signalID: first.id, entries: rows.reversed().map(\.entry), seals: [one, two])
        #expect(fault == nil)
        await #expect(throws: SigningFailed.self) {
            _ = try await store.append(Fixtures.run(first, version: version))
            _ = try await store.seal(signing: { _ in throw SigningFailed() })
        }
        #expect(try await all(after: 0).seals.count == 2)
    }

    struct SigningFailed: Error {}

    func manySignals() async throws {
        let (first, version) = try await Fixtures.published(in: store)
        let (second, otherVersion) = try await Fixtures.published(in: store)
        for _ in 0..<3 {
            _ = try await store.append(Fixtures.run(first, version: version))
            _ = try await store.append(Fixtures.run(second, version: otherVersion, rows: 2))
        }
        var seen: [PredictionPosition] = []
        var before: PredictionPosition?
        while true {
            let page = try await store.predictions(of: [first.id, second.id], before: before, limit: 2)
            guard let last = page.last else { break }
            seen += page.map(\.position)
            before = last.position
        }
        #expect(seen.count == 9)
        #expect(seen == seen.sorted(by: >))
        #expect(try await store.predictions(of: [second.id], before: nil, limit: 50).count == 6)
        #expect(try await store.predictions(of: [], before: nil, limit: 50).isEmpty)

        let newer = try await store.predictions(above: [first.id: 1, second.id: 4], limit: 50)
        let oldestFirst = seen.reversed().filter { $0.seq > ($0.signalID == first.id ? 1 : 4) }
        #expect(newer.map(\.position) == Array(oldestFirst) && newer.count == 4)
        #expect(try await store.predictions(above: [first.id: 1, second.id: 4], limit: 3).map(\.position) == Array(oldestFirst.prefix(3)))
        #expect(try await store.predictions(above: [:], limit: 3).isEmpty)
        let second2 = try #require(seen.first { $0.signalID == second.id && $0.seq == 2 })
        #expect(try await store.seqs(of: [second.id], at: second2.madeAt) == [second.id: 2])
        #expect(try await store.seqs(of: [second.id], at: second2.madeAt - .seconds(3_600)) == [second.id: 0])

        let queries = [
            PredictionQuery(signalID: second.id, limit: 4), PredictionQuery(signalID: first.id, afterSeq: 1, limit: 5),
            PredictionQuery(signalID: .make(), limit: 5), PredictionQuery(signalID: second.id, beforeSeq: 3, limit: 1),
            PredictionQuery(signalID: second.id, afterSeq: 2, beforeSeq: 5, limit: 9), PredictionQuery(signalID: second.id, limit: 4),
        ]
        _ = try await store.seal(signing: Fixtures.signing)
        let answers = try await store.predictions(queries)
        #expect(answers.map { $0.map(\.entry.seq) } == [[6, 5, 4, 3], [2, 3], [], [2], [3, 4], [6, 5, 4, 3]])
        for (query, answer) in zip(queries, answers) { #expect(try await store.predictions(query) == answer) }
        #expect(try await store.predictions([]).isEmpty)
    }

    func views() async throws {
        let (first, version) = try await Fixtures.published(in: store)
        let (second, _) = try await Fixtures.published(in: store)
        let (gone, _) = try await Fixtures.published(in: store)
        _ = try await store.deleteSignal(gone.id, now: now)
        _ = try await store.append(Fixtures.run(first, version: version, rows: 2))
        let seal = try #require(await store.seal(signing: Fixtures.signing))
        _ = try await store.append(Fixtures.run(first, version: version))
        let cadence = CadenceRecord(lastDueAt: now, lastOutcome: .late, lastReason: "r", nextDueAt: now + .seconds(15), version: 3)
        _ = try await store.apply(cadence, to: first.id)
        let views = try await store.views([second.id, first.id, gone.id, .make()])
        // Its record stays, and who follows it reads on.
        #expect(views.map(\.signal.id) == [first.id, second.id, gone.id].sorted())
        #expect(views.first { $0.signal.id == gone.id }?.signal.state == .deleted)
        let view = try #require(views.first { $0.signal.id == first.id })
        #expect(try await store.signal(first.id) == view.signal)
        #expect(try await store.head(first.id) == view.head)
        #expect(view.cadence == cadence && view.root == seal.root && view.epoch == 1)
        let other = try #require(views.first { $0.signal.id == second.id })
        #expect(other.cadence == nil && other.root == nil && other.head.seq == 0)
        #expect(try await store.views([]).isEmpty)
    }

    func outcomes() async throws {
        let account = AccountID.make()
        let (signal, version) = try await Fixtures.published(in: store, account: account)
        let due = Timestamp.now()
        _ = try await store.append(Fixtures.run(signal, version: version, rows: 2, dueAt: due))
        let later = due + .seconds(3_600)
        #expect(try await store.signalsToSettle(now: due, limit: 5).isEmpty)
        #expect(try await store.signalsToSettle(now: later, limit: 5).map(\.accountID) == [account])
        let pending = try await store.pendingOutcomes(signal.id, now: later, limit: 5)
        #expect(pending.map(\.prediction.entry.seq) == [1, 2])
        #expect(pending.allSatisfy { $0.giveUpAt > later })
        let before = try #require(await store.head(signal.id)).revision
        let outcome = SettledOutcome(
            realised: RealisedOutcome(
                state: .settled,
                opensAt: due,
                openPrice: DecimalText(units: 1),
                closesAt: later,
                closePrice: DecimalText(units: 2),
                realisedReturn: DecimalText(units: 1),
                correct: true
            ),
            counts: false,
            settledAt: later
        )
        try await store.settle(signal.id, outcomes: [1: outcome], again: [2: later + .seconds(60)])
        #expect(try #require(await store.head(signal.id)).revision > before)
        // Once settled, for ever settled.
        try await store.settle(signal.id, outcomes: [1: SettledOutcome(realised: .unresolved("no"), counts: false, settledAt: later)], again: [:])
        let rows = try await store.predictions(PredictionQuery(signalID: signal.id, limit: 5))
        #expect(rows.map(\.outcome) == [nil, outcome])
        #expect(try await store.pendingOutcomes(signal.id, now: later, limit: 5).isEmpty)
        #expect(try await store.pendingOutcomes(signal.id, now: later + .seconds(61), limit: 5).map(\.prediction.entry.seq) == [2])
    }

    func settlementOrder() async throws {
        var signals: [Signal] = []
        let due = Timestamp.now()
        // The newest signal has waited longest.
        for index in 0..<3 {
            let (signal, version) = try await Fixtures.published(in: store)
            _ = try await store.append(Fixtures.run(signal, version: version, rows: 2, dueAt: due - .seconds(index * 10)))
            signals.append(signal)
        }
        let later = due + .seconds(3_600)
        let found = try await store.signalsToSettle(now: later, limit: 2)
        #expect(found.map(\.signalID) == [signals[2].id, signals[1].id] && found.map(\.seq) == [1, 1])
        #expect(found[0].checkAt == due - .seconds(20) + .seconds(62))
        // What was put off makes room, within a signal as well.
        try await store.settle(signals[2].id, outcomes: [:], again: [1: due + .seconds(600)])
        #expect(try await store.signalsToSettle(now: later, limit: 1).map(\.seq) == [2])
        #expect(try await store.pendingOutcomes(signals[2].id, now: later, limit: 1).map(\.prediction.entry.seq) == [2])
        try await store.settle(signals[2].id, outcomes: [:], again: [2: due + .seconds(700)])
        #expect(try await store.signalsToSettle(now: later, limit: 5).map(\.signalID) == [signals[1].id, signals[0].id, signals[2].id])
    }

    /// A run fails after the next due time was skipped: the event is newer, the time that it speaks of is not.
    private func lateNewsOfEarlierTimes() async throws {
        func told(_ version: Int64, due minute: Int64, _ outcome: OccurrenceOutcome, next: Int64) -> CadenceRecord {
            CadenceRecord(
                lastDueAt: now + .seconds(minute * 60),
                lastOutcome: outcome,
                lastReason: "\(version)",
                nextDueAt: now + .seconds(next * 60),
                version: version
            )
        }
        let events = [
            told(1, due: 0, .fired, next: 1), told(2, due: 1, .skipped, next: 2), told(3, due: 0, .failed, next: 3),
        ]
        var expected = events[1]
        expected.nextDueAt = events[2].nextDueAt
        expected.version = 3
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let (signal, _) = try await Fixtures.published(in: store)
            for index in order + order { _ = try await store.apply(events[index], to: signal.id) }
            #expect(try await store.cadence(signal.id) == expected, "in the order \(order)")
        }
        // Of one time the newest word counts, also after news of an older one.
        let (signal, _) = try await Fixtures.published(in: store)
        let fired = told(2, due: 1, .fired, next: 2)
        let failed = told(4, due: 1, .failed, next: 2)
        for event in [told(5, due: 0, .failed, next: 3), fired, failed] { #expect(try await store.apply(event, to: signal.id)) }
        #expect(try await store.apply(fired, to: signal.id) == false)
        let record = try await store.cadence(signal.id)
        #expect(record?.lastOutcome == .failed && record?.lastDueAt == failed.lastDueAt && record?.version == 5)
    }

    func readModels() async throws {
        let (signal, _) = try await Fixtures.published(in: store)
        func cadence(_ version: Int64, _ outcome: OccurrenceOutcome) -> CadenceRecord {
            CadenceRecord(lastDueAt: now, lastOutcome: outcome, lastReason: "r", nextDueAt: nil, version: version)
        }
        #expect(try await store.cadence(signal.id) == nil)
        #expect(try await store.apply(cadence(5, .fired), to: signal.id))
        #expect(try await store.apply(cadence(4, .missed), to: signal.id) == false)
        #expect(try await store.apply(cadence(5, .missed), to: signal.id) == false)
        #expect(try await store.cadence(signal.id) == cadence(5, .fired))
        #expect(try await store.apply(cadence(6, .failed), to: signal.id))
        #expect(try await store.apply(cadence(1, .failed), to: .make()) == false)
        try await lateNewsOfEarlierTimes()

        let id = InstrumentID.make()
        func instrument(_ version: Int64, _ symbol: String, id: InstrumentID) -> KnownInstrument {
            KnownInstrument(id: id, symbol: symbol, assetClass: "crypto", feed: .replay, active: true, version: version)
        }
        try await store.apply(instrument(2, "A", id: id))
        try await store.apply(instrument(1, "B", id: id))
        #expect(try await store.instruments(symbols: ["A", "B"]) == ["A": instrument(2, "A", id: id)])
        let other = InstrumentID.make()
        try await store.apply(instrument(1, "A", id: other))
        #expect(try await store.instruments(symbols: ["A"])["A"]?.id == other)
        try await store.apply(KnownAccount(id: .make(), userID: .make(), roles: ["provider"], version: 1))
        #expect(try await store.ledgerEpoch() == 1)
    }

    static let all: [(String, @Sendable (StoreContract) async throws -> Void)] = [
        ("signals", { try await $0.signals() }), ("versions", { try await $0.versions() }), ("uploads", { try await $0.uploads() }),
        ("places of dry runs", { try await $0.dryRunPlaces() }),
        ("subscriptions", { try await $0.subscriptions() }), ("ledger", { try await $0.ledger() }), ("seals", { try await $0.seals() }),
        ("many signals", { try await $0.manySignals() }), ("views", { try await $0.views() }), ("outcomes", { try await $0.outcomes() }),
        ("read models", { try await $0.readModels() }),
        ("order of settlement", { try await $0.settlementOrder() }),
    ]
}

@Suite("Store contract")
struct StoreContractTests {
    @Test("In memory", arguments: StoreContract.all.indices)
    func memory(index: Int) async throws {
        try await StoreContract.all[index].1(StoreContract(store: InMemorySignalsStore()))
    }

    @Test("Postgres", .enabled(if: TestServers.hasPostgres, "no test Postgres"), arguments: StoreContract.all.indices)
    func postgres(index: Int) async throws {
        try await withPostgresStore { store, _, _ in try await StoreContract.all[index].1(StoreContract(store: store)) }
    }
}
