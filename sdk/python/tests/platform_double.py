"""A small stand-in for a platform: answers what a test tells it to, over real sockets."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class PlatformDouble:
    """``answer(request)`` gives ``(status, document)`` or ``(status, document, headers)``, or None to hang up without an answer."""

    def __init__(self, answer):
        self.requests = []
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # One packet an answer: two would wait for each other's acknowledgement.
            wbufsize = -1

            def handle_any(self):
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                request = {
                    "method": self.command, "path": self.path, "headers": {name.lower(): value for name, value in self.headers.items()}, "body": body,
                    "json": json.loads(body) if body and "json" in self.headers.get("Content-Type", "") else None,
                }
                double.requests.append(request)
                result = answer(request)
                if result is None:
                    self.close_connection = True
                    self.connection.close()
                    return
                status, document, *rest = result
                headers = dict(rest[0]) if rest else {}
                data = document if isinstance(document, bytes) else b"" if document is None else json.dumps(document).encode()
                self.send_response_only(status)
                self.send_header("Date", headers.pop("Date", None) or self.date_time_string())
                self.send_header("Content-Type", headers.pop("Content-Type", "application/json" if status < 400 else "application/problem+json"))
                if headers.pop("chunked", False):
                    self.send_header("Transfer-Encoding", "chunked")
                    self.end_headers()
                    for start in range(0, len(data), 7):
                        part = data[start:start + 7]
                        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                    self.wfile.write(b"0\r\n\r\n")
                else:
                    if status != 204:
                        self.send_header("Content-Length", str(len(data)))
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                self.wfile.flush()

            do_GET = do_POST = do_PUT = do_DELETE = handle_any

            def log_message(self, *arguments):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def row(seq, signal_id="s1", **changes):
    """A row as the platform writes it."""
    return {
        "signal_id": signal_id, "seq": seq, "made_at": f"2016-10-08T12:01:{seq % 60:02d}.000001Z", "instrument": "BTCUSD", "kind": "price", "value": "616.530",
        "due_at": "2016-10-08T12:01:00.000000Z", "as_of": "2016-10-08T12:01:00.000000Z", "target_from": "2016-10-08T12:01:00.000000Z",
        "target_to": "2016-10-08T12:02:00.000000Z", "reference_price": "616.5", "feed": "live", "late": False, "leaf": "00" * 32, "link": "11" * 32,
        "seal": None, "outcome": None, **changes,
    }


def page(rows, seq=None, **changes):
    """A page of rows as the platform writes it."""
    return {
        "signal_id": "s1", "items": rows, "seq": seq if seq is not None else max([item["seq"] for item in rows], default=0), "link": "11" * 32, "root": None,
        "ledger_epoch": 1, "signal_state": "published", "last_due_at": "2016-10-08T12:01:00.000000Z", "last_outcome": "fired", "last_reason": None,
        "next_due_at": None, "feed": "live", "next_cursor": None, **changes,
    }
