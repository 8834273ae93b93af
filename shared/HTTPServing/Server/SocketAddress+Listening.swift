internal import Glibc
internal import ServiceRuntime

extension SocketAddress {
    /// A socket that listens, shared by port with others of this process if `sharesPort`.
    static func listen(address: String, port: Int, sharesPort: Bool) throws(HTTPServerError) -> Int32 {
        let result: Result<Int32, HTTPServerError>? = with(address, port: port) { family, pointer, length in
            let descriptor = socket(family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
            guard descriptor >= 0 else { return .failure(.notListening(address: address, port: port, code: errno)) }
            var on: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
            if sharesPort { setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, socklen_t(MemoryLayout<Int32>.size)) }
            guard bind(descriptor, pointer, length) == 0, Glibc.listen(descriptor, 1024) == 0 else {
                let code = errno
                close(descriptor)
                return .failure(.notListening(address: address, port: port, code: code))
            }
            return .success(descriptor)
        }
        guard let result else { throw .badAddress(address) }
        return try result.get()
    }
}

/// Why a server does not listen.
public enum HTTPServerError: Error, Sendable, CustomStringConvertible {
    /// The address is not a numeric one.
    case badAddress(String)
    /// The port is taken or not allowed; `code` is the errno.
    case notListening(address: String, port: Int, code: Int32)

    /// The error in a line.
    public var description: String {
        switch self {
        case .badAddress(let address): "\(address) is not a numeric address to listen on"
        case .notListening(let address, let port, let code): "cannot listen on \(address):\(port): \(String(cString: strerror(code)))"
        }
    }
}
