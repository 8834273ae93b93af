"""Listens to one stream with many sockets and times, at each, how long after its moment an event's last byte was there.

`listeners.py PORT PATH LISTENERS EVENTS`, with an API key in AUSPEX_BENCH_KEY; prints one JSON line. An event's id is the moment that was stamped inside the
transaction which made it known, by the clock of the same machine: the commit counts too. `listeners.py bare BYTES LISTENERS EVENTS` times the same of a loop
that does nothing but send so many bytes to all: what the machine takes for it.
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


def send_bare(listener: socket.socket, size: int, count: int, events: int) -> None:
    """Sends each event to all, stamped before the first: a child process."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    sends = []
    for _ in range(count):
        one, _ = listener.accept()
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not one.recv(4096).endswith(b"\r\n\r\n"):
            pass
        one.sendall(b"HTTP/1.1 200 OK\r\n\r\nid: 1\n\n")
        sends.append(one)
    gc.disable()
    for _ in range(events + 1):
        time.sleep(0.2)
        event = f"id: {time.time_ns() // 1000}\n".encode()
        event += b"data: " + b"x" * (size - len(event) - 8) + b"\n\n"
        for one in sends:
            one.send(event)


def bare(size: int, count: int, events: int) -> dict:
    listener = socket.create_server(("127.0.0.1", 0), backlog=count)
    if os.fork() == 0:
        send_bare(listener, size, count, events)
        os._exit(0)
    return listen(listener.getsockname()[1], "/", "", count, events)


if __name__ == "__main__":
    _, where, what, listeners, number = sys.argv
    if where == "bare":
        print(json.dumps(bare(int(what), int(listeners), int(number))))
    else:
        print(json.dumps(listen(int(where), what, os.environ["AUSPEX_BENCH_KEY"], int(listeners), int(number))))
