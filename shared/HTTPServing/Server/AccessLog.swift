internal import Contracts
internal import Glibc

/// One JSON line a request, gathered by its loop and written in batches, so that the log costs a request no system call of its own.
final class AccessLog {
    private let policy: AccessLogPolicy
    private let server: String
    private let secretPathPrefixes: [String]
    private var buffer: [UInt8] = []
    private var seen = 0

    init(policy: AccessLogPolicy, server: String, secretPathPrefixes: [String] = []) {
        self.policy = policy
        self.server = server
        self.secretPathPrefixes = secretPathPrefixes
    }

    /// The path without the segment that is a secret, whether or not a route was found for it.
    static func masked(_ path: String, _ prefixes: [String]) -> String {
        guard let prefix = prefixes.first(where: path.hasPrefix) else { return path }
        let rest = path.utf8.dropFirst(prefix.utf8.count)
        guard let end = rest.firstIndex(of: 0x2F) else { return prefix + "…" }
        return prefix + "…" + String(path[end...])
    }

    func write(
        method: Method?,
        path: @autoclosure () -> String,
        route: String?,
        status: Int,
        bytes: Int,
        nanoseconds: UInt64,
        requestID: String,
        peer: Peer
    ) {
        switch policy {
        case .off: return
        case .sampled(let every):
            seen += 1
            if status < 500, seen % max(1, every) != 0 { return }
        case .all: break
        }
        var line = JSONWriter(capacity: 320)
        line.beginObject()
        line.member("time", Timestamp.now().iso8601)
        line.member("level", "info")
        line.member("logger", "access")
        line.member("server", server)
        line.member("method", method?.rawValue ?? "-")
        line.member("path", String(Self.masked(path(), secretPathPrefixes).prefix(512)))
        if let route { line.member("route", route) }
        line.member("status", status)
        line.member("bytes", bytes)
        line.member("microseconds", Int(nanoseconds / 1000))
        line.member("request_id", requestID)
        line.member("peer", peer.address)
        line.endObject()
        buffer.append(contentsOf: line.bytes)
        buffer.append(0x0A)
        if buffer.count > 16 * 1024 { flush() }
    }

    func flush() {
        guard !buffer.isEmpty else { return }
        buffer.withUnsafeBytes { bytes in
            var rest = bytes
            while let base = rest.baseAddress, !rest.isEmpty {
                let written = Glibc.write(1, base, rest.count)
                if written < 0 && errno == EINTR { continue }
                guard written > 0 else { return }
                rest = UnsafeRawBufferPointer(rebasing: rest[written...])
            }
        }
        buffer.removeAll(keepingCapacity: true)
    }
}
