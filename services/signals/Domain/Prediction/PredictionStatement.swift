import Contracts

/// What a prediction says and by what it was made: everything that goes into the hashed payload.
struct PredictionStatement: Sendable, Hashable {
    var signalID: SignalID
    var versionSHA256: SHA256Digest
    var envSHA256: SHA256Digest
    var dataSHA256: SHA256Digest
    var jobID: JobID
    var row: PredictionRow
    var dueAt: Timestamp
    var asOf: Timestamp
    var referencePrice: DecimalText?
    var feed: FeedKind
    var late: Bool

    /// The canonical text that is stored and hashed; `seq` and `made_at` are hashed beside it, in the link.
    var payload: String {
        let value: CanonicalJSON =
            switch row.value {
            case .single(let number): .string(number.text)
            case .quantiles(let values): .object(values.mapValues { .string($0.text) })
            }
        return CanonicalJSON.object([
            "as_of": .string(asOf.iso8601),
            "data_sha256": .string(dataSHA256.hex),
            "due_at": .string(dueAt.iso8601),
            "env_sha256": .string(envSHA256.hex),
            "feed": .string(feed.rawValue),
            "instrument": .string(row.instrument),
            "job_id": .string(jobID.description),
            "kind": .string(row.kind.rawValue),
            "late": .boolean(late),
            "reference_price": referencePrice.map { .string($0.text) } ?? .null,
            "row": .string(String(row.row)),
            "signal_id": .string(signalID.description),
            "target_from": .string(row.targetFrom.iso8601),
            "target_to": .string(row.targetTo.iso8601),
            "value": value,
            "version_sha256": .string(versionSHA256.hex),
        ]).text
    }
}

extension PredictionValue {
    /// One decimal, or the canonical object of quantiles: how a value stands in a text column and in CSV.
    var text: String {
        switch self {
        case .single(let number): number.text
        case .quantiles(let values): CanonicalJSON.object(values.mapValues { .string($0.text) }).text
        }
    }

    /// Reads that text back; nil when it does not fit the kind.
    init?(text: String, kind: OutputKind) {
        if kind == .quantiles {
            guard let value: PredictionValue = try? WireJSON.decode(from: Array(text.utf8)), case .quantiles = value else { return nil }
            self = value
        } else {
            guard let number = DecimalText(text) else { return nil }
            self = .single(number)
        }
    }
}
