import Contracts
import Cryptography
import Synchronization

/// The store for tests: the same rules in memory, and a list of what was said.
final class InMemorySignalsStore: SignalsStore {
    struct State: Sendable {
        var signals: [SignalID: Signal] = [:]
        var versions: [SignalID: [SignalVersion]] = [:]
        var uploads: [AccountID: [SHA256Digest: Upload]] = [:]
        var dryRuns: [JobID: DryRun] = [:]
        var dryRunPlaces: [AccountID: [DryRunPlace]] = [:]
        var subscriptions: [SubscriptionID: Subscription] = [:]
        var heads: [SignalID: SignalHead] = [:]
        var runs: [JobID: AppendOutcome] = [:]
        var predictions: [SignalID: [StoredPrediction]] = [:]
        var seals: [LedgerSeal] = []
        var ledgerKeys: [LedgerKey] = []
        var pending: [SignalID: [Int64: (checkAt: Timestamp, giveUpAt: Timestamp)]] = [:]
        var cadence: [SignalID: (record: CadenceRecord, lastVersion: Int64)] = [:]
        var instruments: [InstrumentID: KnownInstrument] = [:]
        var accounts: [AccountID: KnownAccount] = [:]
        var said: [any EventBody] = []

        mutating func changePlaces(of accountID: AccountID, _ change: (inout DryRunPlace) -> Void) {
            guard var places = dryRunPlaces[accountID] else { return }
            for index in places.indices { change(&places[index]) }
            dryRunPlaces[accountID] = places
        }
        mutating func raiseRevision(_ signalID: SignalID) { heads[signalID]?.revision += 1 }
    }

    let state = Mutex(State())
    private let now: @Sendable () -> Timestamp

    init(now: @escaping @Sendable () -> Timestamp = { .now() }) { self.now = now }

    /// Every event so far, oldest first.
    var said: [any EventBody] { state.withLock { $0.said } }

    // MARK: Signals

    func create(_ signal: Signal) async throws {
        state.withLock {
            $0.signals[signal.id] = signal
            $0.heads[signal.id] = SignalHead(signalID: signal.id, seq: 0, link: LedgerHash.zero, sealedSeq: 0, revision: 1)
        }
    }

    func signal(_ id: SignalID) async throws -> Signal? {
        state.withLock { $0.signals[id].flatMap { $0.state == .deleted ? nil : $0 } }
    }

    func signalEvenIfDeleted(_ id: SignalID) async throws -> Signal? { state.withLock { $0.signals[id] } }

    func signals(_ filter: SignalFilter, after: SignalID?, limit: Int) async throws -> [Signal] {
        let all = state.withLock { Array($0.signals.values) }
        let matching = all.filter { signal in filter.matches(signal) && (after.map { signal.id < $0 } ?? true) }
        return Array(matching.sorted { $0.id > $1.id }.prefix(limit))
    }

    func updateSignal(_ id: SignalID, name: String?, description: String?, now: Timestamp) async throws -> Signal? {
        state.withLock { state in
            guard var signal = state.signals[id], signal.state != .deleted else { return nil }
            if let name { signal.name = name }
            if let description { signal.description = description }
            signal.updatedAt = now
            state.signals[id] = signal
            return signal
        }
    }

    func deleteSignal(_ id: SignalID, now: Timestamp) async throws -> Bool {
        state.withLock { state in
            guard var signal = state.signals[id], signal.state != .deleted else { return false }
            if signal.state == .published { state.said.append(SignalUnpublished(signalID: id, accountID: signal.accountID, reason: "deleted")) }
            signal.state = .deleted
            signal.version += 1
            signal.updatedAt = now
            state.signals[id] = signal
            state.raiseRevision(id)
            return true
        }
    }

    func publish(_ id: SignalID, versionID: SignalVersionID, feed: FeedKind, now: Timestamp) async throws -> Signal {
        try state.withLock { state in
            var signal = try Self.present(id, state)
            guard let version = state.versions[id]?.first(where: { $0.id == versionID }) else { throw SignalsStoreError.unknownVersion }
            signal.state = .published
            signal.publishedVersionID = versionID
            signal.feed = feed
            signal.instruments = version.instruments
            signal.intervalSeconds = version.intervalSeconds
            signal.version += 1
            signal.updatedAt = now
            signal.publishedAt = now
            state.signals[id] = signal
            state.raiseRevision(id)
            state.said.append(SignalPublished(signal: signal, version: version, feed: feed, publishedAt: now))
            return signal
        }
    }

    func unpublish(_ id: SignalID, reason: String, now: Timestamp) async throws -> Signal {
        try state.withLock { state in
            var signal = try Self.present(id, state)
            guard signal.state == .published else { return signal }
            signal.state = .unpublished
            signal.version += 1
            signal.updatedAt = now
            state.signals[id] = signal
            state.raiseRevision(id)
            state.said.append(SignalUnpublished(signalID: id, accountID: signal.accountID, reason: reason))
            return signal
        }
    }

    private static func present(_ id: SignalID, _ state: State) throws -> Signal {
        guard let signal = state.signals[id] else { throw SignalsStoreError.unknownSignal }
        if signal.state == .deleted { throw SignalsStoreError.gone }
        return signal
    }

    func publishedSignals(after: SignalID?, limit: Int) async throws -> [(signal: Signal, version: SignalVersion)] {
        state.withLock { state in
            let published = state.signals.values.filter { signal in signal.state == .published && (after.map { signal.id > $0 } ?? true) }
            let pairs = published.sorted { $0.id < $1.id }.compactMap { signal in
                state.versions[signal.id]?.first { $0.id == signal.publishedVersionID }.map { (signal: signal, version: $0) }
            }
            return Array(pairs.prefix(limit))
        }
    }

    // MARK: Versions and files

    func addVersion(_ version: NewVersion) async throws -> SignalVersion {
        try state.withLock { state in
            var signal = try Self.present(version.signalID, state)
            let numbered = try version.numbered((state.versions[version.signalID]?.last?.number ?? 0) + 1)
            state.versions[version.signalID, default: []].append(numbered)
            if signal.state != .published {
                signal.instruments = numbered.instruments
                signal.intervalSeconds = numbered.intervalSeconds
                signal.updatedAt = numbered.createdAt
                state.signals[signal.id] = signal
            }
            return numbered
        }
    }

    func version(_ signalID: SignalID, number: Int) async throws -> SignalVersion? {
        state.withLock { $0.versions[signalID]?.first { $0.number == number } }
    }

    func version(_ id: SignalVersionID) async throws -> SignalVersion? {
        state.withLock { state in
            for versions in state.versions.values {
                if let version = versions.first(where: { $0.id == id }) { return version }
            }
            return nil
        }
    }

    func versions(_ signalID: SignalID, before: Int?, limit: Int) async throws -> [SignalVersion] {
        state.withLock { state in
            let all = (state.versions[signalID] ?? []).reversed().filter { $0.number < before ?? .max }
            return Array(all.prefix(limit))
        }
    }

    func record(_ upload: Upload) async throws {
        state.withLock { $0.uploads[upload.accountID, default: [:]][upload.sha256] = upload }
    }

    func ownedBlobs(_ accountID: AccountID, among digests: [SHA256Digest]) async throws -> [SHA256Digest: Int] {
        state.withLock { state in
            var found: [SHA256Digest: Int] = [:]
            for digest in digests {
                if let upload = state.uploads[accountID]?[digest] { found[digest] = upload.bytes }
                for (signalID, versions) in state.versions where state.signals[signalID]?.accountID == accountID {
                    for file in versions.flatMap(\.files) where file.sha256 == digest { found[digest] = file.bytes }
                }
            }
            return found
        }
    }

    func forgetUploads(before: Timestamp, limit: Int) async throws -> [SHA256Digest] {
        state.withLock { state in
            let old = state.uploads.values.flatMap(\.values).filter { $0.uploadedAt < before }.sorted { $0.uploadedAt < $1.uploadedAt }.prefix(limit)
            for upload in old { state.uploads[upload.accountID]?[upload.sha256] = nil }
            let named = Set(state.versions.values.flatMap { $0.flatMap(\.files).map(\.sha256) })
            let held = Set(state.uploads.values.flatMap(\.keys))
            return Array(Set(old.map(\.sha256)).subtracting(named).subtracting(held))
        }
    }

    func referencedBlobs(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest> {
        state.withLock { state in
            let named = state.versions.values.flatMap { $0.flatMap(\.files).map(\.sha256) }
            return Set(named + state.uploads.values.flatMap(\.keys)).intersection(digests)
        }
    }

    // MARK: Dry runs

    func takeDryRunPlace(_ accountID: AccountID, request: String, limits: DryRunLimits, now: Timestamp) async throws -> DryRunDecision {
        state.withLock { state in
            let places = state.dryRunPlaces[accountID] ?? []
            if places.contains(where: { $0.request == request }) { return .admitted }
            let decision = limits.decision(on: places, now: now)
            if decision == .admitted { state.dryRunPlaces[accountID, default: []].append(DryRunPlace(request: request, takenAt: now)) }
            return decision
        }
    }

    func leaveDryRunPlace(_ accountID: AccountID, request: String) async throws {
        state.withLock { $0.dryRunPlaces[accountID]?.removeAll { $0.request == request && $0.jobID == nil } }
    }

    func endDryRuns(_ jobIDs: [JobID], of accountID: AccountID, now: Timestamp) async throws {
        state.withLock { state in
            state.changePlaces(of: accountID) { place in
                if place.endedAt == nil, let jobID = place.jobID, jobIDs.contains(jobID) { place.endedAt = now }
            }
        }
    }

    func add(_ dryRun: DryRun, request: String) async throws {
        state.withLock { state in
            state.dryRuns[dryRun.jobID] = state.dryRuns[dryRun.jobID] ?? dryRun
            state.changePlaces(of: dryRun.accountID) { place in
                if place.request == request, place.jobID == nil { place.jobID = dryRun.jobID }
            }
        }
    }

    func forgetDryRunPlaces(before: Timestamp) async throws {
        state.withLock { state in
            for accountID in state.dryRunPlaces.keys { state.dryRunPlaces[accountID]?.removeAll { $0.takenAt < before } }
        }
    }

    func dryRun(_ jobID: JobID) async throws -> DryRun? { state.withLock { $0.dryRuns[jobID] } }

    // MARK: Subscriptions

    func subscribe(_ accountID: AccountID, to signalID: SignalID, now: Timestamp) async throws -> (subscription: Subscription, isNew: Bool) {
        try state.withLock { state in
            guard state.signals[signalID]?.state == .published else { throw SignalsStoreError.unknownSignal }
            if let existing = state.subscriptions.values.first(where: { $0.active && $0.accountID == accountID && $0.signalID == signalID }) {
                return (existing, false)
            }
            let fresh = Subscription(id: .make(), accountID: accountID, signalID: signalID, active: true, version: 1, createdAt: now)
            state.subscriptions[fresh.id] = fresh
            state.said.append(fresh.changed)
            return (fresh, true)
        }
    }

    func unsubscribe(_ id: SubscriptionID, accountID: AccountID, now: Timestamp) async throws -> Subscription? {
        state.withLock { state in
            guard var subscription = state.subscriptions[id], subscription.accountID == accountID else { return nil }
            guard subscription.active else { return subscription }
            subscription.active = false
            subscription.endedAt = now
            subscription.version += 1
            state.subscriptions[id] = subscription
            state.said.append(subscription.changed)
            return subscription
        }
    }

    func subscriptions(_ accountID: AccountID, after: SubscriptionID?, limit: Int) async throws -> [Subscription] {
        let all = state.withLock { Array($0.subscriptions.values) }
        let own = all.filter { subscription in
            subscription.accountID == accountID && subscription.active && (after.map { subscription.id < $0 } ?? true)
        }
        return Array(own.sorted { $0.id > $1.id }.prefix(limit))
    }

    func subscribedSignals(_ accountID: AccountID) async throws -> Set<SignalID> {
        state.withLock { Set($0.subscriptions.values.filter { $0.active && $0.accountID == accountID }.map(\.signalID)) }
    }
}
