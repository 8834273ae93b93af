"""Waits for what becomes of jobs, woken by the notices that the scheduler sends through the database when jobs have changed."""

import asyncio

import asyncpg

CHANNEL = "scheduler_jobs_v1"


def until_jobs(stage, question: str, seconds: float, what: str) -> None:
    """Returns when the query, of one value, says true; ends the benchmark when that takes longer.

    All within one session of the database: a client for each look would take a part of the machine from what is measured.
    """
    try:
        asyncio.run(asyncio.wait_for(_until(stage.platform.deployment.postgres, question), seconds))
    except TimeoutError:
        raise SystemExit(f"{what} did not come within {seconds:.0f} s") from None


async def _until(postgres, question: str) -> None:
    news = asyncio.Event()
    connection = await asyncpg.connect(
        host="127.0.0.1", port=postgres.port, user="postgres", password=postgres.password, database="auspex", server_settings={"enable_seqscan": "off"})
    try:
        await connection.add_listener(CHANNEL, lambda *_: news.set())
        while not await connection.fetchval(question):
            await news.wait()
            news.clear()
    finally:
        await connection.close()
