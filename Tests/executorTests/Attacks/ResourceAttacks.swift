import Contracts

@testable import executor

/// Using up what all runs share: processes, memory, disk, time.
extension Attack {
    private static let mebibyte = 1 << 20

    static let resources: [Attack] = [
        .program(
            "a fork bomb",
            """
            import os, signal
            def predict(context):
                count = 0
                while count < 100_000:
                    try:
                        if os.fork() == 0: signal.pause()
                        count += 1
                    except OSError:
                        raise SystemExit(f"{count} forks")
            """,
            ends: .failure([.exception], words: "forks")
        ),
        .program(
            "a fork bomb that doubles",
            """
            import os
            def predict(context):
                while True:
                    try: os.fork()
                    except OSError: os.sched_yield()
            """,
            ends: .failure([.timeLimit, .outOfMemory], words: "the run"),
            change: { $0.wallTime = .seconds(2) }
        ),
        .program(
            "as many threads as there are",
            """
            import threading
            def predict(context):
                threading.stack_size(65536)
                for count in range(10_000):
                    try: threading.Thread(target=threading.Event().wait, daemon=True).start()
                    except RuntimeError: raise SystemExit(f"threads: {count}") if count < 200 else RuntimeError("not stopped")
            """,
            ends: .failure([.exception], words: "threads: ")
        ),
        .program(
            "as many descriptors as there are",
            """
            import os
            def predict(context):
                count = 0
                while count < 100_000:
                    try: os.dup(0); count += 1
                    except OSError: raise SystemExit(f"descriptors: {count}") if count < 300 else RuntimeError("not stopped")
            """,
            ends: .failure([.exception], words: "descriptors: ")
        ),
        .program(
            "a memory bomb",
            "def predict(context):\n    hoard = []\n    while True: hoard.append(bytearray(16 << 20))\n",
            ends: .failure([.outOfMemory], words: "needs more"),
            change: { $0.memoryBytes = 256 * mebibyte }
        ),
        .program(
            "a memory bomb of ten processes",
            """
            import os, signal
            def predict(context):
                for _ in range(10):
                    if os.fork() == 0:
                        hoard = [bytearray(1 << 20) for _ in range(100)]
                        signal.pause()
                        os._exit(0)
                os.wait()
            """,
            ends: .failure([.outOfMemory], words: "needs more"),
            change: { $0.memoryBytes = 256 * mebibyte }
        ),
        .program(
            "eight gigabytes at once",
            """
            import mmap
            def predict(context):
                data = mmap.mmap(-1, 8 << 30)
                for offset in range(0, 8 << 30, 4096): data[offset] = 1
            """,
            ends: .failure([.outOfMemory, .exception], words: ""),
            change: { $0.memoryBytes = 256 * mebibyte }
        ),
        .program(
            "memory that is locked",
            """
            import ctypes, mmap
            def predict(context):
                data = mmap.mmap(-1, 1 << 20)
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.mlockall(3) == 0 or libc.mlock(ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(data))), 1 << 20) == 0: raise RuntimeError("locked")
            """,
            ends: .nothingGot
        ),
        .program(
            "one file as large as the disk",
            """
            def predict(context):
                written = 0
                with open("/tmp/large", "wb", buffering=0) as file:
                    try:
                        while True: written += file.write(bytes(1 << 20))
                    except OSError: pass
                if written > 65 << 20: raise RuntimeError(f"wrote {written}")
            """,
            ends: .nothingGot
        ),
        .program(
            "many files as large as the disk",
            """
            def fill(folder):
                written = 0
                for number in range(1000):
                    try:
                        with open(f"{folder}/{number}", "wb", buffering=0) as file:
                            for _ in range(16): written += file.write(bytes(1 << 20))
                    except OSError: return written
                raise RuntimeError("never full")
            def predict(context):
                total = fill("/tmp") + fill("/dev/shm")
                if total > 130 << 20: raise RuntimeError(f"wrote {total} bytes")
            """,
            ends: .nothingGot
        ),
        .program(
            "files without a byte, without end",
            """
            import os
            def predict(context):
                number = 0
                try:
                    while True:
                        os.close(os.open(f"/tmp/{number}", os.O_CREAT | os.O_WRONLY)); number += 1
                except OSError: raise SystemExit(f"files: {number}")
            """,
            ends: .failure([.outOfMemory, .exception, .timeLimit], words: ""),
            change: {
                $0.memoryBytes = 256 * mebibyte
                $0.wallTime = .seconds(30)
            }
        ),
        .program(
            "a loop without end",
            "def predict(context):\n    while True: pass\n",
            ends: .failure([.timeLimit], words: "longer than 1 s"),
            change: { $0.wallTime = .seconds(1) }
        ),
        .program(
            "a loop that ignores all signals",
            """
            import signal
            for number in range(1, 65):
                try: signal.signal(number, signal.SIG_IGN)
                except (OSError, ValueError): pass
            def predict(context):
                while True: pass
            """,
            ends: .failure([.timeLimit], words: "longer than 1 s"),
            change: { $0.wallTime = .seconds(1) }
        ),
        .program(
            "a sleep past the limit",
            "import signal\ndef predict(context):\n    signal.pause()\n",
            ends: .failure([.timeLimit], words: "longer than 1 s"),
            change: { $0.wallTime = .seconds(1) }
        ),
        .program(
            "no end of importing",
            "import signal\nsignal.pause()\ndef predict(context):\n    return None\n",
            ends: .failure([.timeLimit], words: "longer than 1 s"),
            change: { $0.wallTime = .seconds(1) }
        ),
        .program("code that never reads its input", "def predict(context):\n    return None\n", ends: .nothingGot),
        .program(
            "code that closes its input",
            "import os\nfor number in range(4, 64):\n    try: os.close(number)\n    except OSError: pass\ndef predict(context):\n    return None\n",
            ends: .any
        ),
        .program(
            "a regular expression that never ends",
            "import re\ndef predict(context):\n    re.match(r'(a+)+$', 'a' * 64 + 'b')\n",
            ends: .failure([.timeLimit], words: "longer than 1 s"),
            change: { $0.wallTime = .seconds(1) }
        ),
        .program(
            "memory that no process holds",
            """
            import os
            def predict(context):
                files = []
                while True:
                    file = os.memfd_create("hoard")
                    files.append(file)
                    for _ in range(16): os.write(file, bytes(1 << 20))
            """,
            ends: .failure([.outOfMemory, .exception, .timeLimit], words: ""),
            levels: [.full],
            change: { $0.memoryBytes = 128 * mebibyte }
        ),
    ]

    static let processes: [Attack] = [
        .program(
            "signals to everybody",
            """
            import os, signal
            def predict(context):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                for target in (os.getppid(), 1, 2, HOST_PID):
                    try: os.kill(target, signal.SIGKILL if target != os.getpid() else 0)
                    except OSError: pass
                try: os.kill(-1, signal.SIGTERM)
                except OSError: pass
            """,
            ends: .any
        ),
        .program(
            "a daemon that outlives its run",
            """
            import os, signal
            def predict(context):
                if os.fork() == 0:
                    os.setsid()
                    if os.fork() == 0:
                        for number in range(0, 64):
                            try: os.close(number)
                            except OSError: pass
                        while True: signal.pause()
                    os._exit(0)
            """,
            ends: .nothingGot
        ),
        .program(
            "a child that holds the pipes open",
            """
            import os, signal
            def predict(context):
                if os.fork() == 0:
                    os.setsid()
                    while True: signal.pause()
            """,
            ends: .nothingGot
        ),
        .program(
            "a child that is traced, stopped and forgotten",
            """
            import os, signal
            def predict(context):
                for _ in range(8):
                    child = os.fork()
                    if child == 0:
                        os.kill(os.getpid(), signal.SIGSTOP)
                        os._exit(0)
            """,
            ends: .nothingGot
        ),
        .program(
            "the end by every signal",
            "import os, signal\ndef predict(context):\n    os.kill(os.getpid(), signal.SIGSEGV)\n",
            ends: .failure([.exception], words: "SIGSEGV")
        ),
        .program(
            "a core of memory left behind",
            "import os, resource\ndef predict(context):\n    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0): raise RuntimeError('cores')\n    os.abort()\n",
            ends: .failure([.exception], words: "SIGABRT")
        ),
    ]
}
