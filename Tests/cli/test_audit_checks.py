"""The cross-service audit: its queries over books in which something is missing."""

import json
import os
import shutil
import subprocess
import unittest
import uuid
from pathlib import Path

from auspex_cli.audit_checks import CHECKS

URL = os.environ.get("AUSPEX_TEST_POSTGRES_URL")
MIGRATION = Path(__file__).parents[2] / "services/scheduler/Migrations/v001_create_schedules.sql"


def psql(url: str, text: str) -> list[str]:
    result = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", url], input=text, capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(result.stderr)
    return result.stdout.splitlines()


@unittest.skipUnless(URL and shutil.which("psql"), "needs AUSPEX_TEST_POSTGRES_URL and psql")
class BarCloses(unittest.TestCase):
    def setUp(self):
        self.database = f"audit_{uuid.uuid4().hex}"
        psql(URL, f"CREATE DATABASE {self.database}")
        self.url = f"{URL.rsplit('/', 1)[0]}/{self.database}"
        self.addCleanup(lambda: psql(URL, f"DROP DATABASE {self.database} WITH (FORCE)"))
        tables = "\n".join(line for line in MIGRATION.read_text().splitlines() if not line.startswith("GRANT"))
        psql(self.url, f"""CREATE SCHEMA marketdata; CREATE SCHEMA scheduler;
            CREATE TABLE marketdata.outbox (type text, envelope bytea, appended_at timestamptz DEFAULT now() - interval '1 hour');
            SET search_path TO scheduler; {tables}
            CREATE VIEW all_occurrences AS SELECT * FROM occurrences""")
        self.schedule = str(uuid.uuid4())
        psql(self.url, f"""INSERT INTO scheduler.schedules (schedule_id, state, signal_id, account_id, subject_version, publication, cursor_at)
                VALUES ('{self.schedule}', 'active', gen_random_uuid(), gen_random_uuid(), 1, '{{}}', '2026-01-01T00:00:00Z');
            INSERT INTO scheduler.schedule_eras (schedule_id, from_at, to_at, cadence)
                VALUES ('{self.schedule}', '2026-01-01T00:01:00Z', '2026-01-01T01:00:00Z',
                    '{{"kind": "bar_close", "instrument": "BTCUSD@replay-2", "interval": "1m"}}')""")

    def announce(self, instrument: str, seconds: int, close: str, known: str) -> None:
        body = {"type": "marketdata.bars.closed.v1",
                "data": {"interval_seconds": seconds, "close_at": close, "known_at": known, "bars": [{"symbol": instrument, "bar": None}]}}
        psql(self.url, f"""INSERT INTO marketdata.outbox (type, envelope)
            VALUES ('marketdata.bars.closed.v1', convert_to('{json.dumps(body)}', 'UTF8'))""")

    def occur(self, instrument: str, bar_end: str, due: str) -> None:
        psql(self.url, f"""INSERT INTO scheduler.occurrences
                (occurrence_id, outcome, schedule_id, signal_id, account_id, due_at, as_of, bar_instrument, bar_end, made_at)
            VALUES (gen_random_uuid(), 'skipped', '{self.schedule}', gen_random_uuid(), gen_random_uuid(), '{due}', '{due}', '{instrument}',
                '{bar_end}', now())""")

    def faults(self, name: str = "every close of a bar") -> list[str]:
        check = next(check for check in CHECKS if check.name.startswith(name))
        return psql(self.url, check.sql)

    def test_a_lost_close_is_found_and_nothing_else(self):
        self.announce("BTCUSD@replay-2", 60, "2020-05-05T10:00:00Z", "2026-01-01T00:00:59Z")  # before the era
        self.announce("BTCUSD@replay-1", 60, "2020-05-05T10:01:00Z", "2026-01-01T00:02:00Z")  # another's bar
        self.announce("BTCUSD@replay-2", 300, "2020-05-05T10:05:00Z", "2026-01-01T00:02:00Z")  # another interval
        self.announce("BTCUSD@replay-2", 60, "2020-05-05T12:00:00Z", "2026-01-01T01:00:01Z")  # after the era
        self.announce("BTCUSD@replay-2", 60, "2020-05-05T10:02:00Z", "2026-01-01T00:03:00Z")
        self.announce("BTCUSD@replay-2", 60, "2020-05-05T10:03:00Z", "2026-01-01T00:04:00Z")
        self.occur("BTCUSD@replay-2", "2020-05-05T10:02:00Z", "2026-01-01T00:03:00Z")
        # The same bar of the replay before is no outcome of this one's.
        self.occur("BTCUSD@replay-1", "2020-05-05T10:03:00Z", "2026-01-01T00:00:30Z")
        found = self.faults()
        self.assertEqual(len(found), 1, found)
        self.assertIn("2020-05-05 10:03:00", found[0])
        self.occur("BTCUSD@replay-2", "2020-05-05T10:03:00Z", "2026-01-01T00:04:00Z")
        self.assertEqual(self.faults(), [])

    def test_an_occurrence_that_no_bar_asked_for_is_found_and_nothing_else(self):
        name = "no schedule that waits for bars"
        self.announce("BTCUSD@replay-2", 60, "2020-05-05T10:02:00Z", "2026-01-01T00:03:00Z")
        self.occur("BTCUSD@replay-2", "2020-05-05T10:02:00Z", "2026-01-01T00:03:00Z")
        self.assertEqual(self.faults(name), [])
        self.occur("BTCUSD@replay-2", "2020-05-05T10:02:00.000001Z", "2026-01-01T00:03:01Z")
        found = self.faults(name)
        self.assertEqual(len(found), 1, found)
        self.assertIn("10:02:00.000001", found[0])
        # One that says so itself is no fault.
        psql(self.url, "UPDATE scheduler.occurrences SET outcome = 'missed', reason = 'no_close_heard' WHERE bar_end > '2020-05-05T10:02:00Z'")
        self.assertEqual(self.faults(name), [])
        psql(self.url, "UPDATE scheduler.occurrences SET bar_instrument = NULL, bar_end = NULL WHERE bar_end > '2020-05-05T10:02:00Z'")
        found = self.faults(name)
        self.assertEqual(len(found), 1, found)
        self.assertIn("is about no bar", found[0])
        # Made so long ago that the announcement has been cleaned away, or before the schedule waited for bars: nothing to hold it against.
        psql(self.url, """UPDATE scheduler.occurrences SET due_at = '2026-01-01T00:00:30Z' WHERE bar_end IS NULL;
            UPDATE scheduler.occurrences SET made_at = now() - interval '2 days'; DELETE FROM marketdata.outbox""")
        self.assertEqual(self.faults(name), [])


if __name__ == "__main__":
    unittest.main()
