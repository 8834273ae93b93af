import Contracts
import FoundationEssentials

/// Where a build may connect to: the hosts of the configured indexes, those of their files, and nobody else.
struct PackageRoutes: Sendable, Hashable {
    /// The proxy through which this machine reaches the world.
    struct OuterProxy: Sendable, Hashable {
        var endpoint: Endpoint
        /// The value of `Proxy-Authorization`.
        var authorization: String?
    }

    /// Hosts that the operator named as an index: they may be on a private network.
    private(set) var indexes: Set<Endpoint> = []
    /// Hosts of files: they may not.
    private(set) var files: Set<Endpoint> = []
    private(set) var outer: OuterProxy?
    private var direct: [String] = []

    /// The routes to an index; `fileHosts` are what the operator named and what the index links to.
    init(_ index: PackageIndex) {
        let urls = [index.url].compactMap(\.self) + index.extraURLs
        indexes = Set(urls.compactMap { IndexURL($0)?.endpoint })
        files = Set(index.fileHosts.compactMap { Endpoint(authority: $0, defaultPort: 443) })
        let proxy = index.proxies["HTTPS_PROXY"] ?? index.proxies["ALL_PROXY"] ?? index.proxies["HTTP_PROXY"]
        if let proxy, let url = IndexURL(proxy.contains("://") ? proxy : "http://" + proxy) {
            let plain = url.credentials.map(Self.withoutPercents)
            outer = OuterProxy(endpoint: url.endpoint, authorization: plain.map { "Basic " + Data($0).base64EncodedString() })
        }
        direct = (index.proxies["NO_PROXY"] ?? "").split { $0 == "," || $0 == " " }.map { $0.lowercased() }
    }

    /// The bytes that a part of a URL stands for.
    static func withoutPercents(_ text: String) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "%"), let number = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count >= 2 {
                bytes.append(number)
                rest = rest.dropFirst(2)
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }

    /// What may be done about a place that a build asks for.
    enum Decision: Sendable, Hashable {
        case refused
        /// `mayBePrivate`: wherever its name leads.
        case allowed(mayBePrivate: Bool)
    }

    func decision(on endpoint: Endpoint) -> Decision {
        if indexes.contains(endpoint) { return .allowed(mayBePrivate: true) }
        return files.contains(endpoint) ? .allowed(mayBePrivate: false) : .refused
    }

    /// The proxy for a host; nil when it is reached without.
    func proxy(for host: String) -> OuterProxy? {
        for entry in direct {
            let suffix = entry.hasPrefix(".") ? String(entry.dropFirst()) : entry
            if entry == "*" || host == suffix || host.hasSuffix("." + suffix) { return nil }
        }
        return outer
    }
}
