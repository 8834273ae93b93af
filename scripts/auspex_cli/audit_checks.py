"""What no single service can see: whether the books of all services agree. Each query gives a line for each fault, and none when all is well.

What is younger than the grace period may still be on its way (an outbox, a queue, a retry): it is not judged yet.
"""

from dataclasses import dataclass

from .servers.postgres import PostgresServer

GRACE = "interval '60 seconds'"
# A restarted broker or database may hold an event back for as long as the retry ladder's first steps take.
SENT_WITHIN = "interval '60 seconds'"

# The closes that marketdata announced, a line a bar, and the times in which a schedule waited for bars.
CLOSES = """SELECT bar ->> 'symbol' AS instrument, (data ->> 'interval_seconds')::bigint AS seconds,
                    (data ->> 'close_at')::timestamptz AS close_at, (data ->> 'known_at')::timestamptz AS known_at, appended_at
                FROM (SELECT convert_from(envelope, 'UTF8')::jsonb -> 'data' AS data, appended_at FROM marketdata.outbox
                      WHERE type = 'marketdata.bars.closed.v1') AS announced
                CROSS JOIN LATERAL jsonb_array_elements(data -> 'bars') AS bar"""
ERAS = """SELECT schedule_id, from_at, to_at, cadence ->> 'instrument' AS instrument,
                    left(cadence ->> 'interval', -1)::bigint * CASE right(cadence ->> 'interval', 1)
                        WHEN 's' THEN 1 WHEN 'm' THEN 60 WHEN 'h' THEN 3600 WHEN 'd' THEN 86400 WHEN 'w' THEN 604800 END AS seconds
                FROM scheduler.schedule_eras WHERE cadence ->> 'kind' = 'bar_close'"""
# Sent events stay in an outbox for a day; what is older may have lost its announcement.
ANNOUNCED_FOR = "interval '20 hours'"


@dataclass(frozen=True)
class Check:
    name: str
    sql: str

    def faults(self, server: PostgresServer) -> list[str]:
        text = server.run_sql(f"BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;\n{self.sql};\nCOMMIT;", "auspex")
        return [line for line in text.splitlines() if line]


CHECKS = [
    Check(
        "every ended run of a signal was heard by signals, once",
        f"""SELECT 'job ' || job.job_id || ' ended as ' || job.state || ' but signals has no run of it'
            FROM scheduler.jobs AS job LEFT JOIN signals.runs AS run ON run.job_id = job.job_id
            WHERE job.kind = 'signal_run' AND job.state IN ('completed', 'failed') AND run.job_id IS NULL
              AND job.completed_at < clock_timestamp() - {GRACE}""",
    ),
    Check(
        "every recorded run belongs to a job that completed",
        """SELECT 'run ' || run.job_id || ' is recorded, but its job is ' || coalesce(job.state, 'not there')
           FROM signals.runs AS run LEFT JOIN scheduler.jobs AS job ON job.job_id = run.job_id
           WHERE run.outcome = 'recorded' AND job.state IS DISTINCT FROM 'completed'""",
    ),
    Check(
        "the ledger holds exactly the rows that the executor reported",
        """SELECT 'job ' || job.job_id || ' reported ' || jsonb_array_length(job.result -> 'rows') || ' rows, the ledger holds ' || count(prediction.seq)
           FROM scheduler.jobs AS job
           JOIN signals.runs AS run ON run.job_id = job.job_id AND run.outcome = 'recorded'
           LEFT JOIN signals.predictions AS prediction ON prediction.job_id = job.job_id
           WHERE job.kind = 'signal_run' AND jsonb_typeof(job.result -> 'rows') = 'array'
           GROUP BY job.job_id, job.result HAVING count(prediction.seq) <> jsonb_array_length(job.result -> 'rows')""",
    ),
    Check(
        "every prediction comes from a recorded run of an occurrence",
        """SELECT 'prediction ' || prediction.signal_id || ' seq ' || prediction.seq || ' has no occurrence'
           FROM signals.predictions AS prediction
           LEFT JOIN scheduler.all_occurrences AS occurrence ON occurrence.job_id = prediction.job_id
           WHERE occurrence.occurrence_id IS NULL""",
    ),
    Check(
        "no occurrence put its rows into the ledger twice",
        """SELECT 'occurrence ' || occurrence_id || ' was recorded by ' || count(*) || ' jobs'
           FROM signals.runs WHERE outcome = 'recorded' AND occurrence_id IS NOT NULL GROUP BY occurrence_id HAVING count(*) > 1""",
    ),
    Check(
        "every job that runs has a lease, and no lease is left of an ended one",
        f"""SELECT 'job ' || job.job_id || ' runs without a lease' FROM scheduler.jobs AS job
            LEFT JOIN scheduler.leases AS lease ON lease.job_id = job.job_id AND lease.attempt_id = job.attempt_id
            WHERE job.state = 'running' AND lease.job_id IS NULL
            UNION ALL
            SELECT 'job ' || lease.job_id || ' is ' || coalesce(job.state, 'not there') || ' but leased by ' || lease.worker
            FROM scheduler.leases AS lease LEFT JOIN scheduler.jobs AS job ON job.job_id = lease.job_id
            WHERE job.state IS DISTINCT FROM 'running'
            UNION ALL
            SELECT 'job ' || lease.job_id || ': the lease of ' || lease.worker || ' ran out and nobody took it back'
            FROM scheduler.leases AS lease WHERE lease.expires_at < clock_timestamp() - {GRACE}""",
    ),
    Check(
        "every close of a bar that marketdata announced has an outcome for each schedule that waited for it",
        # What was known before an era began was never due. An era's last closes and its end may cross on their way, so they are not judged.
        f"""WITH closes AS ({CLOSES}), eras AS ({ERAS})
            SELECT 'schedule ' || schedule_id || ' has nothing for the bar of ' || instrument || ' that ended at ' || close_at
            FROM closes JOIN eras USING (instrument, seconds)
            WHERE appended_at < clock_timestamp() - {GRACE} AND known_at > from_at AND known_at <= coalesce(to_at - {GRACE}, 'infinity')
              AND NOT EXISTS (SELECT FROM scheduler.all_occurrences AS occurrence
                  WHERE occurrence.schedule_id = eras.schedule_id AND bar_instrument = instrument AND bar_end = close_at)""",
    ),
    Check(
        "no schedule that waits for bars has an occurrence that no bar asked for",
        f"""WITH closes AS ({CLOSES}), eras AS ({ERAS})
            SELECT 'occurrence ' || occurrence_id || ' of schedule ' || schedule_id || ' is about the bar of ' || bar_instrument || ' that ended at ' || bar_end
                || ', whose close nobody announced'
            FROM scheduler.all_occurrences WHERE bar_end IS NOT NULL AND reason IS DISTINCT FROM 'no_close_heard' AND made_at > clock_timestamp() - {ANNOUNCED_FOR}
              AND NOT EXISTS (SELECT FROM closes WHERE instrument = bar_instrument AND close_at = bar_end)
            UNION ALL
            SELECT 'occurrence ' || occurrence_id || ' of schedule ' || schedule_id || ', due at ' || due_at || ', is about no bar'
            FROM scheduler.all_occurrences JOIN eras USING (schedule_id)
            WHERE bar_end IS NULL AND due_at > from_at AND due_at <= coalesce(to_at, 'infinity')""",
    ),
    *(
        Check(
            f"the outbox of {schema} is drained",
            f"""SELECT 'event ' || id || ' ' || type || ' of ' || appended_at || ' is unsent after ' || attempts || ' attempts' || coalesce(': ' || last_error, '')
                FROM {schema}.outbox WHERE sent_at IS NULL AND appended_at < clock_timestamp() - {SENT_WITHIN}""",
        )
        for schema in ("auth", "signals", "scheduler", "marketdata")
    ),
    Check(
        "what the scheduler counts as recorded is what signals recorded",
        f"""SELECT 'occurrence ' || occurrence.occurrence_id || ' of job ' || occurrence.job_id || ' is recorded, the scheduler has not heard it'
            FROM scheduler.all_occurrences AS occurrence JOIN signals.runs AS run ON run.job_id = occurrence.job_id AND run.outcome = 'recorded'
            WHERE occurrence.recorded_at IS NULL AND run.ended_at < clock_timestamp() - {GRACE}
            UNION ALL
            SELECT 'occurrence ' || occurrence.occurrence_id || ' counts as recorded, signals has no such run'
            FROM scheduler.all_occurrences AS occurrence LEFT JOIN signals.runs AS run ON run.job_id = occurrence.job_id AND run.outcome = 'recorded'
            WHERE occurrence.recorded_at IS NOT NULL AND run.job_id IS NULL""",
    ),
]
