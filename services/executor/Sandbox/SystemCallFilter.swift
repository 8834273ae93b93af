internal import CSandbox
import Glibc

/// The filter of system calls that runs are under, compiled once: to compile it for each takes half a millisecond of its start.
final class SystemCallFilter: Sendable {
    /// The sealed memory file that holds it, closed with the filter.
    let descriptor: Int32

    /// Has the launcher compile it. Blocks.
    init(compiledBy launcher: String) throws(SandboxError) {
        let (exitCode, bytes) = try ChildProcess.output(path: launcher, arguments: ["filter"])
        guard exitCode == 0, !bytes.isEmpty else {
            throw SandboxError.refused("the system call filter could not be compiled: \(String(decoding: bytes.prefix(500), as: UTF8.self))")
        }
        descriptor = auspex_memory_file("auspex-filter")
        guard descriptor >= 0 else { throw .system(call: "memfd_create", code: errno) }
        // The kernel's memory takes a few kilobytes whole or not at all.
        guard write(descriptor, bytes, bytes.count) == bytes.count, auspex_seal(descriptor) == 0 else {
            throw .system(call: "write the system call filter", code: errno)
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }
}
