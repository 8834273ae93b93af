"""Workers that fall silent: claims whose answer is lost, and executors that stand still past their leases and then go on."""

import os
import signal
import unittest
import uuid

from auspex_demo.main_job import until
from doors import ServiceDoor
from faulted import FaultCase

PATIENCE = 150


class SilentWorkers(FaultCase):
    """All in one, because every lease takes half a minute to run out: the executors stand still, so nobody else claims meanwhile."""

    def setUp(self):
        layout, port = self.platform.layout, self.platform.deployment.ports.internal("scheduler")
        self.signals = ServiceDoor(layout.secrets, "signals", "scheduler", port)
        self.executor = ServiceDoor(layout.secrets, "executor", "scheduler", port)

    def test_what_they_held_is_run_once(self):
        frozen, run = self._freeze_executors_in_a_run()
        try:
            asked_again, forgotten = self._lose_two_answers()
            for job, what in ((forgotten["job_id"], "the forgotten job"), (run["job_id"], "the frozen run")):
                until(lambda: self._state(job)["state"] == "pending", PATIENCE, f"{what} being taken back", 0.5)
            self._say_too_late(forgotten)
        finally:
            self._signal(frozen, signal.SIGCONT)
        self.assertEqual(self._state(asked_again)["attempt"], 1)
        done = until(lambda: (found := self._state(forgotten["job_id"]))["state"] == "completed" and found, PATIENCE, "the forgotten job's end", 0.5)
        self.assertEqual(done["attempt"], 2)
        self.assertNotEqual(done.get("result"), {"said": "too late"})
        self.ended_once(run)
        self.goes_on()
        self.audited()

    def _freeze_executors_in_a_run(self) -> tuple[list[int], dict]:
        """SIGSTOP to all executors; tried again with the next run when the one that was seen had just ended."""
        for _ in range(10):
            run = self.job.fresh_run(self.cast)
            frozen = [self.control.status()[name]["pid"] for name in self.names("executor")]
            self._signal(frozen, signal.SIGSTOP)
            # What they sent before they stood still is still being answered: a second question is behind it.
            if all(self._state(run["job_id"])["state"] == "running" for _ in range(3)):
                return frozen, run
            self._signal(frozen, signal.SIGCONT)
        self.fail("no run could be caught")

    def _signal(self, pids: list[int], number: int) -> None:
        for pid in pids:
            os.kill(pid, number)

    def _state(self, job_id: str) -> dict:
        return self.signals.call("GET", f"/internal/v1/jobs/{job_id}")

    def _lose_two_answers(self) -> tuple[str, dict]:
        """Two claims whose answers are thrown away: one is asked for again and its job ended, the other one never."""
        for _ in range(2):
            self.signals.call("POST", "/internal/v1/jobs", {
                "kind": "noop", "resource_class": "small", "account_id": self.cast.provider.account_id, "priority": "high", "spec": {},
                "idempotency_key": str(uuid.uuid4()), "max_attempts": 3})
        claim, never = self._claim_of_one(), self._claim_of_one()
        lost = self.executor.call("POST", "/internal/v1/jobs/claim", claim)["jobs"]
        again = self.executor.call("POST", "/internal/v1/jobs/claim", claim)["jobs"]
        identities = [[(job["job_id"], job["attempt_id"], job["attempt"]) for job in jobs] for jobs in (lost, again)]
        self.assertEqual(len(lost), 1)
        self.assertEqual(identities[0], identities[1], "the same claim gives the same jobs")
        for _ in range(2):
            self.assertEqual(self._finish(again[0], {"said": "in time"}), "accepted")
        forgotten, = self.executor.call("POST", "/internal/v1/jobs/claim", never)["jobs"]
        self.assertNotEqual(forgotten["job_id"], again[0]["job_id"])
        return again[0]["job_id"], forgotten

    @staticmethod
    def _claim_of_one() -> dict:
        return {"claim_id": str(uuid.uuid4()), "worker": "lost", "classes": [{"class": "small", "slots": 1}]}

    def _finish(self, job: dict, result: dict) -> str:
        answer = self.executor.call("POST", "/internal/v1/jobs/finish", {
            "worker": "lost", "finished": [{
                "job_id": job["job_id"], "attempt_id": job["attempt_id"], "outcome": "completed", "result": result, "cpu_seconds": 0,
                "memory_peak_bytes": 0, "log_truncated": False}]})
        return answer["finished"][0]["state"]

    def _say_too_late(self, job: dict) -> None:
        """A report for an attempt that was taken back changes nothing, and a renewal is told so."""
        lease = {"job_id": job["job_id"], "attempt_id": job["attempt_id"]}
        self.assertEqual(self._finish(job, {"said": "too late"}), "stale")
        renewed = self.executor.call("POST", "/internal/v1/jobs/renew", {"worker": "lost", "leases": [lease]})
        self.assertEqual(renewed["leases"][0]["state"], "lost")
        self.assertEqual(self._state(job["job_id"])["state"], "pending")


if __name__ == "__main__":
    unittest.main()
