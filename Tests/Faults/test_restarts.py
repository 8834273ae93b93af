"""Processes that are killed or restarted while the main job runs."""

import signal
import unittest

from faulted import SERVICES, FaultCase


class Restarts(FaultCase):
    """In this order, because an interrupted run is given up only when its lease has run out: the others need not stand and wait for that."""

    interrupted: dict | None = None

    def test_1_kill_9_of_one_replica_of_everything_and_of_the_executors_in_a_run(self):
        besides = [self.names(service)[number % 2] for number, service in enumerate(SERVICES) if service != "executor"]
        Restarts.interrupted = self.job.kill_executor_in_a_run(self.cast, besides)
        self.goes_on()
        self.audited()

    def test_2_kill_9_of_each_service_whole(self):
        for service in SERVICES:
            with self.subTest(service):
                self.kill(self.names(service))
                self.goes_on()
        self.audited()

    def test_3_the_broker_restarts(self):
        self.kill(["broker"], signal.SIGTERM)
        self.goes_on()
        self.kill(["broker"])
        self.goes_on()
        self.audited()

    def test_4_redis_goes_away(self):
        wanted = self.control.wanted()
        self.without("redis")
        try:
            self.goes_on()
        finally:
            self.control.apply(wanted)
        self.platform.wait_ready()
        self.goes_on()
        self.audited()

    def test_5_postgres_restarts(self):
        self.kill(["postgres"], signal.SIGTERM)
        self.goes_on()
        self.kill(["postgres"])
        self.goes_on()
        self.audited()

    def test_6_the_run_that_was_interrupted_first_ended_once(self):
        self.assertIsNotNone(self.interrupted, "the first test did not interrupt a run")
        self.ended_once(self.interrupted)
        self.audited()


if __name__ == "__main__":
    unittest.main()
