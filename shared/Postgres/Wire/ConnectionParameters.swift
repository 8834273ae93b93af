internal import CPostgres
internal import Glibc

/// What libpq is told when a connection starts.
struct ConnectionParameters {
    private let pairs: [(key: String, value: String)]

    /// Whether libpq understands a connection string.
    static func isReadable(_ url: String) -> Bool {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            PQfreemem(message)
            return false
        }
        PQconninfoFree(options)
        return true
    }

    /// The host in the connection string, if it is a name that has to be looked up first: libpq would block the loop for it.
    static func hostToResolve(in url: String) -> String? {
        var message: UnsafeMutablePointer<CChar>?
        guard let options = PQconninfoParse(url, &message) else {
            PQfreemem(message)
            return nil
        }
        defer { PQconninfoFree(options) }
        var host: String?
        var position = options
        while let keyword = position.pointee.keyword {
            let name = String(cString: keyword)
            if let value = position.pointee.val {
                if name == "hostaddr" { return nil }
                if name == "host" { host = String(cString: value) }
            }
            position += 1
        }
        guard let host, !host.isEmpty, !host.hasPrefix("/"), !host.contains(",") else { return nil }
        var buffer = in6_addr()
        if inet_pton(AF_INET, host, &buffer) == 1 || inet_pton(AF_INET6, host, &buffer) == 1 { return nil }
        return host
    }

    init(_ configuration: PostgresConfiguration, address: String?) {
        var pairs = [
            ("dbname", configuration.url), ("application_name", configuration.applicationName), ("client_encoding", "UTF8"),
            ("gssencmode", "disable"), ("options", configuration.sessionOptions), ("keepalives_idle", "30"), ("tcp_user_timeout", "15000"),
        ]
        if let address { pairs.append(("hostaddr", address)) }
        self.pairs = pairs.map { (key: $0.0, value: $0.1) }
    }

    /// Starts a connection. The C function is `PQconnectStartParams`.
    func start() -> OpaquePointer? {
        let keys = pairs.map { strdup($0.key) }
        let values = pairs.map { strdup($0.value) }
        defer { for pointer in keys + values { free(pointer) } }
        let keyPointers = keys.map { UnsafePointer<CChar>($0) } + [nil]
        let valuePointers = values.map { UnsafePointer<CChar>($0) } + [nil]
        return PQconnectStartParams(keyPointers, valuePointers, 1)
    }
}
