"""The socket at descriptor 4 of a run in the sandbox: small JSON messages, each whole, some with a sealed file.

``_socket`` instead of ``socket``, which costs more to import than a plain run takes.
"""

from . import _wire

_UNIX, _WHOLE_MESSAGES, _SOCKET_LEVEL, _DESCRIPTORS = 1, 5, 1, 1
LONGEST_MESSAGE = 262144
#: The largest file that is read and not mapped, in bytes.
LARGEST_READ = 131072


class Channel:
    """Our end: what the executor says, and what it is asked."""

    def __init__(self, descriptor):
        import _socket

        self._socket = _socket.socket(_UNIX, _WHOLE_MESSAGES, 0, descriptor)

    def send(self, message):
        """Says something; raises OSError when nobody listens any more."""
        self._socket.send(_wire.dumps(message).encode())

    def close(self):
        """Says and hears nothing more."""
        self._socket.close()

    def receive(self):
        """The next message and the descriptor that came with it, or None; raises EOFError at the end."""
        # Room for one descriptor: a header of two words and a half, rounded up.
        data, ancillary, _, _ = self._socket.recvmsg(LONGEST_MESSAGE, 32)
        if not data:
            raise EOFError("the executor has closed the channel")
        file = None
        for level, kind, content in ancillary:
            if level == _SOCKET_LEVEL and kind == _DESCRIPTORS:
                import sys

                file = int.from_bytes(content[:4], sys.byteorder)
        return _wire.loads(data.decode()), file


def read_file(descriptor):
    """The file's bytes, read-only; the descriptor is closed. What is large is mapped, what is small is read: the import of ``mmap`` costs more."""
    import posix

    try:
        size = posix.fstat(descriptor).st_size
        if size <= LARGEST_READ:
            data = posix.pread(descriptor, size, 0)
            if len(data) == size:
                return data
        import mmap

        return mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)
    finally:
        posix.close(descriptor)
