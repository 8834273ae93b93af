import Contracts
import Cryptography
import FoundationEssentials
import ServiceRuntime

/// `signals verify-ledger`: whether chains are what they were when they were sealed.
enum VerifyLedgerCommand {
    static let usage = """
        signals verify-ledger --file FILE [--keys FILE]   a document of GET /api/signals/ID/ledger; keys: GET /api/signals/ledger/keys
        signals verify-ledger --signal ID                 one signal of this installation, with its seals and their signatures
        signals verify-ledger --all                       every signal of this installation, and the chain of all seals
        """

    static let subcommand = Subcommand<SignalsSettings>(name: "verify-ledger", help: "checks chains of predictions; exit code 1 when one is bad") {
        words,
        settings in
        switch (words.first, words.count) {
        case ("--file", 2): return try verify(file: words[1], keys: nil)
        case ("--file", 4) where words[2] == "--keys": return try verify(file: words[1], keys: words[3])
        case ("--signal", 2):
            guard let signalID = SignalID(words[1]) else { throw CommandError(message: "'\(words[1])' is not a signal's id") }
            return try await CommandEnvironment.with(settings()) { environment in
                try await environment.store.view { try await verify([signalID], in: $0) }
            }
        case ("--all", 1):
            return try await CommandEnvironment.with(settings()) { environment in try await environment.store.view { try await verifyAll($0) } }
        default:
            print(usage)
            return words.isEmpty || words.first == "--help" ? 0 : 64
        }
    }

    /// Checks a document; it needs neither database nor settings.
    static func verify(file path: String, keys keysPath: String?) throws -> Int32 {
        guard let data = try? Data(contentsOf: URL(filePath: path)) else { throw CommandError(message: "'\(path)' cannot be read") }
        let export: LedgerExport
        do {
            export = try WireJSON.decode(from: [UInt8](data))
        } catch {
            throw CommandError(message: "'\(path)' is not a ledger document: \((error as? DecodingError)?.wirePath ?? "\(error)")")
        }
        var signatureIsGood: (LedgerSeal) -> Bool = { _ in true }
        if let keysPath {
            guard let data = try? Data(contentsOf: URL(filePath: keysPath)), let set = try? JWKSet(json: [UInt8](data)) else {
                throw CommandError(message: "'\(keysPath)' is not a JWK set")
            }
            let keys = set.verifyingKeys()
            signatureIsGood = { LedgerSigner.isGood($0, keys: keys) }
        }
        let fault = export.firstFault(signatureIsGood: signatureIsGood)
        say(export.signalID, fault, rows: export.rows.count, seals: export.seals.count)
        return fault == nil ? 0 : 1
    }

    private static func say(_ signalID: SignalID, _ fault: LedgerFault?, rows: Int, seals: Int) {
        if let fault {
            print("BAD   \(signalID): \(fault)")
        } else {
            print("good  \(signalID): \(rows) rows, \(seals) seals")
        }
    }

    private static func verify(_ signals: [SignalID], in store: PostgresSignalsStore) async throws -> Int32 {
        let keys = LedgerSigner.verifyingKeys(try await store.ledgerKeys())
        let exports = LedgerExports(store: store)
        var code: Int32 = 0
        for signalID in signals {
            guard try await store.head(signalID) != nil else { throw CommandError(message: "there is no signal \(signalID)") }
            let (fault, rows) = try await exports.firstFault(of: signalID) { LedgerSigner.isGood($0, keys: keys) }
            let seals = try await store.sealCount(of: signalID)
            say(signalID, fault, rows: rows, seals: seals)
            if fault != nil { code = 1 }
        }
        return code
    }

    private static func verifyAll(_ store: PostgresSignalsStore) async throws -> Int32 {
        let signals = try await store.allSignalIDs()
        var code = try await verify(signals, in: store)
        let keys = LedgerSigner.verifyingKeys(try await store.ledgerKeys())
        if let fault = try await LedgerExports(store: store).firstFaultOfSeals(signatureIsGood: { LedgerSigner.isGood($0, keys: keys) }) {
            print("BAD   seals: \(fault)")
            code = 1
        }
        print(code == 0 ? "good  \(signals.count) signals" : "BAD")
        return code
    }
}
