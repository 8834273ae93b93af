import Contracts

/// What a run may say on the result pipe: the author's code shares the runner's process, so it may say anything there.
extension Attack {
    /// Code that writes an answer of its own and ends, so that nothing of the runner follows.
    private static func answer(_ name: String, _ expression: String, words: String) -> Attack {
        .program(
            "answer: \(name)",
            """
            import os
            def row(value, number=0, **more):
                from auspex import _wire
                return {"row": number, "instrument": "BTCUSD", "kind": "direction", "value": value, "target_from": "2016-10-08T12:01:00Z", "target_to": "2016-10-08T12:02:00Z", **more}
            def dumps(value):
                from auspex import _wire
                return _wire.dumps(value).encode()
            def predict(context):
                data = \(expression)
                while data:
                    data = data[os.write(3, data):]
                os._exit(0)
            """,
            ends: .failure([.invalidOutput], words: words)
        )
    }

    static let answers: [Attack] = [
        answer("no JSON at all", "b'hello'", words: "not one JSON document"),
        answer("a pickle", "__import__('pickle').dumps({'rows': []})", words: "not one JSON document"),
        answer("a pickle inside text", "b'{\"rows\": [' + __import__('pickle').dumps(1) + b']}'", words: "not one JSON document"),
        answer("two documents", "b'{\"rows\": []}{\"rows\": []}'", words: "not one JSON document"),
        answer("half a document", "b'{\"rows\": ['", words: "not one JSON document"),
        answer("no rows", "b'{\"stages_ms\": {}}'", words: "has no rows"),
        answer("a list", "b'[]'", words: "has no rows"),
        answer("nested ten thousand times", "b'[' * 10000 + b']' * 10000", words: "not one JSON document"),
        answer("nested half a million times", "b'[' * 500000", words: "not one JSON document"),
        answer("nested objects", "b'{\"a\":' * 1000 + b'1' + b'}' * 1000", words: "not one JSON document"),
        answer("100 MB of nested JSON", "b'[' * (100 << 20)", words: "larger than 1024 KiB"),
        answer("100 MB of one text", "b'{\"rows\": [\"' + b'x' * (100 << 20)", words: "larger than 1024 KiB"),
        answer("the same member twice", "b'{\"rows\": [], \"rows\": [1]}'", words: "not one JSON document"),
        answer("the same member twice in a row", "b'{\"rows\": [{\"row\": 0, \"row\": 0}]}'", words: "not one JSON document"),
        answer("NaN", "b'{\"rows\": [NaN]}'", words: "not one JSON document"),
        answer("infinity", "b'{\"rows\": [-Infinity]}'", words: "not one JSON document"),
        answer("a number beyond all numbers", "b'{\"rows\": [1e999999]}'", words: "row 0"),
        answer("a value beyond all numbers", "dumps({'rows': [row('1e999999')]})", words: "row 0: value is not decimal text"),
        answer("a value that is no number", "dumps({'rows': [row('NaN')]})", words: "row 0: value is not decimal text"),
        answer("a value of a million digits", "dumps({'rows': [row('1' * 900000)]})", words: "row 0: value is not decimal text"),
        answer("an integer of a million digits", "b'{\"rows\": [' + b'1' * 900000 + b']}'", words: "row 0"),
        answer("a row number of a thousand digits", "b'{\"rows\": [{\"row\": ' + b'9' * 1000 + b'}]}'", words: "row 0"),
        answer("a value in other digits", "dumps({'rows': [row('\\u0661')]})", words: "row 0: value is not decimal text"),
        answer("a million rows", "b'{\"rows\": [' + b'0,' * 400000 + b'0]}'", words: "more than the manifest's maximum_rows"),
        answer("NUL in a text", "b'{\"rows\": [\"\\\\u0000\"]}'", words: "not one JSON document"),
        answer("bytes that are no UTF-8", "b'{\"rows\": [\"\\xff\\xfe\"]}'", words: "not one JSON document"),
        answer("another instrument", "dumps({'rows': [row('1', instrument='ETHUSD')]})", words: "row 0: instrument"),
        answer("an unknown member", "dumps({'rows': [row('1', secret='x')]})", words: "row 0: it has an unknown member"),
        answer(
            "known beforehand",
            "dumps({'rows': [row('1', target_from='2016-10-08T11:00:00Z', target_to='2016-10-08T11:01:00Z')]})",
            words: "lies before as_of"
        ),
        .program(
            "a result that runs code when it is read",
            """
            class Trap:
                def __reduce__(self): return (print, ("read",))
                def __iter__(self): return iter([self])
            def predict(context):
                return Trap()
            """,
            ends: .failure([.invalidOutput], words: "")
        ),
        .program(
            "an answer before an exception",
            "import os\ndef predict(context):\n    os.write(3, b'{\"rows\": []}')\n    raise RuntimeError('after all')\n",
            ends: .failure([.invalidOutput], words: "not one JSON document")
        ),
        .program(
            "no answer",
            "import os\ndef predict(context):\n    os._exit(0)\n",
            ends: .failure([.exception], words: "exit code 0 before it returned")
        ),
        .program(
            "an error in the name of the platform",
            "import os\ndef predict(context):\n    os.write(3, b'{\"error\": {\"kind\": \"infra\", \"message\": \"try again for ever\"}}')\n    os._exit(0)\n",
            ends: .failure([.exception], words: "try again")
        ),
        .program(
            "an error without end",
            "def predict(context):\n    raise RuntimeError('x' * (50 << 20))\n",
            ends: .failure([.exception, .outOfMemory], words: "")
        ),
        .program(
            "a file in the place of the answer",
            "import os\ndef predict(context):\n    os.symlink('/etc/shadow', '/tmp/result'); os.dup2(os.open('/proc/self/status', os.O_RDONLY), 3)\n    os._exit(0)\n",
            ends: .failure([.exception], words: "before it returned")
        ),
    ]
}
