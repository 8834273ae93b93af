import Contracts
import Postgres

/// The statements of a claim.
///
/// Claims are taken one after another, under one lock of the whole database: so each sees what those before it took, and neither an account's limit nor
/// its fair share can be overrun by two at once. A claim holds the lock for about a millisecond, since it waits for nothing: its commit does not wait for
/// the disk, and rows that others hold it leaves out. Claims that arrive together go together (`ClaimDesk`), so that many workers share one turn.
enum ClaimStatements {
    /// Its turn, and how the statements behind it are planned, in one.
    ///
    /// The commit need not wait for the disk. A claim or renewal that a crash of the server forgets is a job that waits again, whose worker is
    /// fenced off; and what a job's end makes durable, it makes durable together with the claim before it, because the log is flushed in order.
    ///
    /// A plan is made once: to make it anew for each claim would cost more than the claim. And no bitmaps: they read what is dead from the index again and
    /// again, and of an account that runs thousands of short jobs a second nearly all leases are dead; a plain scan marks them, and passes over them from
    /// then on. Nor helpers: to start one takes ten times as long as a claim.
    static let turn: SQL = """
        SELECT set_config('synchronous_commit', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),
            set_config('enable_bitmapscan', 'off', true), set_config('max_parallel_workers_per_gather', '0', true),
            pg_advisory_xact_lock(hashtextextended('scheduler.claims', 0))
        """

    /// Those of the classes in which a job waits for nothing but a worker or its moment.
    static func waiting(in classes: [ResourceClass]) -> SQL {
        """
        SELECT class FROM unnest(\(classes)) AS class CROSS JOIN LATERAL (
            SELECT FROM ONLY jobs WHERE state = 'pending' AND blocked_by = 0 AND resource_class = class
            ORDER BY resource_class, precedence, account_id, available_at LIMIT 1) AS first
        """
    }

    /// What the same claims got before and still hold.
    static func held(by claims: [Claim]) -> SQL {
        """
        SELECT \(unsafe: JobColumns.list) FROM unnest(\(claims.map(\.id))) AS asked (claim_id)
        -- One look in an index for each, which OFFSET makes sure of: the plan for all at once is to read all leases, or all jobs.
        CROSS JOIN LATERAL (SELECT job_id, attempt_id FROM leases WHERE leases.claim_id = asked.claim_id OFFSET 0) AS held
        CROSS JOIN LATERAL (
            SELECT * FROM ONLY jobs AS one WHERE one.job_id = held.job_id AND one.attempt_id = held.attempt_id AND one.state = 'running' OFFSET 0) AS jobs
        """
    }

    /// So many accounts are looked at by a claim of a few jobs; a claim of many looks at twice as many accounts as it wants jobs.
    static let fewestAccounts = 16
    /// So many accounts are passed that have nothing to be claimed now, before the rest is left to the next claim.
    static let mostSteps = 1_000

    /// Walks the accounts that have a job of the class, by rank; takes from each in turn, those first that run least.
    ///
    /// A step costs the same however many jobs the account has: the first of them tells whether one may be claimed now. Within a rank the walk begins
    /// behind the account that was served last and goes once round, in two segments: the accounts after it, then those up to it. So no account stays
    /// out of sight. An account that may run no more is passed; what it may run of all classes leaves out the class `signal`, whose slots are reserved: an
    /// account's own long jobs do not make its signals late. What is found is dealt out to the claims, a job to each in turn.
    ///
    /// - Parameter start: the account behind which the walk begins.
    static func take(_ resourceClass: ResourceClass, for claims: [Claim], behind start: AccountID, limits: AccountLimits, lease: SQL) -> SQL {
        let wanted = claims.map { claim in claim.classes.reduce(0) { $0 + ($1.class == resourceClass ? max(0, $1.slots) : 0) } }
        let slots = wanted.reduce(0, +)
        let (least, greatest): (SQL, SQL) = ("'00000000-0000-0000-0000-000000000000'::uuid", "'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid")
        return """
            WITH RECURSIVE seats AS (
                SELECT given.claim_id, given.worker, row_number() OVER (ORDER BY number, given.ordinal) AS seat
                FROM unnest(\(claims.map(\.id)), \(claims.map(\.worker)), \(wanted.map { Int32($0) })) WITH ORDINALITY
                    AS given (claim_id, worker, slots, ordinal)
                CROSS JOIN LATERAL generate_series(1, given.slots) AS number
                -- Not an anti-join, which would read the leases of all.
                WHERE (SELECT true FROM leases WHERE leases.claim_id = given.claim_id AND leases.resource_class = \(resourceClass) LIMIT 1) IS NULL
            ), walk (segment, account_id, held, room, is_held_back, seen, steps) AS (
                SELECT 0, \(start)::uuid, 0::bigint, 0::bigint, false, 0, 0 WHERE EXISTS (SELECT FROM seats)
                UNION ALL
                SELECT next.segment, next.account_id, next.held, CASE WHEN next.is_ready THEN greatest(0, next.room) ELSE 0 END,
                    next.is_ready AND next.room <= 0, walk.seen + CASE WHEN next.is_ready AND next.room > 0 THEN 1 ELSE 0 END, walk.steps + 1
                FROM walk CROSS JOIN LATERAL (
                    SELECT part.segment, found.account_id, found.available_at <= (SELECT clock_timestamp()) AS is_ready, load.held,
                        CASE WHEN found.account_id = \(AccountID.platform) THEN 1000000
                            WHEN \(resourceClass) = 'signal' THEN coalesce(own.in_class, \(limits.runningInClass)) - load.held
                            ELSE least(coalesce(own.in_class, \(limits.runningInClass)) - load.held, coalesce(own.in_all, \(limits.running)) - load.everywhere)
                        END AS room
                    FROM (SELECT segment FROM generate_series(walk.segment, 7) AS segment ORDER BY segment) AS part
                    CROSS JOIN LATERAL (
                        SELECT jobs.account_id, jobs.available_at FROM ONLY jobs
                        WHERE state = 'pending' AND blocked_by = 0 AND resource_class = \(resourceClass) AND jobs.precedence = part.segment / 2
                          AND jobs.account_id > CASE WHEN part.segment = walk.segment THEN walk.account_id
                              WHEN part.segment % 2 = 0 THEN \(start)::uuid ELSE \(least) END
                          AND jobs.account_id <= CASE WHEN part.segment % 2 = 0 THEN \(greatest) ELSE \(start)::uuid END
                        ORDER BY jobs.account_id, jobs.available_at LIMIT 1) AS found
                    CROSS JOIN LATERAL (
                        SELECT count(*) FILTER (WHERE leases.resource_class = \(resourceClass)) AS held,
                            count(*) FILTER (WHERE leases.resource_class <> 'signal') AS everywhere
                        FROM leases WHERE leases.account_id = found.account_id) AS load
                    CROSS JOIN LATERAL (
                        SELECT min(running_most) FILTER (WHERE account_limits.resource_class = \(resourceClass)) AS in_class,
                            min(running_most) FILTER (WHERE account_limits.resource_class = 'all') AS in_all
                        FROM account_limits WHERE account_limits.account_id = found.account_id) AS own
                    ORDER BY part.segment LIMIT 1) AS next
                WHERE walk.seen < \(max(fewestAccounts, slots * 2)) AND walk.steps < \(mostSteps)
            ), lanes AS (
                SELECT (segment / 2)::smallint AS precedence, account_id, held, room, steps AS position,
                    least(room + 1, CASE WHEN count(*) OVER () >= \(slots) THEN \(slots * 4) / count(*) OVER () + 1 ELSE \(slots + 8) END) AS most
                FROM walk WHERE room > 0
            ), candidates AS (
                SELECT lanes.precedence, job.job_id, lanes.position, lanes.held, lanes.room,
                    row_number() OVER (PARTITION BY lanes.account_id ORDER BY lanes.precedence, job.available_at, job.job_id) AS number
                FROM lanes CROSS JOIN LATERAL (
                    SELECT jobs.job_id, jobs.available_at FROM ONLY jobs
                    WHERE state = 'pending' AND blocked_by = 0 AND resource_class = \(resourceClass) AND jobs.precedence = lanes.precedence
                      AND jobs.account_id = lanes.account_id AND jobs.available_at <= (SELECT clock_timestamp())
                    ORDER BY jobs.available_at, jobs.job_id LIMIT lanes.most) AS job
            ), chosen AS (
                SELECT job_id, precedence, held + number AS share, position FROM candidates WHERE number <= room
                ORDER BY precedence, share, position LIMIT \(slots * 2)
            ), picked AS (
                SELECT jobs.job_id, chosen.precedence, chosen.share, chosen.position FROM chosen JOIN ONLY jobs USING (job_id)
                WHERE jobs.state = 'pending'
                ORDER BY chosen.precedence, chosen.share, chosen.position
                LIMIT (SELECT count(*) FROM seats) FOR NO KEY UPDATE OF jobs SKIP LOCKED
            ), seated AS (
                SELECT numbered.job_id, seats.seat, seats.claim_id, seats.worker
                FROM (SELECT job_id, row_number() OVER (ORDER BY precedence, share, position) AS seat FROM picked) AS numbered JOIN seats USING (seat)
            ), taken AS (
                UPDATE ONLY jobs SET state = 'running', attempt = attempt + 1, attempt_id = gen_random_uuid(), claim_id = seated.claim_id,
                    worker = seated.worker, started_at = coalesce(started_at, clock_timestamp()), progress = 0
                FROM seated WHERE jobs.job_id = seated.job_id RETURNING \(unsafe: JobColumns.list), seated.seat
            ), leased AS (
                INSERT INTO leases (job_id, attempt_id, claim_id, account_id, resource_class, worker, expires_at)
                SELECT job_id, attempt_id, claim_id, account_id, resource_class, worker, clock_timestamp() + \(lease) FROM taken
            )
            SELECT taken.*, walked.is_held_back, walked.last_account FROM (
                SELECT coalesce(bool_or(is_held_back), false) OR EXISTS (SELECT FROM candidates WHERE number > room) AS is_held_back,
                    min(account_id::text) FILTER (WHERE steps >= \(mostSteps))::uuid AS last_account FROM walk) AS walked
            LEFT JOIN taken ON true ORDER BY taken.seat
            """
    }
}

/// What one claim of a class found.
struct ClaimHaul: Sendable {
    var jobs: [Job] = []
    /// Whether an account had to be passed because it may run no more at once.
    var isHeldBack = false
    /// Where the walk was cut short.
    var lastAccount: AccountID?

    init(_ rows: [PostgresRow]) throws {
        for row in rows {
            isHeldBack = try row.column("is_held_back")
            lastAccount = try row.column("last_account")
            if try row.column(0, as: JobID?.self) != nil { jobs.append(try JobColumns.job(row)) }
        }
    }
}
