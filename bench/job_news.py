"""Waits for what becomes of jobs, woken by the notices that the scheduler sends through the database when jobs have changed."""

import asyncio

import asyncpg

CHANNEL = "scheduler_jobs_v1"
#: A job changes several times within milliseconds: a look at once would take a processor from what follows, and that is what is measured.
REST_SECONDS = 0.05


def until_jobs(stage, question: str, seconds: float, what: str, begin=None) -> None:
    """Returns when the query, of one value, says true; ends the benchmark when that takes longer.

    All within one session of the database: a client for each look would take a part of the machine from what is measured. What ``begin`` does comes when
    the session is there.
    """
    try:
        asyncio.run(asyncio.wait_for(_until(stage.platform.deployment.postgres, question, begin), seconds))
    except TimeoutError:
        raise SystemExit(f"{what} did not come within {seconds:.0f} s") from None


async def _until(postgres, question: str, begin) -> None:
    news = asyncio.Event()
    connection = await asyncpg.connect(
        host="127.0.0.1", port=postgres.port, user="postgres", password=postgres.password, database="auspex", server_settings={"enable_seqscan": "off"})
    try:
        await connection.add_listener(CHANNEL, lambda *_: news.set())
        if begin:
            await asyncio.sleep(REST_SECONDS)
            await asyncio.to_thread(begin)
            await news.wait()
        while True:
            await asyncio.sleep(REST_SECONDS)
            news.clear()
            if await connection.fetchval(question):
                return
            await news.wait()
    finally:
        await connection.close()
