internal import Glibc

/// Turns names of hosts into addresses on a thread of its own, as the C library blocks while it asks; answers are kept for 30 s.
public actor NameResolver {
    private static let shared = NameResolver()

    private let thread: DedicatedThread?
    private var known: [String: (addresses: [String], at: UInt64)] = [:]

    private init() { thread = try? DedicatedThread.start(name: "resolver") }

    /// The thread that may block.
    public nonisolated var unownedExecutor: UnownedSerialExecutor {
        guard let thread else { preconditionFailure("no thread could be started for the resolver") }
        return thread.asUnownedSerialExecutor()
    }

    /// The addresses of a name, from the one resolver of the process; none when it has none.
    ///
    /// It may take as long as the C library likes: who has less time waits for it in a line that can be left.
    @Sendable public static func ask(_ host: String) async -> [String] { await shared.addresses(of: host) }

    /// Whether a host is an address already, so that nobody need be asked.
    public static func isNumeric(_ host: String) -> Bool {
        var four = in_addr()
        var six = in6_addr()
        return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1
    }

    private func addresses(of host: String) -> [String] {
        let now = monotonicNanoseconds()
        if let entry = known[host], now < entry.at + 30_000_000_000 { return entry.addresses }
        let found = Self.lookUp(host)
        // An old answer is better than none.
        guard !found.isEmpty else { return known[host]?.addresses ?? [] }
        known[host] = (found, now)
        return found
    }

    private static func lookUp(_ host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let entry = next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if getnameinfo(entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0, NI_NUMERICHOST) == 0 {
                let address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if !found.contains(address) { found.append(address) }
            }
            next = entry.pointee.ai_next
        }
        return found
    }
}
