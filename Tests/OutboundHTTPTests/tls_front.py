"""Stands before a plain server and speaks TLS: `tls_front.py FOLDER PORT TESTS` makes authority and certificate in FOLDER and writes its own port to FOLDER/port; ends with the process TESTS."""

import os
import pathlib
import select
import socket
import ssl
import subprocess
import sys
import threading


def end_with_the_tests(parent: int) -> None:
    end = select.poll()
    end.register(os.pidfd_open(parent), select.POLLIN)
    end.poll()
    os._exit(0)


threading.Thread(target=end_with_the_tests, args=(int(sys.argv[3]),), daemon=True).start()
folder, target = pathlib.Path(sys.argv[1]), int(sys.argv[2])


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


new_key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
openssl("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=auspex test authority")
(folder / "names").write_text("subjectAltName=DNS:localhost\n")
openssl("req", *new_key[:-2], "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
openssl("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(folder / "server.pem", folder / "server.key")
listener = socket.create_server(("127.0.0.1", 0))


def copy(source: socket.socket, sink: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            sink.sendall(data)
    except OSError:
        pass
    finally:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def serve(plain: socket.socket) -> None:
    try:
        front = context.wrap_socket(plain, server_side=True)
    except (OSError, ssl.SSLError):
        return plain.close()
    back = socket.create_connection(("127.0.0.1", target))
    threading.Thread(target=copy, args=(back, front), daemon=True).start()
    copy(front, back)


(folder / "port.part").write_text(str(listener.getsockname()[1]))
(folder / "port.part").rename(folder / "port")
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
