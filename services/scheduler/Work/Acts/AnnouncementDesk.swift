import Contracts
import Cryptography
import ServiceRuntime
import Synchronization

/// Tells executors what is due soon, each with a token that reads the version's files and nothing else.
///
/// Executors ask every few seconds and are told the same due time several times: a token serves for as long as half of its life is left.
final class AnnouncementDesk: Sendable {
    private struct Known: Sendable {
        let version: SignalVersionID
        let token: String
        let freshUntil: Timestamp
    }

    /// Longer than the longest horizon, so that a token serves until the run has a token of its own.
    static let tokenSeconds: Int64 = 240
    private static let mostKnown = 20_000

    private let reader: AnnouncementReader
    private let signingKey: SigningKey
    private let time: any TimeSource
    private let known = Mutex<[ScheduleID: Known]>([:])

    init(reader: AnnouncementReader, signingKey: SigningKey, time: any TimeSource) {
        self.reader = reader
        self.signingKey = signingKey
        self.time = time
    }

    /// What is due within the horizon, the earliest first.
    func announcements(horizonSeconds: Int, limit: Int = AnnouncementsRequest.maximumAnnouncements) async throws -> [Announcement] {
        let now = time.now()
        let expected = try await reader.expected(at: now, horizonSeconds: horizonSeconds, limit: limit)
        var announcements: [Announcement] = []
        var signed = 0
        for (schedule, dueAt) in expected {
            guard let publication = schedule.publication else { continue }
            let token: String
            if let kept = known.withLock({ $0[schedule.id] }), kept.version == publication.versionID, kept.freshUntil > now {
                token = kept.token
            } else {
                token = try sign(publication, of: schedule.id, now: now)
                signed += 1
                // A signature is tens of microseconds; the loop has others to serve.
                if signed % 32 == 0 { await Task.yield() }
            }
            announcements.append(
                Announcement(
                    scheduleID: schedule.id,
                    signalID: schedule.signalID,
                    accountID: schedule.accountID,
                    dueAt: dueAt,
                    versionID: publication.versionID,
                    versionSHA256: publication.versionSHA256,
                    files: publication.files,
                    manifest: publication.manifest,
                    token: token
                )
            )
        }
        return announcements
    }

    private func sign(_ publication: SignalPublished, of schedule: ScheduleID, now: Timestamp) throws -> String {
        let claims = JobTokenClaims(
            // No job has these: nothing that asks for an attempt's own things will find any.
            jobID: .make(),
            attemptID: .make(),
            kind: Announcement.tokenKind.rawValue,
            signalID: publication.signalID,
            codeSHA256: publication.versionSHA256,
            files: publication.files.map(\.sha256),
            // No bars: no instrument is named, and nothing was known at this moment.
            instruments: [],
            asOf: Timestamp(seconds: 0),
            now: now,
            lifetimeSeconds: Self.tokenSeconds
        )
        let token = try JWT.sign(claims, with: signingKey)
        known.withLock { known in
            if known.count >= Self.mostKnown { known = [:] }
            known[schedule] = Known(version: publication.versionID, token: token, freshUntil: now + .seconds(Self.tokenSeconds / 2))
        }
        return token
    }
}
