import Contracts
import Testing

@testable import executor

/// One thing that a hostile author tries: a program, and how its run must end.
struct Attack: Sendable, CustomTestStringConvertible {
    /// How a run must end so that the attack has failed.
    enum Ending: Sendable {
        /// The program got nothing: every one of its tries was refused, and it returned no rows.
        case nothingGot
        /// The run failed with one of these kinds, in words that contain these.
        case failure(Set<FailureKind>, words: String)
        /// A run that may end in any way, as long as it ends and leaves nothing behind.
        case any
    }

    let name: String
    let app: String
    let ending: Ending
    let change: @Sendable (inout SandboxLimits) -> Void
    /// Levels at which the attack has a meaning.
    let levels: [SandboxLevel]

    var testDescription: String { name }

    /// A probe: statements that each try one thing by `refused(action, errno, …)` or `absent(path)`, run as the author's function.
    static func probe(_ name: String, _ statements: String) -> Attack {
        let body = statements.split(separator: "\n", omittingEmptySubsequences: false).map { "    " + $0 }.joined(separator: "\n")
        return Attack(
            name: name,
            app: prelude + "\ndef probe():\n\(body)\n" + ending,
            ending: .nothingGot,
            change: { _ in },
            levels: [.full, .reduced]
        )
    }

    /// A whole program.
    static func program(
        _ name: String,
        _ app: String,
        ends ending: Ending,
        levels: [SandboxLevel] = [.full, .reduced],
        change: @escaping @Sendable (inout SandboxLimits) -> Void = { _ in }
    ) -> Attack {
        Attack(name: name, app: app, ending: ending, change: change, levels: levels)
    }

    static let all: [Attack] = network + host + kernel + resources + processes + answers + output

    /// `refused` is strict: an action that fails for another reason than the named ones has not been shown to be contained, only to be
    /// broken, and any other exception (a slip in the probe) ends the run as `exception`.
    private static let prelude = """
        import os, sys, socket, ctypes, errno, time, signal, struct
        libc = ctypes.CDLL(None, use_errno=True)
        got = []
        def call(number, *arguments):
            result = libc.syscall(number, *arguments)
            if result < 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            return result
        def refused(action, *codes):
            try:
                value = action()
            except OSError as error:
                if error.errno not in codes:
                    got.append(f"another refusal than expected: {error!r}")
                return
            got.append(repr(value)[:300])
        def absent(*paths):
            got.extend(path for path in paths if os.path.lexists(path))
        def connect(family, address, kind=socket.SOCK_STREAM):
            s = socket.socket(family, kind)
            s.settimeout(3)
            s.connect(address)
            return "connected to " + repr(address)
        """

    private static let ending = """
        def predict(context):
            probe()
            if got:
                raise RuntimeError("got: " + "; ".join(got))
            return None
        """
}
