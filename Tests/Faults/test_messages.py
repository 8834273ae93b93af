"""Messages that come twice, in any order, or that nobody can handle."""

import json
import os
import random
import subprocess
import sys
import unittest
import uuid

from auspex_demo import signals
from auspex_demo.main_job import until
from doors import BrokerDoor
from faulted import FaultCase

SAYING = ("auth", "marketdata", "signals", "scheduler")
HEARING = {"signals": ("runs", "cadence", "accounts", "instruments"), "scheduler": ("signals", "bars", "runs")}
# Which consumer of which service has handled which event; and by what it has handled, what it hears.
HEARD = " UNION ALL ".join(f"SELECT '{service}' AS service, consumer, event_id FROM {service}.inbox" for service in HEARING)
SAID = " UNION ALL ".join(f"SELECT id, type, envelope FROM {service}.outbox WHERE sent_at IS NOT NULL" for service in SAYING)

# Of these there is one at least by the time that the first predictions are there.
TOLD = {
    "auth.account.created.v1", "marketdata.instrument.changed.v1", "marketdata.bars.closed.v1", "signals.signal.published.v1", "signals.signal.unpublished.v1",
    "scheduler.occurrence.settled.v1", "scheduler.job.completed.v1", "signals.run.recorded.v1",
}


class Messages(FaultCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.doors = {service: BrokerDoor(cls.platform.deployment.broker.url(service)) for service in SAYING}
        for door in cls.doors.values():
            cls.addClassCleanup(door.close)

    def test_every_event_again_twice_in_any_order_changes_nothing(self):
        seed = int(os.environ.get("AUSPEX_FAULTS_SEED", 0)) or random.randrange(1, 1 << 32)
        print(f"AUSPEX_FAULTS_SEED={seed} repeats this order", file=sys.stderr)
        chance = random.Random(seed)
        self._publish_and_withdraw()
        events = self._handled_events()
        self.assertEqual({kind for kind, _ in events.values()} & TOLD, TOLD)
        # The scheduler's mark at an occurrence comes by a later event than the one that recorded the run.
        unmarked = """SELECT count(*) FROM signals.runs AS run JOIN scheduler.occurrences AS occurrence USING (job_id)
            WHERE run.outcome = 'recorded' AND occurrence.recorded_at IS NULL"""
        until(lambda: self.sql(unmarked) == "0", 60, "every recorded run being marked at its occurrence", 0.2)
        before = self._effects(events)
        # For half of them the inbox is made to forget: then the handlers themselves must see that it is all old.
        forgotten = chance.sample(sorted(events), len(events) // 2)
        pairs = self._forget(forgotten)
        order = [event for event in sorted(events) for _ in range(2)]
        chance.shuffle(order)
        for event in order:
            kind, envelope = events[event]
            self.doors[kind.partition(".")[0]].publish("auspex.events", kind, envelope, event, kind)
        for door in self.doors.values():
            door.settle()
        until(lambda: self._remembered(forgotten) >= pairs, 120, "every event being handled once more", 0.5)
        until(lambda: not any(self._waiting().values()), 60, "the queues being empty", 0.5)
        self.goes_on()
        self.assertEqual(self._effects(events), before, f"seed {seed}")
        self.audited()

    def _publish_and_withdraw(self) -> None:
        """A signal whose first event must not bring it back to life when it comes once more after its last one."""
        provider = self.job.as_(self.cast.provider)
        one = signals.publish(provider, "momentum", "Withdrawn", "Published for a moment.", self.cast.markets[0])
        provider.post(f"/api/signals/{one.id}/unpublish")
        question = f"SELECT count(*) FROM scheduler.schedules WHERE signal_id = '{one.id}' AND state = 'unpublished' AND subject_version > 1"
        until(lambda: self.sql(question) == "1", 60, "the scheduler hearing of a withdrawal")
        until(lambda: self._withdrawn_events(one.id) == 2, 60, "both events of the withdrawn signal being handled")

    def _withdrawn_events(self, signal_id: str) -> int:
        events = [json.loads(envelope) for _, envelope in self._handled_events().values()]
        return sum(event["type"].startswith("signals.signal.") and event["subject"] == signal_id for event in events)

    def _handled_events(self) -> dict[str, tuple[str, bytes]]:
        """All events that every consumer has handled that hears them, by id, with their types."""
        text = self.sql(f"""
            WITH said AS ({SAID}), heard AS ({HEARD}),
                hears AS (SELECT DISTINCT service, consumer, type FROM heard JOIN said ON said.id = heard.event_id)
            SELECT id || ' ' || type || ' ' || encode(envelope, 'hex') FROM said
            WHERE type IN (SELECT type FROM hears) AND NOT EXISTS (
                SELECT FROM hears LEFT JOIN heard ON heard.service = hears.service AND heard.consumer = hears.consumer AND heard.event_id = said.id
                WHERE hears.type = said.type AND heard.event_id IS NULL)""")
        return {name: (kind, bytes.fromhex(envelope)) for name, kind, envelope in (line.split(" ") for line in text.splitlines())}

    def _forget(self, events: list[str]) -> int:
        names = ", ".join(f"'{event}'" for event in events)
        count = self._remembered(events)
        for service in HEARING:
            self.sql(f"DELETE FROM {service}.inbox WHERE event_id IN ({names})")
        return count

    def _remembered(self, events: list[str]) -> int:
        names = ", ".join(f"'{event}'" for event in events)
        return int(self.sql(f"SELECT count(*) FROM ({HEARD}) AS heard WHERE event_id IN ({names})"))

    def _waiting(self) -> dict[str, int]:
        return {f"{service}.{name}": self.doors[service].count(f"{service}.{name}") for service, names in HEARING.items() for name in names}

    def _effects(self, events: dict[str, tuple[str, bytes]]) -> dict[str, str]:
        """What these events have brought about: rows that name their subjects, and events that name them as their cause."""
        jobs = {json.loads(envelope)["subject"] for kind, envelope in events.values() if kind == "scheduler.job.completed.v1"}
        those = ", ".join(f"'{job}'" for job in jobs)
        causes = ", ".join(f"'{event}'" for event in events)
        said = SAID.replace(" WHERE sent_at IS NOT NULL", "")
        questions = {
            "runs": f"SELECT runs::text FROM signals.runs WHERE job_id IN ({those})",
            "predictions": f"SELECT predictions::text FROM signals.predictions WHERE job_id IN ({those})",
            "jobs": f"SELECT jobs::text FROM scheduler.jobs WHERE job_id IN ({those})",
            "occurrences": f"SELECT occurrence_id || outcome || coalesce(recorded_at::text, '') FROM scheduler.occurrences WHERE job_id IN ({those})",
            "schedules": "SELECT schedule_id || state || subject_version FROM scheduler.schedules",
            "eras": "SELECT schedule_eras::text FROM scheduler.schedule_eras",
            "accounts": "SELECT accounts::text FROM signals.accounts",
            "instruments": "SELECT instruments::text FROM signals.instruments",
            "events they caused": f"SELECT id::text FROM ({said}) AS said WHERE convert_from(envelope, 'UTF8')::jsonb ->> 'causation_id' IN ({causes})",
        }
        return {
            name: self.sql(f"SELECT count(*) || ' ' || coalesce(md5(string_agg(line, E'\\n' ORDER BY line)), '') FROM ({question}) AS found (line)")
            for name, question in questions.items()
        }

    def test_poison_is_set_aside_shown_and_dropped_while_others_go_on(self):
        kind, bars = "scheduler.job.completed.v1", "marketdata.bars.closed.v1"
        real = json.loads(bytes.fromhex(self.sql(
            f"SELECT encode(envelope, 'hex') FROM scheduler.outbox WHERE type = '{kind}' AND sent_at IS NOT NULL ORDER BY id DESC LIMIT 1")))

        def changed(**fields) -> bytes:
            # A new id of the same age: the inbox must not take it for the real one.
            return json.dumps(real | {"id": real["id"][:24] + uuid.uuid4().hex[:12]} | fields).encode()

        poison = {
            "poison-bytes": (b"\xff\xfe not JSON", "not an event"),
            "poison-cut": (changed()[:-20], "not an event"),
            "poison-field": (json.dumps({name: value for name, value in real.items() if name != "subject_version"}).encode(), "not an event"),
            "poison-forged": (changed(producer="auth"), "auth cannot say"),
            "poison-name": (changed(type="scheduler.occurrence.settled.v1"), "it came as"),
            "poison-type": (changed(data=real["data"] | {"job_id": 7}), "does not fit: job_id"),
            "poison-data": (changed(data=[]), "does not fit"),
        }
        for name, (body, _) in poison.items():
            self.doors["scheduler"].publish("auspex.events", kind, body, name, kind)
        wrong = json.dumps({
            "id": str(uuid.uuid4()), "type": bars, "subject": "15s@x", "subject_version": 1, "occurred_at": real["occurred_at"],
            "recorded_at": real["recorded_at"], "producer": "marketdata", "data": {"interval_seconds": "fifteen"}}).encode()
        self.doors["marketdata"].publish("auspex.events", bars, wrong, "poison-bars", bars)
        for door in self.doors.values():
            door.settle()
        until(lambda: self._dead("signals", "runs") == len(poison) and self._dead("scheduler", "bars") == 1, 60, "the poison being set aside", 0.5)
        self.goes_on()
        shown = self._dead_command("signals", "show", "runs")
        for name, (_, reason) in poison.items():
            line = next((line for line in shown.splitlines() if line.startswith(name)), None)
            self.assertIsNotNone(line, shown)
            self.assertIn(reason, shown.partition(name)[2].splitlines()[1], shown)
        self.assertIn("poison-bars", self._dead_command("scheduler", "show", "bars"))
        self.assertEqual(self._dead_command("signals", "drop", "runs", "poison-cut").strip(), "1 dropped")
        self.assertNotIn("poison-cut", self._dead_command("signals", "show", "runs"))
        # What is poison stays poison when it is put back.
        self.assertEqual(self._dead_command("signals", "replay", "runs", "poison-type").strip(), "1 put back")
        until(lambda: self._dead("signals", "runs") == len(poison) - 1, 60, "the poison coming back", 0.5)
        self.assertEqual(self._dead_command("signals", "drop", "runs", "--all").strip(), f"{len(poison) - 1} dropped")
        self.assertEqual(self._dead_command("scheduler", "drop", "bars", "--all").strip(), "1 dropped")
        self.assertEqual((self._dead("signals", "runs"), self._dead("scheduler", "bars")), (0, 0))
        self.audited()

    def _dead(self, service: str, consumer: str) -> int:
        """What `dead list` says of one queue."""
        lines = [line.split("\t") for line in self._dead_command(service, "list").splitlines()]
        return next(int(count) for count, queue in lines if queue == f"{service}.{consumer}")

    def _dead_command(self, service: str, *words: str) -> str:
        result: subprocess.CompletedProcess = self.platform.command("dead", service, *words)
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        return result.stdout


if __name__ == "__main__":
    unittest.main()
