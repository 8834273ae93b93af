"""Listens to one stream with many sockets and times, at each, how long after its moment an event's last byte was there.

`listeners.py PORT PATH LISTENERS EVENTS`, with an API key in AUSPEX_BENCH_KEY; prints one JSON line. An event's id is the moment that was stamped inside the
transaction which made it known, by the clock of the same machine: the commit counts too.
"""

import gc
import json
import os
import re
import resource
import select
import socket
import sys
import time

_IDS = re.compile(rb"^id: (\d+)$", re.M)


def listen(port: int, path: str, key: str, count: int, events: int) -> dict:
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nX-API-Key: {key}\r\n\r\n".encode()
    poll, receive = select.epoll(), {}
    sockets = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", port))
        one.sendall(request)
        poll.register(one.fileno(), select.EPOLLIN)
        receive[one.fileno()] = one.recv
        sockets.append(one)
    read = []
    ended = 0
    deadline = time.monotonic() + 120
    # What was read is looked at afterwards: until then it is one call of the kernel and one note for each.
    gc.disable()
    clock = time.time_ns
    while ended < count * events and time.monotonic() < deadline:
        for descriptor, _ in poll.poll(1.0):
            data = receive[descriptor](65536)
            read.append((clock(), descriptor, data))
            if data.startswith(b"id: "):
                ended += 1
            elif not data or data.startswith(b"HTTP/1.1 ") and not data.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"no stream: {data.decode()[:300]}")
    begun = set()
    took: dict[int, list[float]] = {}
    for moment, descriptor, data in read:
        for found in _IDS.findall(data):
            # The first is what was known when it began.
            if descriptor in begun:
                took.setdefault(int(found), []).append((moment / 1e3 - int(found)) / 1e3)
            begun.add(descriptor)
    # The first ones find a service that still answers the thousand that have just come.
    whole = [sorted(took[moment]) for moment in sorted(took) if len(took[moment]) == count][5:]
    if not whole:
        raise SystemExit("no event has reached all listeners")
    every = sorted(time for times in whole for time in times)
    last, first = sorted(times[-1] for times in whole), sorted(times[0] for times in whole)
    return {
        "events": len(whole), "p50": every[len(every) // 2], "p99": every[len(every) * 99 // 100], "max": every[-1],
        "slow": sum(times[-1] > 50 for times in whole), "first_p50": first[len(first) // 2], "last_p50": last[len(last) // 2], "last_p99": last[len(last) * 99 // 100],
    }


if __name__ == "__main__":
    print(json.dumps(listen(int(sys.argv[1]), sys.argv[2], os.environ["AUSPEX_BENCH_KEY"], int(sys.argv[3]), int(sys.argv[4]))))
