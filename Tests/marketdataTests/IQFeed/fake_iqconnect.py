"""A stand-in for DTN's client program: the admin and level 1 doors, in a process of its own that tests can kill and stop.

usage: fake_iqconnect.py ADMIN_PORT LEVEL1_PORT RECORD [fork]

It appends what happens to the file RECORD, one JSON object a line: its start with its arguments and environment, and each line that it is sent at the
admin door. It is connected once it has a login and a password and was told to connect. With `fork` it goes on in a child and ends well itself.
"""

import json
import os
import selectors
import socket
import sys

ADMIN, LEVEL1, RECORD = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
STATS = "S,STATS,66.112.156.228,60002,1300,0,2,1,0,0,Mar 26 09:30AM,Mar 26 09:30AM,{},6.2.0.25,\"490914\",0,0.0,0.0,0.08,0.08,0.08,\r\n"


def record(**entry):
    with open(RECORD, "a") as file:
        file.write(json.dumps({"pid": os.getpid(), **entry}) + "\n")


def listen(port):
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(("127.0.0.1", port))
    server.listen()
    return server


if sys.argv[4:] == ["fork"] and os.fork():
    os._exit(0)

selector = selectors.DefaultSelector()
doors = {listen(ADMIN): "admin", listen(LEVEL1): "level1"}
for server in doors:
    selector.register(server, selectors.EVENT_READ)
clients, told = {}, set()
with open(f"/proc/{os.getpid()}/cmdline", "rb") as own, open(f"/proc/{os.getpid()}/environ", "rb") as variables:
    record(started=own.read().decode(errors="replace"), environment=variables.read().decode(errors="replace"))


def answer(client, door, line):
    if line.startswith("S,SET PROTOCOL,"):
        return client.sendall(line.replace("SET", "CURRENT", 1).encode() + b"\r\n")
    if door == "admin":
        record(admin=line)
        words = line.split(",")
        if len(words) > 1:
            told.add(words[1])
        if len(words) > 2 and words[1] in ("SET LOGINID", "SET PASSWORD"):
            client.sendall(line.replace("SET", "CURRENT", 1).encode() + b"\r\n")


while True:
    for key, _ in selector.select(timeout=0.05):
        if key.fileobj in doors:
            client, _ = key.fileobj.accept()
            clients[client] = (doors[key.fileobj], bytearray())
            selector.register(client, selectors.EVENT_READ)
            continue
        client = key.fileobj
        door, pending = clients[client]
        try:
            data = client.recv(65536)
        except OSError:
            data = b""
        if not data:
            selector.unregister(client)
            del clients[client]
            client.close()
            continue
        pending += data
        while b"\r\n" in pending:
            line, _, rest = bytes(pending).partition(b"\r\n")
            pending[:] = rest
            answer(client, door, line.decode())
    connected = {"SET LOGINID", "SET PASSWORD", "CONNECT"} <= told
    for client, (door, _) in list(clients.items()):
        text = STATS.format("Connected" if connected else "Not Connected") if door == "admin" else "T,20210326 09:30:00\r\n"
        try:
            client.sendall(text.encode())
        except OSError:
            pass
