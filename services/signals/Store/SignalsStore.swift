import Contracts

/// Why the store refuses something; the HTTP edge knows how to say it.
enum SignalsStoreError: Error, Sendable, Hashable {
    case unknownSignal
    case unknownVersion
    /// The signal has been deleted.
    case gone
    case alreadySubscribed
}

/// Where signals keeps what it owns. Two versions pass one contract suite: `PostgresSignalsStore` serves, `InMemorySignalsStore` is for tests.
///
/// Every method is one transaction, together with the events that it says.
protocol SignalsStore: Sendable {
    /// Lends a store for reading that sees everything as it stood at one moment: what must fit together is read through one of these.
    func snapshot<Outcome>(_ body: (any SignalsStore) async throws -> Outcome) async throws -> Outcome

    // MARK: Signals

    /// Adds a signal and the empty chain of its predictions.
    func create(_ signal: Signal) async throws
    func signal(_ id: SignalID) async throws -> Signal?
    /// The same, also when it is deleted: its ledger stays.
    func signalEvenIfDeleted(_ id: SignalID) async throws -> Signal?
    /// Signals that the filter lets through, newest first, from after `after`.
    func signals(_ filter: SignalFilter, after: SignalID?, limit: Int) async throws -> [Signal]
    /// Changes what is given; nil when there is no such signal.
    func updateSignal(_ id: SignalID, name: String?, description: String?, now: Timestamp) async throws -> Signal?
    /// Hides the signal for good; says `signals.signal.unpublished.v1` when it was published. False when there is none.
    func deleteSignal(_ id: SignalID, now: Timestamp) async throws -> Bool
    /// Puts a version before the public and says `signals.signal.published.v1`.
    func publish(_ id: SignalID, versionID: SignalVersionID, feed: FeedKind, now: Timestamp) async throws -> Signal
    /// Withdraws a signal and says so; unchanged when it is not published.
    func unpublish(_ id: SignalID, reason: String, now: Timestamp) async throws -> Signal
    /// All published signals with their versions, in the order of their ids.
    func publishedSignals(after: SignalID?, limit: Int) async throws -> [(signal: Signal, version: SignalVersion)]

    // MARK: Versions and files

    /// Numbers a version under the signal's lock.
    func addVersion(_ version: NewVersion) async throws -> SignalVersion
    func version(_ signalID: SignalID, number: Int) async throws -> SignalVersion?
    func version(_ id: SignalVersionID) async throws -> SignalVersion?
    /// Newest first, from below `before`.
    func versions(_ signalID: SignalID, before: Int?, limit: Int) async throws -> [SignalVersion]
    func record(_ upload: Upload) async throws
    /// Which of these blobs the account has sent, or has in a version of its own, with their sizes.
    func ownedBlobs(_ accountID: AccountID, among digests: [SHA256Digest]) async throws -> [SHA256Digest: Int]
    /// Blobs of uploads that no version names and that are older than `before`: forgets them and returns those that nobody else needs.
    func forgetUploads(before: Timestamp, limit: Int) async throws -> [SHA256Digest]
    /// Which of these blobs a version or an upload names.
    func referencedBlobs(among digests: [SHA256Digest]) async throws -> Set<SHA256Digest>

    // MARK: Dry runs

    /// Takes one of the account's places for a dry run; the same request again has the place that it had. Two requests at once never take one place.
    func takeDryRunPlace(_ accountID: AccountID, request: String, limits: DryRunLimits, now: Timestamp) async throws -> DryRunDecision
    /// Gives back a place that has no job.
    func leaveDryRunPlace(_ accountID: AccountID, request: String) async throws
    /// These have ended: their places are free.
    func endDryRuns(_ jobIDs: [JobID], of accountID: AccountID, now: Timestamp) async throws
    /// Remembers a dry run, in the place that its request took.
    func add(_ dryRun: DryRun, request: String) async throws
    func dryRun(_ jobID: JobID) async throws -> DryRun?
    /// Forgets places that were taken before the moment.
    func forgetDryRunPlaces(before: Timestamp) async throws

    // MARK: Subscriptions

    /// The account's active subscription, made if need be; says `signals.subscription.changed.v1` for a new one.
    func subscribe(_ accountID: AccountID, to signalID: SignalID, now: Timestamp) async throws -> (subscription: Subscription, isNew: Bool)
    /// Ends an account's subscription and says so; nil when the account has none of this id.
    func unsubscribe(_ id: SubscriptionID, accountID: AccountID, now: Timestamp) async throws -> Subscription?
    /// Newest first, from after `after`.
    func subscriptions(_ accountID: AccountID, after: SubscriptionID?, limit: Int) async throws -> [Subscription]
    /// What the account is subscribed to now.
    func subscribedSignals(_ accountID: AccountID) async throws -> Set<SignalID>

    // MARK: Ledger

    /// Appends a run's rows to the chain, all or none, and says `run.recorded` and `prediction.recorded`. The store that serves notes it as an incident when
    /// they came too late to count, and likewise what `record` refuses.
    func append(_ run: CompletedRun) async throws -> AppendOutcome
    /// Remembers a run without predictions; says `run.rejected` when its rows were refused. False when the run was known.
    func record(_ run: EndedRun, now: Timestamp) async throws -> Bool
    func head(_ signalID: SignalID) async throws -> SignalHead?
    /// What answers about these signals stand on, as of one moment and with one statement; also deleted ones, in the order of their ids.
    func views(_ signalIDs: [SignalID]) async throws -> [SignalView]
    /// Revisions of these signals' heads.
    func revisions(_ signalIDs: [SignalID]) async throws -> [SignalID: Int64]
    func predictions(_ query: PredictionQuery) async throws -> [StoredPrediction]
    /// The answers to several queries, in their order, with one statement.
    func predictions(_ queries: [PredictionQuery]) async throws -> [[StoredPrediction]]
    /// Predictions of several signals, newest first: before the moment and, at that very moment, before the signal and seq.
    func predictions(of signalIDs: [SignalID], before: PredictionPosition?, limit: Int) async throws -> [StoredPrediction]
    /// Predictions of several signals above a seq of each, oldest first.
    func predictions(above seqs: [SignalID: Int64], limit: Int) async throws -> [StoredPrediction]
    /// How far the chains of these signals went at the moment.
    func seqs(of signalIDs: [SignalID], at moment: Timestamp) async throws -> [SignalID: Int64]
    /// Seals all heads that have grown since their last seal, if no other replica is at it; nil when there is nothing to seal.
    ///
    /// The seal's time is read after the heads, by the clock that dates predictions: it is never earlier than a row that it binds.
    func seal(signing: @Sendable (_ text: String) throws -> (signature: String, keyID: String)) async throws -> LedgerSeal?
    /// Remembers the public half of a key that signs seals; the first word about a key counts.
    func remember(_ key: LedgerKey) async throws
    /// The keys that ever signed seals, oldest first.
    func ledgerKeys() async throws -> [LedgerKey]
    /// Seals that hold a head of the signal above `afterSeq` and up to `throughSeq`, in the order of these heads.
    func seals(of signalID: SignalID, afterSeq: Int64, throughSeq: Int64, maximumHeads: Int) async throws -> SealPage
    /// How many seals hold a head of the signal.
    func sealCount(of signalID: SignalID) async throws -> Int
    /// Seals in order, from after `number`.
    func seals(after number: Int64, limit: Int, maximumHeads: Int) async throws -> SealPage
    /// The newest seal made before the moment.
    func lastSeal(before: Timestamp) async throws -> LedgerSeal?
    func ledgerEpoch() async throws -> Int64

    // MARK: Outcomes

    /// Signals that have predictions to be looked at now; who has waited longest comes first.
    func signalsToSettle(now: Timestamp, limit: Int) async throws -> [DueSettlement]
    /// The predictions of a signal to be looked at now; what has waited longest comes first.
    func pendingOutcomes(_ signalID: SignalID, now: Timestamp, limit: Int) async throws -> [PendingOutcome]
    /// Stores outcomes, each once, and looks again later at the rest.
    func settle(_ signalID: SignalID, outcomes: [Int64: SettledOutcome], again: [Int64: Timestamp]) async throws

    // MARK: What others said

    /// Applies what the scheduler said, in whatever order it comes: what is next from the newest event, what was last from the latest due time. False when
    /// both were known better.
    func apply(_ cadence: CadenceRecord, to signalID: SignalID) async throws -> Bool
    func cadence(_ signalID: SignalID) async throws -> CadenceRecord?
    func apply(_ instrument: KnownInstrument) async throws
    /// Those of these instruments that are known, by their symbols.
    func instruments(symbols: [String]) async throws -> [String: KnownInstrument]
    func apply(_ account: KnownAccount) async throws
}

/// The public half of a key that signs seals.
struct LedgerKey: Sendable, Hashable {
    var keyID: String
    /// A JSON Web Key, as JSON.
    var jwk: String
    var firstUsedAt: Timestamp
}

/// A signal that has predictions to be looked at, by the one of them that has waited longest.
struct DueSettlement: Sendable, Hashable {
    var signalID: SignalID
    var accountID: AccountID
    /// When the prediction was to be looked at, and its seq: both move on once it has been.
    var checkAt: Timestamp
    var seq: Int64
}

/// A place in the list of all predictions that an account may read.
struct PredictionPosition: Sendable, Hashable {
    var madeAt: Timestamp
    var signalID: SignalID
    var seq: Int64
}
