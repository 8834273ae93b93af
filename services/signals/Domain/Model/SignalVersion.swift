import Contracts
import Schedules

/// One immutable state of a signal's code and data.
struct SignalVersion: Sendable, Hashable {
    var id: SignalVersionID
    var signalID: SignalID
    /// From 1 without gaps within the signal.
    var number: Int
    var sha256: SHA256Digest
    var manifest: Manifest
    /// By path.
    var files: [ProjectFile]
    var note: String
    /// The version whose files were taken over, when this one is a rollback.
    var restoredFrom: Int?
    var createdBy: UserID
    var createdAt: Timestamp

    static let noteCharacters = 0...1_000

    /// The symbols that it names, each once.
    var instruments: [String] {
        var names = Set(manifest.inputs.map(\.instrument) + [manifest.output.instrument])
        if case .barClose(let instrument, _) = manifest.schedule { names.insert(instrument) }
        if let market = DueTimes.market(of: manifest.schedule, manifest.policy) { names.insert(market) }
        return names.sorted()
    }

    /// The bar lengths that it names, in seconds, each once.
    var intervalSeconds: [Int] {
        var names = manifest.inputs.map(\.interval)
        if case .barClose(_, let interval) = manifest.schedule { names.append(interval) }
        return Set(names.compactMap { BarInterval($0)?.seconds }).sorted()
    }

    /// The bars by which the outcome is measured: the finest that the signal itself reads of that instrument, one minute if it reads none.
    var outcomeInterval: String {
        var names = manifest.inputs.filter { $0.instrument == manifest.output.instrument }.map(\.interval)
        if case .barClose(let instrument, let interval) = manifest.schedule, instrument == manifest.output.instrument { names.append(interval) }
        return names.min { (BarInterval($0)?.seconds ?? .max) < (BarInterval($1)?.seconds ?? .max) } ?? "1m"
    }

    var codeFiles: [CodeFile] {
        files.map { CodeFile(path: $0.path, sha256: $0.sha256, bytes: Int64($0.bytes)) }
    }
}

/// A version that is checked and waits for its number.
struct NewVersion: Sendable {
    var id: SignalVersionID = .make()
    var signalID: SignalID
    var manifest: Manifest
    var files: [ProjectFile]
    var note: String
    var restoredFrom: Int?
    var createdBy: UserID
    var createdAt: Timestamp

    func numbered(_ number: Int) throws -> SignalVersion {
        let ordered = files.sorted { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }
        let sha256 = VersionHash.digest(files: ordered, manifestJSON: try WireJSON.encode(manifest))
        return SignalVersion(
            id: id,
            signalID: signalID,
            number: number,
            sha256: sha256,
            manifest: manifest,
            files: ordered,
            note: note,
            restoredFrom: restoredFrom,
            createdBy: createdBy,
            createdAt: createdAt
        )
    }
}
