internal import CSandbox
import Glibc

/// Two connected descriptors, closed on exec.
struct Pipe {
    var readEnd: Int32
    var writeEnd: Int32

    init() throws(SandboxError) {
        var ends: [Int32] = [-1, -1]
        guard auspex_pipe(&ends) == 0 else { throw .system(call: "pipe2", code: errno) }
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    func close() {
        _ = Glibc.close(readEnd)
        _ = Glibc.close(writeEnd)
    }
}

/// Starts programs with exactly the descriptors that are named, and collects them.
enum ChildProcess {
    /// Spawns a program; descriptors that are not in `descriptors` are closed on exec by their own flag.
    ///
    /// - Parameter descriptors: what the child sees at 0, 1, 2 and so on.
    static func spawn(path: String, arguments: [String], environment: [String: String], descriptors: [Int32]) throws(SandboxError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Moved above all sources and targets first: a source may have the number of an earlier target.
        let base = max(descriptors.max() ?? 0, Int32(descriptors.count)) + 1
        for (index, descriptor) in descriptors.enumerated() { posix_spawn_file_actions_adddup2(&actions, descriptor, base + Int32(index)) }
        for index in descriptors.indices {
            posix_spawn_file_actions_adddup2(&actions, base + Int32(index), Int32(index))
            posix_spawn_file_actions_addclose(&actions, base + Int32(index))
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A group of its own: Ctrl-C in the terminal asks the executor to drain, it does not end the runs under it.
        posix_spawnattr_setpgroup(&attributes, 0)
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGMASK))
        var pid: pid_t = 0
        let code = withCStrings([path] + arguments) { values in
            withCStrings(environment.map { "\($0.key)=\($0.value)" }) { variables in
                posix_spawn(&pid, path, &actions, &attributes, values, variables)
            }
        }
        guard code == 0 else { throw .system(call: "posix_spawn \(path)", code: code) }
        return pid
    }

    /// Collects a child that has ended; false while it is still running.
    static func collect(_ pid: pid_t) -> Bool {
        var status: Int32 = 0
        let collected = waitpid(pid, &status, WNOHANG)
        return collected == pid || (collected < 0 && errno == ECHILD)
    }

    /// Runs a trusted program to its end and gives what it says. Blocks: for a thread that may.
    static func run(path: String, arguments: [String], environment: [String: String] = usualEnvironment) throws(SandboxError) -> (
        exitCode: Int32, output: String
    ) {
        let (exitCode, bytes) = try output(path: path, arguments: arguments, environment: environment)
        return (exitCode, String(decoding: bytes, as: UTF8.self))
    }

    private static let usualEnvironment = ["PATH": "/usr/bin:/bin"]

    /// The same with its output as it is.
    static func output(path: String, arguments: [String], environment: [String: String] = usualEnvironment) throws(SandboxError) -> (
        exitCode: Int32, bytes: [UInt8]
    ) {
        let pipe = try Pipe()
        defer { _ = Glibc.close(pipe.readEnd) }
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { _ = Glibc.close(null) }
        let pid: pid_t
        do {
            pid = try spawn(path: path, arguments: arguments, environment: environment, descriptors: [null, pipe.writeEnd, pipe.writeEnd])
        } catch {
            _ = Glibc.close(pipe.writeEnd)
            throw error
        }
        _ = Glibc.close(pipe.writeEnd)
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = read(pipe.readEnd, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { break }
            if output.count < 1 << 20 { output += buffer[..<count] }
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        let code = status & 0x7f == 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f)
        return (code, output)
    }

    private static func withCStrings<T>(_ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> T) -> T {
        var pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) }
        defer { for pointer in pointers { free(pointer) } }
        pointers.append(nil)
        return body(pointers)
    }
}
