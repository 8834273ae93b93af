import Contracts
import HTTPServing

/// How many versions a signal may have, and how many bytes an account's versions may hold; a file counts once however many versions name it.
///
/// Looked at before a version is numbered: of requests at the same moment each may still pass, so a limit is exceeded by no more than those.
struct VersionQuotas: Sendable {
    struct Limits: Sendable {
        var versionsPerSignal: Int
        var bytesPerAccount: Int
    }

    let usage: VersionUsage
    let limits: Limits

    /// Refuses a version for which there is no room.
    func admit(_ version: NewVersion, of account: AccountID) async throws {
        let count = try await usage.count(of: version.signalID)
        if count >= limits.versionsPerSignal {
            throw Self.refusal(
                "version_limit",
                "The signal has \(count) versions and may have \(limits.versionsPerSignal): begin another signal, or ask the operator for more.",
                limit: limits.versionsPerSignal,
                used: count
            )
        }
        let (used, known) = try await usage.bytes(of: account, among: version.files.map(\.sha256))
        var sizes: [SHA256Digest: Int64] = [:]
        for file in version.files { sizes[file.sha256] = Int64(file.bytes) }
        let new = sizes.values.reduce(0, +) - known
        if new > 0, used + new > Int64(limits.bytesPerAccount) {
            throw Self.refusal(
                "version_bytes_limit",
                "The versions of this account hold \(used) bytes and may hold \(limits.bytesPerAccount); this one would add \(new).",
                limit: limits.bytesPerAccount,
                used: Int(used)
            )
        }
    }

    private static func refusal(_ code: String, _ detail: String, limit: Int, used: Int) -> Problem {
        var problem = Problem.conflict(code: code, detail: detail, field: "files")
        problem.extra = ["limit": .integer(Int64(limit)), "used": .integer(Int64(used))]
        return problem
    }
}
