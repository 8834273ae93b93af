import Contracts
import Cryptography
import ServiceRuntime

/// `signals audit`: this service's part of the proof that nothing was lost and nothing doubled.
enum AuditCommand {
    static let subcommand = Subcommand<SignalsSettings>(
        name: "audit",
        help: "checks that nothing was lost and nothing doubled; a line a check, exit code 1"
    ) {
        words,
        settings in
        guard words.isEmpty else { throw CommandError(message: "audit takes no arguments") }
        return try await CommandEnvironment.with(settings()) { environment in
            // One view for all checks, keys included: what is recorded and sealed meanwhile is no fault.
            let checks = try await environment.store.view { store in
                try await run(on: store, keys: LedgerSigner.verifyingKeys(try await store.ledgerKeys()))
            }
            for check in checks { print(check.line) }
            return checks.allSatisfy(\.isGood) ? 0 : 1
        }
    }

    /// One check with what it found.
    struct Check: Sendable, Hashable {
        var name: String
        var faults: [String]
        var isGood: Bool { faults.isEmpty }

        /// The line that is printed.
        var line: String {
            guard !faults.isEmpty else { return "ok    signals: \(name)" }
            let shown = faults.prefix(3).joined(separator: "; ")
            return "BAD   signals: \(name): \(shown)\(faults.count > 3 ? "; and \(faults.count - 3) more" : "")"
        }
    }

    static func run(on store: PostgresSignalsStore, keys: [String: VerifyingKey]) async throws -> [Check] {
        var checks = [
            Check(name: "each recorded run has exactly the rows that its job reported", faults: try await store.auditRuns()),
            Check(name: "seq is gapless and ends at the head", faults: try await store.auditSequences()),
            Check(name: "made_at rises with seq", faults: try await store.auditOrder()),
            Check(name: "every prediction waits for its outcome or has it", faults: try await store.auditOutcomes()),
        ]
        let exports = LedgerExports(store: store)
        var faults: [String] = []
        for signalID in try await store.allSignalIDs() {
            if let fault = try await exports.firstFault(of: signalID, signatureIsGood: { LedgerSigner.isGood($0, keys: keys) }).fault {
                faults.append("\(signalID): \(fault)")
            }
        }
        checks.append(Check(name: "chains verify against their seals", faults: faults))
        let seals = try await exports.firstFaultOfSeals { LedgerSigner.isGood($0, keys: keys) }
        checks.append(Check(name: "the chain of seals verifies", faults: seals.map { ["\($0)"] } ?? []))
        checks.append(Check(name: "nothing older than a minute is unsent in the outbox", faults: try await store.auditOutbox()))
        return checks
    }
}
