internal import CSandbox
import Glibc
import Synchronization

/// The one way out of a build sandbox: a socket that listens inside, on a loopback where nothing else is, and is served out here.
///
/// A socket belongs to the network namespace in which it was made, whoever holds it. So a few lines of Python inside make it, hand it out
/// through a pair of sockets, and become the installer. No route, no device and no file leads out, and no program has to stay inside to
/// pass bytes on.
final class BuildDoor: Sendable {
    /// Where the installer finds its proxy.
    static let address = "http://127.0.0.1:3128"

    /// The start of a command line, to be followed by the program that it becomes and its arguments.
    static let launch = ["/usr/bin/python3", "-ISB", "-c", program]

    private static let program = """
        import array, os, socket, sys
        door = socket.socket(); door.bind(("127.0.0.1", 3128)); door.listen(128)
        channel = socket.socket(fileno=4)
        channel.sendmsg([b"d"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [door.fileno()]))])
        channel.close(); door.close()
        os.execv(sys.argv[1], sys.argv[1:])
        """

    /// The end that the sandbox has at descriptor 4; to be closed out here once it was passed on.
    let inside: Int32
    /// Our end; whoever serves the door closes it.
    let outside: Int32
    private let isInsideOpen = Mutex(true)

    init() throws(SandboxError) {
        var ends: [Int32] = [-1, -1]
        guard auspex_socket_pair(&ends) == 0 else { throw .system(call: "socketpair", code: errno) }
        (inside, outside) = (ends[0], ends[1])
        _ = fcntl(outside, F_SETFL, O_NONBLOCK)
    }

    /// Closes the sandbox's end out here, so that its end in there is the last one.
    func closeInside() {
        let wasOpen = isInsideOpen.withLock { isOpen in
            defer { isOpen = false }
            return isOpen
        }
        if wasOpen { close(inside) }
    }

    deinit { closeInside() }

    /// The socket that came out; -1 while there is none, with `errno`, or 0 of it when the sandbox has closed its end.
    func receive() -> Int32 {
        let listener = auspex_receive_descriptor(outside)
        if listener >= 0 { _ = fcntl(listener, F_SETFL, O_NONBLOCK) }
        return listener
    }
}
