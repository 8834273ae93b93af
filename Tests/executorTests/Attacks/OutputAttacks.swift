import Contracts

/// What a run may print: floods, and text that means something to who reads logs.
extension Attack {
    private static func flood(_ descriptor: Int, _ kinds: Set<FailureKind>, _ words: String) -> Attack {
        .program(
            "a flood on descriptor \(descriptor)",
            "import os\ndef predict(context):\n    while True: os.write(\(descriptor), b'x' * 65536)\n",
            ends: .failure(kinds, words: words)
        )
    }

    static let output: [Attack] = [
        flood(1, [.policy], "printed more than 8 MiB"), flood(2, [.policy], "printed more than 8 MiB"),
        flood(3, [.invalidOutput], "larger than 1024 KiB"),
        .program(
            "a flood on every descriptor that takes it",
            """
            import os
            def predict(context):
                for number in range(0, 256):
                    try: os.set_blocking(number, False)
                    except OSError: pass
                while True:
                    for number in (1, 2, 4, 5, 6, 7, 8, 9):
                        try: os.write(number, b"x" * 65536)
                        except OSError: pass
            """,
            ends: .failure([.policy], words: "printed more than 8 MiB")
        ),
        .program("a flood of lines", "def predict(context):\n    while True: print()\n", ends: .failure([.policy], words: "printed more than 8 MiB")),
        .program(
            "a flood by a child",
            "import os\ndef predict(context):\n    os.fork()\n    while True: os.write(1, b'x' * 4096)\n",
            ends: .failure([.policy], words: "printed more than 8 MiB")
        ),
        .program(
            "lines that pretend to be the service's",
            """
            import sys
            def predict(context):
                print('{"level":"error","service":"auth","message":"the master key is 1234"}')
                print("\\x1b]0;owned\\x07\\x1b[2J\\x1b[31mall is lost\\x1b[0m\\rPASSED")
                sys.stdout.flush()
                sys.stdout.buffer.write(b"\\x00\\xff\\xfe\\xc0\\x80" + "\\u202egnp.exe\\u2066\\u200b".encode() + b"\\x9b31m\\n")
                return None
            """,
            ends: .nothingGot
        ),
    ]
}
