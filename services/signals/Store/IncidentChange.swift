import Contracts
import FoundationEssentials
import Postgres

extension IncidentStore {
    /// What changes with what is now known of a due time. Its statements go out together, so those that depend on what others find say so themselves.
    struct Change {
        /// The incident that the due time is in.
        struct Home {
            let id: UUID
            let kind: TroubleKind
            let likeness: String
            /// When its day begins.
            let day: Timestamp
            let holdsNothingElse: Bool

            func holdsLike(_ trouble: Trouble) -> Bool {
                kind == trouble.kind && likeness == trouble.likeness && day <= trouble.dueAt && trouble.dueAt < day + .seconds(86_400)
            }
        }

        /// Nothing when the due time is heard of for the first time.
        let before: Trouble?
        let now: Trouble
        let home: Home?
        let account: AccountID
        /// The one before it is free too.
        let revision: Int64
        private let likeness: String

        init(before: Trouble?, now: Trouble, home: Home?, account: AccountID, revision: Int64) {
            (self.before, self.now, self.home, self.account, self.revision) = (before, now, home, account, revision)
            likeness = now.likeness
        }

        var statements: [SQL] {
            // What waits for its run stays where it is: it would be put among others in a moment, and be told of twice.
            if now.awaitsItsRun { return [keeping(in: "\(home?.id)")] }
            let amongItsLike: SQL = "(SELECT incident_id FROM incidents WHERE \(isLike))"
            guard let home else { return [adding(), keeping(in: amongItsLike)] }
            if home.holdsNothingElse {
                return [turning(home), adding(unless: home), keeping(in: amongItsLike), emptying(home)]
            }
            if home.holdsLike(now) { return [telling(home), keeping(in: "\(home.id)")] }
            return [adding(), keeping(in: amongItsLike), leaving(home)]
        }

        /// The incident of those that are like it.
        private var isLike: SQL {
            """
            signal_id = \(now.signalID) AND day = (\(now.dueAt) AT TIME ZONE 'UTC')::date AND kind = \(now.kind.rawValue) AND likeness = \(likeness)
            """
        }

        private func keeping(in incident: SQL) -> SQL {
            """
            INSERT INTO troubles (trouble_id, kind, incident_id, due_at, last_due_at, count, failure_kind, reason, message, job_id)
            VALUES (\(now.id), \(now.kind.rawValue), \(incident), \(now.dueAt), \(now.lastDueAt), \(now.count),
                \(now.failureKind?.rawValue), \(now.reason), \(now.message), \(now.jobID))
            ON CONFLICT (trouble_id) DO UPDATE SET kind = excluded.kind, incident_id = excluded.incident_id, due_at = excluded.due_at,
                last_due_at = excluded.last_due_at, count = excluded.count, failure_kind = excluded.failure_kind, reason = excluded.reason,
                message = excluded.message, job_id = excluded.job_id
            """
        }

        /// Says what is new of a due time in the incident that holds nothing else, unless those that are like it have one already.
        private func turning(_ home: Home) -> SQL {
            """
            UPDATE incidents SET kind = \(now.kind.rawValue), likeness = \(likeness), day = (\(now.dueAt) AT TIME ZONE 'UTC')::date,
                failure_kind = \(now.failureKind?.rawValue), count = \(now.count), read_count = CASE WHEN (kind, likeness) =
                    (\(now.kind.rawValue)::text, \(likeness)::text) THEN least(read_count, \(now.count)) ELSE 0 END,
                first_due_at = \(now.dueAt), last_due_at = \(now.lastDueAt), reason = \(now.reason), message = \(now.message), job_id = \(now.jobID),
                revision = \(revision)
            WHERE incident_id = \(home.id) AND NOT EXISTS (SELECT FROM incidents WHERE \(isLike) AND incident_id <> \(home.id))
            """
        }

        /// Says what is new of a due time among its like. The latest due time's words are the incident's; those of an earlier one change nothing that is
        /// shown.
        private func telling(_ home: Home) -> SQL {
            """
            UPDATE incidents SET reason = \(now.reason), message = \(now.message), job_id = \(now.jobID), revision = \(revision)
            WHERE incident_id = \(home.id) AND last_due_at <= \(now.lastDueAt)
            """
        }

        /// Counts a due time among those that are like it; not when it has turned its home into their incident.
        private func adding(unless home: Home? = nil) -> SQL {
            """
            INSERT INTO incidents AS incident
                (incident_id, kind, signal_id, account_id, day, likeness, failure_kind, count, first_due_at, last_due_at, reason, message, job_id, revision)
            SELECT \(UUIDv7.make()), \(now.kind.rawValue), \(now.signalID), \(account), (\(now.dueAt) AT TIME ZONE 'UTC')::date,
                \(likeness), \(now.failureKind?.rawValue), \(now.count), \(now.dueAt), \(now.lastDueAt), \(now.reason),
                \(now.message), \(now.jobID), \(revision)
            WHERE NOT EXISTS (SELECT FROM incidents WHERE \(isLike) AND incident_id = \(home?.id))
            ON CONFLICT (signal_id, day, kind, likeness) DO UPDATE SET
                count = incident.count + excluded.count,
                first_due_at = CASE WHEN incident.count = 0 THEN excluded.first_due_at ELSE least(incident.first_due_at, excluded.first_due_at) END,
                last_due_at = CASE WHEN incident.count = 0 THEN excluded.last_due_at ELSE greatest(incident.last_due_at, excluded.last_due_at) END,
                reason = CASE WHEN incident.count = 0 OR excluded.last_due_at >= incident.last_due_at THEN excluded.reason ELSE incident.reason END,
                message = CASE WHEN incident.count = 0 OR excluded.last_due_at >= incident.last_due_at THEN excluded.message ELSE incident.message END,
                job_id = CASE WHEN incident.count = 0 OR excluded.last_due_at >= incident.last_due_at THEN excluded.job_id ELSE incident.job_id END,
                revision = excluded.revision
            """
        }

        /// An incident whose only due time turned out to be something else stays, with a count of 0: streams have told of it and must say that it is gone.
        private func emptying(_ home: Home) -> SQL {
            """
            UPDATE incidents SET count = 0, read_count = 0, revision = \(revision - 1) WHERE incident_id = \(home.id) AND NOT (\(isLike))
            """
        }

        /// Takes a due time out of an incident that holds others.
        private func leaving(_ home: Home) -> SQL {
            let count = before?.count ?? now.count
            return """
                UPDATE incidents SET count = count - \(count), read_count = least(read_count, count - \(count)),
                    first_due_at = first.due_at, last_due_at = last.last_due_at, reason = last.reason, message = last.message, job_id = last.job_id,
                    revision = \(revision - 1)
                FROM (SELECT due_at FROM troubles WHERE incident_id = \(home.id) ORDER BY due_at LIMIT 1) AS first,
                     (SELECT last_due_at, reason, message, job_id FROM troubles WHERE incident_id = \(home.id) ORDER BY due_at DESC LIMIT 1) AS last
                WHERE incidents.incident_id = \(home.id)
                """
        }
    }
}
