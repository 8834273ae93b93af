internal import CLinux
internal import Glibc
internal import Synchronization

/// A program that was started and is looked after: its end is an event of the loop, and its whole group can be signalled.
///
/// The child has a process group of its own, no standard input and output, this process's standard error, and only the environment that it is given:
/// secrets of this process stay here. Other descriptors close on exec by their own flag.
public final class ChildProgram: Sendable {
    /// How it ended.
    public enum Exit: Sendable, Equatable, CustomStringConvertible {
        /// By itself, with that code.
        case code(Int32)
        /// By that signal.
        case signal(Int32)

        /// The end in a few words.
        public var description: String {
            switch self {
            case .code(let code): "exit code \(code)"
            case .signal(let number): "signal \(number)"
            }
        }
    }

    private struct State {
        var exit: Exit?
        var waiters: [CheckedContinuation<Exit, Never>] = []
    }

    /// The process, which leads its group.
    public let processID: Int32
    private let state = Mutex(State())

    private init(processID: Int32) { self.processID = processID }

    /// Starts `words[0]`, found by PATH, with the other words as its arguments.
    public static func start(_ words: [String], environment: [String: String], on loop: EventLoop) async throws -> ChildProgram {
        let child = ChildProgram(processID: try spawn(words, environment))
        let descriptor = auspex_pidfd_open(child.processID)
        guard descriptor >= 0 else {
            let code = errno
            kill(-child.processID, SIGKILL)
            waitpid(child.processID, nil, 0)
            throw RuntimeError.programNotStarted(name: words[0], code: code)
        }
        await loop.perform { child.watch(descriptor, on: loop) }
        return child
    }

    /// How it ended, if it has.
    public var exit: Exit? { state.withLock { $0.exit } }

    /// Waits until it has ended.
    public func waitForExit() async -> Exit {
        await withCheckedContinuation { continuation in
            let exit = state.withLock { state -> Exit? in
                if state.exit == nil { state.waiters.append(continuation) }
                return state.exit
            }
            if let exit { continuation.resume(returning: exit) }
        }
    }

    /// Sends a signal to its whole group: to what it left behind, too, when it has ended itself.
    ///
    /// It is collected only when this object goes, so its number cannot be another's meanwhile.
    public func signal(_ number: Int32) { kill(-processID, number) }

    deinit {
        var status: Int32 = 0
        waitpid(processID, &status, WNOHANG)
    }

    private func watch(_ descriptor: Int32, on loop: EventLoop) {
        nonisolated(unsafe) var watcher: SocketWatcher?
        watcher = loop.watch(
            fileDescriptor: descriptor,
            onReadable: { [self] in
                guard noteExit() else { return }
                watcher?.close()
                watcher = nil
                Glibc.close(descriptor)
            },
            onWritable: {}
        )
        watcher?.wantsRead = true
    }

    private func noteExit() -> Bool {
        var code: Int32 = 0
        var isSignal: Int32 = 0
        guard auspex_peek_exit(processID, &code, &isSignal) == 1 else { return false }
        let exit = isSignal == 1 ? Exit.signal(code) : .code(code)
        let waiters = state.withLock { state -> [CheckedContinuation<Exit, Never>] in
            state.exit = exit
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.resume(returning: exit) }
        return true
    }

    private static func spawn(_ words: [String], _ environment: [String: String]) throws -> Int32 {
        guard let path = words.first, !path.isEmpty else { throw RuntimeError.programNotStarted(name: "", code: ENOENT) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setpgroup(&attributes, 0)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        // Loops ignore SIGPIPE; a child would inherit that.
        var usual = sigset_t()
        sigemptyset(&usual)
        sigaddset(&usual, SIGPIPE)
        posix_spawnattr_setsigdefault(&attributes, &usual)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGMASK) | Int16(POSIX_SPAWN_SETSIGDEF))
        var process: pid_t = 0
        let code = withCStrings(words) { arguments in
            withCStrings(environment.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawnp(&process, path, &actions, &attributes, arguments, variables)
            }
        }
        guard code == 0 else { throw RuntimeError.programNotStarted(name: path, code: code) }
        return process
    }

    private static func withCStrings<T>(_ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> T) -> T {
        var pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        pointers.append(nil)
        return body(pointers)
    }
}

extension EventLoop {
    /// Runs something on the loop and returns when it has run.
    func perform(_ body: @escaping @Sendable () -> Void) async {
        await withCheckedContinuation { continuation in
            execute {
                body()
                continuation.resume()
            }
        }
    }
}
