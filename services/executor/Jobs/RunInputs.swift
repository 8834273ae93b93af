import Contracts
import Cryptography
import HTTPServing
import Requirements
import ServiceRuntime

/// Whose fault it is that a run could not begin.
struct RunObstacle: Error, Sendable {
    /// `infra` is tried again; the others are the author's.
    var kind: FailureKind
    /// For the author.
    var reason: String
    /// Whether another service understood the question and said no.
    var isRefusal = false
}

/// Which bars of one instrument.
struct BarsRange: Sendable, Hashable {
    /// As many bars of a range as market data gives at once.
    static let mostBars = 50_000

    /// The instrument's symbol.
    var instrument: String
    /// The bars' length, such as `15s`.
    var interval: String
    /// How many, counted back from the end; nil for those from a start on.
    var lookback: Int?
    /// Bars that start here or later.
    var start: Timestamp?
    /// Bars that start earlier than this.
    var end: Timestamp?

    fileprivate var query: [(String, String)] {
        var query = [("instrument", instrument), ("interval", interval)]
        if let lookback { query.append(("countback", "\(lookback)")) }
        if let start { query += [("start", start.iso8601), ("limit", "\(Self.mostBars)")] }
        if let end { query.append(("end", end.iso8601)) }
        return query
    }
}

/// The bars of a run with what the record of its predictions says about them.
struct RunBars: Sendable {
    /// The manifest's inputs in their order.
    var series: [InputSeries]
    /// The hash of the revisions that were served.
    var dataSHA256: SHA256Digest
    /// The last known price of the output's instrument; absent when nobody knows one.
    var referencePrices: [String: Price]

    /// What of bars was read.
    var bytes: Int64 { series.reduce(0) { $0 + Int64($1.bars.bytes.count) } }
}

/// Fetches what a run needs from the other services, within its job token.
struct RunInputs: Sendable {
    private let signals: ServiceClient
    private let marketdata: ServiceClient
    private let time: any TimeSource

    init(signals: ServiceClient, marketdata: ServiceClient, time: any TimeSource) {
        self.signals = signals
        self.marketdata = marketdata
        self.time = time
    }

    private static func headers(_ jobToken: String) -> Headers {
        var headers = Headers()
        headers["X-Auspex-Job"] = jobToken
        return headers
    }

    private static let busyPause = Duration.seconds(2)
    /// How long a busy service is waited for before a run: an attempt that ends for that would count against the signal.
    static let patience = Duration.seconds(600)
    /// The same during a run, whose time goes by meanwhile.
    static let patienceDuringRun = Duration.seconds(20)

    /// Asks again after a pause for as long as the other side is busy, but not for ever.
    private func whenNotBusy<Answer>(within patience: Duration = patience, _ ask: () async throws -> Answer) async throws -> Answer {
        var waited = Duration.zero
        while true {
            do { return try await ask() } catch let error as ServiceClientError where error.status == 429 && waited < patience {
                try await time.sleep(for: Self.busyPause)
                waited += Self.busyPause
            }
        }
    }

    /// One file of the code by its hash.
    func file(_ sha256: SHA256Digest, jobToken: String) async throws -> [UInt8] {
        do { return try await whenNotBusy { try await fetch(sha256, jobToken) } } catch let error as ServiceClientError {
            throw RunObstacle(kind: .infra, reason: "the code could not be fetched: \(error)")
        }
    }

    /// Where the lock of a version lies: with signals, which has it for every executor.
    func lock(of signalID: SignalID, _ versionSHA256: SHA256Digest, jobToken: String) -> VersionLock {
        let headers = Self.headers(jobToken)
        @Sendable func path(_ platform: String) -> String { "/internal/v1/locks/\(platform)" }
        @Sendable func asked(_ ask: () async throws -> [UInt8]?) async throws -> String? {
            do {
                return try await whenNotBusy(ask).map { String(decoding: $0, as: UTF8.self) }
            } catch let error as ServiceClientError {
                throw EnvironmentError(kind: .infra, reason: "the lock of the version's packages could not be read or kept: \(error)")
            }
        }
        return VersionLock(
            name: "\(signalID) \(versionSHA256.hex)",
            find: { platform in try await asked { try await signals.getBytes(path(platform), headers: headers, maximumBytes: LockText.maximumBytes) }
            },
            keep: { platform, lock in
                let kept = try await asked {
                    // The first one stays: twice is as good as once.
                    try await signals.send(.put, path(platform), headers: headers, body: Array(lock.utf8), isIdempotent: true).body
                }
                return kept ?? lock
            }
        )
    }

    private func fetch(_ sha256: SHA256Digest, _ jobToken: String) async throws -> [UInt8] {
        let maximum = Int(CodeTree.maximumBytes)
        let path = "/internal/v1/blobs/\(sha256.hex)"
        guard let bytes = try await signals.getBytes(path, headers: Self.headers(jobToken), maximumBytes: maximum) else {
            throw RunObstacle(kind: .infra, reason: "a file of the code is not in the store: \(sha256.hex)")
        }
        return bytes
    }

    /// All inputs at once, as they were known at `asOf`.
    func bars(_ manifest: Manifest, asOf: Timestamp, jobToken: String) async throws -> RunBars {
        // Not among the inputs, the output's instrument is asked for beside them.
        let isAmong = manifest.inputs.contains { $0.instrument == manifest.output.instrument }
        async let asked = isAmong ? nil : askedPrice(manifest, asOf, jobToken)
        let bodies = try await withThrowingTaskGroup(of: (Int, BarsBody, SHA256Digest).self) { group in
            for (index, input) in manifest.inputs.enumerated() {
                group.addTask {
                    let range = BarsRange(instrument: input.instrument, interval: input.interval, lookback: input.lookback)
                    let (body, digest) = try await bars(range, asOf: asOf, jobToken: jobToken)
                    return (index, body, digest)
                }
            }
            return try await group.reduce(into: [(Int, BarsBody, SHA256Digest)]()) { $0.append($1) }.sorted { $0.0 < $1.0 }
        }
        let series = zip(manifest.inputs, bodies).map { InputSeries(instrument: $0.instrument, interval: $0.interval, bars: $1.1) }
        var price = Self.lastPrice(of: manifest.output.instrument, in: series)
        if price == nil { price = isAmong ? try await askedPrice(manifest, asOf, jobToken) : try await asked }
        return RunBars(
            series: series,
            dataSHA256: Self.combined(bodies.map { $0.2 }),
            referencePrices: price.map { [manifest.output.instrument: $0] } ?? [:]
        )
    }

    /// The digest of one answer is its own; that of several hashes their digests in the order of the inputs.
    static func combined(_ digests: [SHA256Digest]) -> SHA256Digest {
        if digests.count == 1, let only = digests.first { return only }
        var hasher = SHA256.Hasher()
        for digest in digests { hasher.update(digest.bytes) }
        return hasher.finalize()
    }

    /// The digest of a run's inputs and of what its code asked for besides, in the order of the questions.
    static func combined(_ inputs: SHA256Digest, with reads: [SHA256Digest]) -> SHA256Digest {
        reads.isEmpty ? inputs : combined([inputs] + reads)
    }

    /// The last close among the inputs: of several of the instrument, of the one whose last bar ended last.
    private static func lastPrice(of symbol: String, in series: [InputSeries]) -> Price? {
        let own = series.filter { $0.instrument == symbol && $0.bars.lastClose != nil }.max {
            ($0.bars.lastEnd ?? .distantPast) < ($1.bars.lastEnd ?? .distantPast)
        }
        return own?.bars.lastClose.map { Price($0) }
    }

    /// The last close of an instrument without bars among the inputs; done without where market data has none. What else it says is no answer: a prediction
    /// without its reference price would stay one for ever.
    private func askedPrice(_ manifest: Manifest, _ asOf: Timestamp, _ jobToken: String) async throws -> Price? {
        let range = BarsRange(instrument: manifest.output.instrument, interval: manifest.inputs.first?.interval ?? "1m", lookback: 1)
        do {
            return try await bars(range, asOf: asOf, jobToken: jobToken).0.lastClose.map { Price($0) }
        } catch let obstacle as RunObstacle where obstacle.isRefusal {
            return nil
        }
    }

    /// One series, as it was known at `asOf`, and the hash of the revisions that it was made of.
    func bars(
        _ range: BarsRange,
        asOf: Timestamp,
        jobToken: String,
        patience: Duration = patience
    ) async throws -> (BarsBody, SHA256Digest) {
        do {
            let query = range.query + [("as_of", asOf.iso8601), ("format", "binary")]
            let answer = try await whenNotBusy(within: patience) {
                try await marketdata.send(.get, "/internal/v1/bars", query: query, headers: Self.headers(jobToken))
            }
            guard let digest = answer.headers["X-Auspex-Data-SHA256"].flatMap({ SHA256Digest(hex: $0) }) else {
                throw RunObstacle(kind: .infra, reason: "market data did not say which revisions it served")
            }
            return (try BarsBody(answer.body), digest)
        } catch let error as BarsBody.Malformed {
            throw RunObstacle(kind: .infra, reason: "\(error)")
        } catch let error as ServiceClientError {
            // What market data calls wrong about the question is its asker's fault. A token that is not taken, or a service that is slow or busy, is ours:
            // told to the code, it could predict something else than it would with an answer.
            let isRefusal = [400, 404, 422].contains(error.status ?? 0)
            throw RunObstacle(
                kind: isRefusal ? .exception : .infra,
                reason: "bars of \(range.instrument) \(range.interval): \(error)",
                isRefusal: isRefusal
            )
        }
    }
}
