internal import CSandbox
import Glibc
import ServiceRuntime

/// Our end of the socket at descriptor 4 of a sandbox. Messages are small JSON documents, kept whole by the kernel; ours may carry a sealed file.
///
/// On the other side is a stranger's code. It may say anything: what is longer than a request can be, or comes after too many others, ends the
/// channel. It may also not listen: one answer waits for it, and until that is taken nothing more is read. Descriptors that it sends are closed
/// by the kernel unseen. Lives on its loop.
final class RunChannel {
    /// The longest message that is read, in bytes.
    static let longestMessage = 4096
    /// Beyond so many messages of one run nobody listens any more.
    static let mostMessages = 1000

    private let loop: EventLoop
    private let descriptor: Int32
    private let onMessage: ([UInt8]) -> Void
    private var watcher: SocketWatcher?
    private var messages = 0
    private var waiting: [(bytes: [UInt8], file: InputFrame?)] = []
    private var isPaused = false

    /// Takes over a socket and reads it.
    init(loop: EventLoop, descriptor: Int32, onMessage: @escaping ([UInt8]) -> Void) {
        self.loop = loop
        self.descriptor = descriptor
        self.onMessage = onMessage
        watcher = loop.watch(
            fileDescriptor: descriptor,
            onReadable: { [weak self] in self?.readable() },
            onWritable: { [weak self] in self?.flush() }
        )
        watcher?.wantsRead = true
    }

    /// The two ends of a new channel: ours and the sandbox's.
    static func pair() throws(SandboxError) -> (ours: Int32, theirs: Int32) {
        var ends: [Int32] = [-1, -1]
        guard auspex_socket_pair(&ends) == 0 else { throw .system(call: "socketpair", code: errno) }
        return (ends[0], ends[1])
    }

    /// Reads nothing more until ``resume()``: one request at a time.
    func pause() {
        isPaused = true
        watcher?.wantsRead = false
    }

    /// Reads on.
    func resume() {
        isPaused = false
        if waiting.isEmpty { watcher?.wantsRead = true }
    }

    /// Says something, with a file unless that is nil; later, if the other side does not listen.
    func send(_ bytes: [UInt8], _ file: InputFrame? = nil) {
        guard watcher != nil else { return }
        waiting.append((bytes, file))
        flush()
    }

    /// Ends it.
    func close() {
        guard watcher != nil else { return }
        watcher?.close()
        watcher = nil
        waiting = []
        Glibc.close(descriptor)
    }

    private func flush() {
        while let (bytes, file) = waiting.first {
            let sent = auspex_send(descriptor, bytes, bytes.count, file?.descriptor ?? -1)
            if sent < 0 && errno == EINTR { continue }
            if sent < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) {
                watcher?.wantsWrite = true
                watcher?.wantsRead = false
                return
            }
            // The other side is gone: the run's end tells the rest.
            guard sent >= 0 else { return close() }
            waiting.removeFirst()
        }
        watcher?.wantsWrite = false
        if !isPaused { watcher?.wantsRead = true }
    }

    private func readable() {
        var message = [UInt8](repeating: 0, count: Self.longestMessage)
        let count = auspex_receive(descriptor, &message, message.count)
        if count < 0 && (errno == EINTR || errno == EAGAIN || errno == EWOULDBLOCK) { return }
        messages += 1
        guard count > 0, count <= message.count, messages <= Self.mostMessages else { return close() }
        onMessage(Array(message[..<count]))
    }
}
