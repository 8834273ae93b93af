import Contracts

/// Why a Python environment is not there, with whose fault it is.
struct EnvironmentError: Error, Sendable, CustomStringConvertible {
    /// `infra` is retried; the others are the author's.
    var kind: FailureKind
    /// For the author.
    var reason: String

    /// What the installer said, for the job's log.
    var log = ""
    /// Whether its middle is left out.
    var isLogTruncated = false

    /// The reason.
    var description: String { reason }

    /// Reads what the installer said: a network that is away is ours, requirements that cannot be met are the author's.
    ///
    /// - Parameters:
    ///   - secrets: what is left out of the reason.
    ///   - refused: where the build wanted to go and may not.
    ///   - unreached: where it may go and could not.
    static func from(
        step: String,
        outcome: SandboxOutcome,
        secrets: IndexSecrets = IndexSecrets(),
        refused: [String] = [],
        unreached: [String] = []
    ) -> EnvironmentError {
        let said = secrets.hidden(in: outcome.log.text)
        if !refused.isEmpty {
            return EnvironmentError(
                kind: .infra,
                reason: "requirements.txt: \(step) failed: the package index leads to \(refused.joined(separator: ", ")), where builds may not go; "
                    + "this platform's AUSPEX_PACKAGE_FILE_HOSTS would allow it"
            )
        }
        if !unreached.isEmpty, outcome.exitCode != 0 {
            return EnvironmentError(
                kind: .infra,
                reason: "requirements.txt: \(step) failed: the package index cannot be reached at the moment (\(unreached.joined(separator: ", ")))"
            )
        }
        if outcome.killer == .deadline {
            return EnvironmentError(
                kind: .timeLimit,
                reason: "requirements.txt: \(step) took longer than it may; fewer or smaller packages would be right"
            )
        }
        if outcome.outOfMemory { return EnvironmentError(kind: .outOfMemory, reason: "requirements.txt: \(step) needed too much memory") }
        let ours = [
            "Failed to fetch", "error sending request", "dns error", "Connection", "connection", "timed out", "No space left", "Permission denied",
            "bwrap:", "certificate", "503 ", "502 ", "429 ",
        ]
        let theirs = ["No solution found", "Because ", "invalid", "Failed to parse"]
        let isTheirs = outcome.exitCode == 1 && theirs.contains { said.contains($0) } && !said.contains("Failed to fetch")
        let isOurs = !isTheirs && (outcome.exitCode != 1 || ours.contains { said.contains($0) })
        let lines = said.split(separator: "\n").filter { !$0.hasPrefix("Using CPython") && !$0.hasPrefix("Downloading") }
        let text = lines.joined(separator: "\n").prefix(utf8Bytes: 2000)
        return EnvironmentError(kind: isOurs ? .infra : .exception, reason: "requirements.txt: \(step) failed: \(text)")
    }
}
