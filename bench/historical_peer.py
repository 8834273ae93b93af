"""The peer of `historical`: charts as the spec's reference system answers them, with FastAPI, uvicorn and Redis.

Everything of a session lies in Redis under its token: the raw 1-second columns of each day, and for each exact request the resampled candles. A hit reads
the candles, takes the last 5,000 points, remembers what `request_id` stands for, and answers with orjson. A miss reads the raw days and resamples them by
numpy (the reference does it with Numba, after a warm-up that is not counted). One uvicorn process with uvloop and httptools; hiredis reads the replies.

    python historical_peer.py --redis URL --port PORT
"""

import argparse
import uuid

import numpy as np
import orjson
import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import Response

SESSION_SECONDS = 1800
POINTS = 5000
SECONDS = {"5s": 5, "15s": 15, "1m": 60, "5m": 300, "15m": 900, "1h": 3600}
NAMES = ("time", "open", "high", "low", "close", "volume")

app = FastAPI()
store: redis.Redis


def answer(value: dict) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


@app.get("/utils/session/initiate")
async def initiate() -> Response:
    token = uuid.uuid4().hex
    await store.set(f"session:{token}", 1, ex=SESSION_SECONDS)
    return answer({"session_token": token})


@app.post("/utils/session/heartbeat")
async def heartbeat(session_token: str) -> Response:
    if not await store.expire(f"session:{session_token}", SESSION_SECONDS):
        raise HTTPException(404, "no such session")
    return answer({"status": "ok"})


async def raw(symbol: str, start: str, end: str) -> np.ndarray:
    """The 1-second rows of the days, each a block of six float64 columns."""
    days = [day.astype(str) for day in np.arange(np.datetime64(start), np.datetime64(end) + 1)]
    blocks = await store.mget([f"raw:{symbol}:{day}" for day in days])
    return np.concatenate([np.frombuffer(block).reshape(6, -1) for block in blocks if block], axis=1)


def resample(rows: np.ndarray, seconds: int) -> list[dict]:
    times = rows[0] // seconds * seconds
    first = np.flatnonzero(np.concatenate([[True], times[1:] != times[:-1]]))
    last = np.concatenate([first[1:], [len(times)]]) - 1
    columns = (
        times[first].astype(np.int64), rows[1][first], np.maximum.reduceat(rows[2], first), np.minimum.reduceat(rows[3], first), rows[4][last],
        np.add.reduceat(rows[5], first))
    return [dict(zip(NAMES, row)) for row in zip(*(column.tolist() for column in columns))]


@app.get("/historical/")
async def historical(session_token: str, symbol: str, interval: str, start: str, end: str) -> Response:
    if not await store.exists(f"session:{session_token}"):
        raise HTTPException(401, "no such session")
    key = f"chart_data:{session_token}:{symbol}:{interval}:{start}_{end}"
    cached = await store.get(key)
    if cached is None:
        candles = resample(await raw(symbol, start, end), SECONDS[interval])
        await store.set(key, orjson.dumps(candles), ex=SESSION_SECONDS)
    else:
        candles = orjson.loads(cached)
    request_id = uuid.uuid4().hex
    await store.set(f"request:{session_token}:{request_id}", key, ex=SESSION_SECONDS)
    shown = candles[-POINTS:]
    return answer({"request_id": request_id, "candles": shown, "count": len(shown), "has_more": len(candles) > len(shown)})


@app.get("/historical/chunk")
async def chunk(session_token: str, request_id: str, offset: int, limit: int = POINTS) -> Response:
    key = await store.get(f"request:{session_token}:{request_id}")
    cached = await store.get(key) if key else None
    if cached is None:
        raise HTTPException(410, "request_expired")
    candles = orjson.loads(cached)
    return answer({"request_id": request_id, "candles": candles[max(0, offset - limit):offset]})


def main() -> None:
    global store
    parser = argparse.ArgumentParser()
    parser.add_argument("--redis", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    store = redis.from_url(options.redis)
    uvicorn.run(app, host="127.0.0.1", port=options.port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
