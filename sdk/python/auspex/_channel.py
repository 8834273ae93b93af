"""The socket at descriptor 4 of a run in the sandbox: small JSON messages, each whole, some with a sealed file.

What comes without a file is read like any descriptor; the first message with one brings ``_socket``, which costs a tenth of a millisecond (``socket`` costs
more than a plain run takes).
"""

import sys

from . import _wire

_UNIX, _WHOLE_MESSAGES, _SOCKET_LEVEL, _DESCRIPTORS, _CUT = 1, 5, 1, 1, 32
#: In bytes. The kernel cuts what finds no room, and says so only to those who ask.
LONGEST_MESSAGE = 262144
#: What a frame stands behind in the start message, in bytes.
START_LENGTH = 64
#: The largest file that is read and not mapped, in bytes.
LARGEST_READ = 131072


class Channel:
    """Our end: what the executor says, and what it is asked."""

    def __init__(self, descriptor):
        self._descriptor = descriptor
        self._socket = None

    def send(self, message):
        """Says something; raises OSError when nobody listens any more."""
        import posix

        posix.write(self._descriptor, _wire.dumps(message).encode())

    def close(self):
        """Says and hears nothing more."""
        import posix

        descriptor, self._descriptor = self._descriptor, -1
        if self._socket is not None:
            self._socket.close()
        elif descriptor >= 0:
            posix.close(descriptor)

    def read(self):
        """The bytes of the next message, which has no file; raises EOFError at the end and ValueError for one that is too long."""
        import posix

        data = posix.read(self._descriptor, LONGEST_MESSAGE + 1)
        if not data:
            raise EOFError("the executor has closed the channel")
        if len(data) > LONGEST_MESSAGE:
            raise _too_long()
        return data

    def receive(self):
        """The next message and the descriptor that came with it, or None; raises as ``read`` does."""
        if self._descriptor < 0:
            raise OSError("the channel is closed")
        if self._socket is None:
            import _socket

            self._socket = _socket.socket(_UNIX, _WHOLE_MESSAGES, 0, self._descriptor)
        # Room for one descriptor: a header of two words and a half, rounded up.
        data, ancillary, flags, _ = self._socket.recvmsg(LONGEST_MESSAGE, 32)
        if not data:
            raise EOFError("the executor has closed the channel")
        file = None
        for level, kind, content in ancillary:
            if level == _SOCKET_LEVEL and kind == _DESCRIPTORS:
                file = int.from_bytes(content[:4], sys.byteorder)
        if flags & _CUT:
            if file is not None:
                import posix

                posix.close(file)
            raise _too_long()
        return _wire.loads(data.decode()), file

    def input(self):
        """Waits for the start message and gives the input frame that it brings, any buffer: a small one follows in it, a large one as a sealed file."""
        start = self.read()
        if len(start) > START_LENGTH:
            return memoryview(start)[START_LENGTH:]
        return read_file(self.receive()[1])


def _too_long():
    return ValueError(f"the executor sent a message longer than {LONGEST_MESSAGE} bytes")


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
