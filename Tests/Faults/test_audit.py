"""What is planted into the books while all services stand still: the audit names each, and finds nothing once it is undone."""

import unittest
import uuid

from auspex_cli.audit_checks import CHECKS, GRACE
from auspex_demo.main_job import until
from faulted import FaultCase

TABLES = ("signals.predictions", "signals.runs", "scheduler.occurrences", "scheduler.jobs", "scheduler.leases", "signals.outbox", "scheduler.outbox",
          "auth.outbox", "marketdata.outbox")
# Not even constraints of ours stand in the way of who plants.
UNGUARDED = "SET session_replication_role = replica;"
# What is planted must not be excused by its age.
AGED = """UPDATE scheduler.jobs SET completed_at = completed_at - interval '5 minutes'; UPDATE signals.runs SET ended_at = ended_at - interval '5 minutes';
    UPDATE marketdata.outbox SET appended_at = appended_at - interval '5 minutes';"""


class Audit(FaultCase):
    def test_what_is_planted_is_named(self):
        wanted = self.control.wanted()
        self.audited()
        try:
            self._stand_still()
            self._plant_all()
        finally:
            self.sql("DROP SCHEMA IF EXISTS kept CASCADE")
            self.control.apply(wanted)
        self.platform.wait_ready()
        self.goes_on()
        self.audited()

    def _stand_still(self) -> None:
        """First nothing new comes, then what is there settles to the last event, then the services stop: the books lie still from here on."""
        self.without("executor", "marketdata", "gateway")
        until(self._all_settled, 120, "all that was said being heard", 0.5)
        self.without("auth", "signals", "scheduler")
        self.sql("CREATE SCHEMA kept; " + " ".join(f"CREATE TABLE kept.{table.replace('.', '_')} AS SELECT * FROM {table};" for table in TABLES))
        result = self.platform.command("audit")
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def _all_settled(self) -> bool:
        """No grace for anything."""
        return int(self.sql("SELECT count(*) FROM scheduler.leases")) == 0 and not any(
            self.sql(check.sql.replace(GRACE, "interval '0 seconds'")) for check in CHECKS)

    def plant(self, name: str, sql: str, *expected: str) -> None:
        """Plants, looks for lines of the audit that call it bad with these words, takes it away, and looks again."""
        with self.subTest(name):
            self.sql(UNGUARDED + AGED + sql)
            try:
                result = self.platform.command("audit")
            finally:
                self.sql(UNGUARDED + " ".join(
                    f"DELETE FROM {table}; INSERT INTO {table} SELECT * FROM kept.{table.replace('.', '_')};" for table in TABLES))
            self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
            bad = "\n".join(line for line in result.stdout.splitlines() if line.startswith("BAD"))
            for words in expected:
                self.assertIn(words, bad, result.stdout)
            again = self.platform.command("audit")
            self.assertEqual(again.returncode, 0, again.stdout + again.stderr)

    def _plant_all(self) -> None:
        which = self.cast.signals[0].id
        occurrence, job, seq = self.sql(f"""
            SELECT occurrence_id, job_id, seq FROM scheduler.occurrences JOIN signals.predictions USING (job_id)
            WHERE predictions.signal_id = '{which}' AND seq = 2""").split("|")
        new = str(uuid.uuid4())
        self.plant("a lost row of the ledger", f"DELETE FROM signals.predictions WHERE job_id = '{job}';", f"job {job} reported 1 rows", f"signal {which}")
        self.plant(
            "a doubled row of the ledger",
            f"""CREATE TEMP TABLE one AS SELECT * FROM signals.predictions WHERE job_id = '{job}';
                UPDATE one SET row = row + 1, seq = (SELECT max(seq) + 1 FROM signals.predictions WHERE signal_id = '{which}');
                INSERT INTO signals.predictions SELECT * FROM one;""",
            f"job {job} reported 1 rows", f"signal {which}")
        self.plant(
            "a changed byte of the ledger",
            f"UPDATE signals.predictions SET payload = replace(payload, '\"row\":\"0\"', '\"row\":\"1\"') WHERE job_id = '{job}';", f"{which}: ")
        self.plant(
            "a run that signals never heard of",
            f"DELETE FROM signals.predictions WHERE job_id = '{job}'; DELETE FROM signals.runs WHERE job_id = '{job}';",
            f"job {job} ended as completed but signals has no run of it")
        self.plant(
            "a run recorded twice",
            f"""CREATE TEMP TABLE one AS SELECT * FROM signals.runs WHERE job_id = '{job}'; UPDATE one SET job_id = '{new}';
                INSERT INTO signals.runs SELECT * FROM one;""",
            f"occurrence {occurrence} is recorded 2 times", f"run {new} is recorded, but its job is not there")
        self.plant(
            "a deleted occurrence", f"DELETE FROM scheduler.occurrences WHERE occurrence_id = '{occurrence}';",
            f"job {job} has no occurrence", "has nothing for the bar of", f"prediction {which} seq {seq} has no occurrence")
        again = f"""CREATE TEMP TABLE one AS SELECT * FROM scheduler.occurrences WHERE occurrence_id = '{occurrence}';
            UPDATE one SET occurrence_id = '{new}', due_at = due_at + interval '1 microsecond', bar_end = bar_end + interval '1 microsecond'"""
        insert = "; INSERT INTO scheduler.occurrences SELECT * FROM one;"
        self.plant("an occurrence twice", again + insert, f"job {job} belongs to 2 occurrences", f"occurrence {new} of schedule")
        self.plant(
            "an occurrence that nothing asked for", again + ", outcome = 'skipped', recorded_at = NULL, job_id = NULL" + insert,
            f"occurrence {new} of schedule")
        self.plant(
            "an occurrence with another outcome than its run",
            f"UPDATE scheduler.occurrences SET outcome = 'failed', recorded_at = NULL WHERE occurrence_id = '{occurrence}';",
            f"occurrence {occurrence} of job {job} is recorded, the scheduler has not heard it")
        self.plant(
            "an occurrence recorded without a run",
            f"DELETE FROM signals.predictions WHERE job_id = '{job}'; UPDATE signals.runs SET outcome = 'rejected' WHERE job_id = '{job}';",
            f"occurrence {occurrence} counts as recorded, signals has no such run")
        self.plant(
            "a lost job", f"DELETE FROM scheduler.jobs WHERE job_id = '{job}';",
            f"occurrence {occurrence} has no job", f"run {job} is recorded, but its job is not there")
        self.plant(
            "a job without an occurrence",
            f"""CREATE TEMP TABLE one AS SELECT * FROM scheduler.jobs WHERE job_id = '{job}';
                UPDATE one SET job_id = '{new}', idempotency_key = '{new}', occurrence_id = '{uuid.uuid4()}';
                INSERT INTO scheduler.jobs SELECT * FROM one;""",
            f"job {new} has no occurrence", f"job {new} ended as completed but signals has no run of it")
        self.plant(
            "a job that failed under a due time that fired",
            f"UPDATE scheduler.jobs SET state = 'failed', failure_kind = 'infra' WHERE job_id = '{job}';",
            f"occurrence {occurrence} is fired, its job {job} is failed", f"run {job} is recorded, but its job is failed")
        self.plant(
            "a lease without a running job",
            f"""INSERT INTO scheduler.leases (job_id, attempt_id, claim_id, account_id, resource_class, worker, expires_at)
                VALUES ('{job}', gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'signal', 'nobody', clock_timestamp() + interval '1 hour');""",
            f"lease of job {job} belongs to no running attempt", f"job {job} is completed but leased by nobody")
        self.plant(
            "a running job without a lease", f"UPDATE scheduler.jobs SET state = 'running', completed_at = NULL WHERE job_id = '{job}';",
            f"job {job} runs without a lease")
        unsent = {schema: self.sql(f"SELECT id FROM {schema}.outbox ORDER BY id LIMIT 1") for schema in ("auth", "signals", "scheduler", "marketdata")}
        late = "sent_at = NULL, appended_at = clock_timestamp() - interval '3 minutes'"
        self.plant(
            "events that nobody sent",
            " ".join(f"UPDATE {schema}.outbox SET {late} WHERE id = '{event}';" for schema, event in unsent.items()),
            *(f"event {event} " for event in unsent.values()))


if __name__ == "__main__":
    unittest.main()
