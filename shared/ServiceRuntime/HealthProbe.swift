internal import Glibc

/// One plain HTTP request to the service on this machine: slim containers have no curl.
enum HealthProbe {
    enum Failure: Error, CustomStringConvertible {
        case unreachable(String)

        var description: String {
            switch self {
            case .unreachable(let reason): "not reachable: \(reason)"
            }
        }
    }

    static func get(address: String, port: Int, path: String) throws -> (status: Int, body: String) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure.unreachable(String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var limit = timeval(tv_sec: 3, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = in_port_t(port).bigEndian
        guard inet_pton(AF_INET, address, &target.sin_addr) == 1 else { throw Failure.unreachable("'\(address)' is not an IPv4 address") }
        let connected = withUnsafePointer(to: &target) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw Failure.unreachable(String(cString: strerror(errno))) }
        let request = Array("GET \(path) HTTP/1.1\r\nHost: \(address)\r\nConnection: close\r\n\r\n".utf8)
        guard write(descriptor, request, request.count) == request.count else { throw Failure.unreachable(String(cString: strerror(errno))) }
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while answer.count < 1 << 20 {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            answer += buffer[..<count]
        }
        let text = String(decoding: answer, as: UTF8.self)
        guard let line = text.split(separator: "\r\n", maxSplits: 1).first,
            let status = line.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        else { throw Failure.unreachable("no HTTP answer") }
        let body = text.firstRange(of: "\r\n\r\n").map { String(text[$0.upperBound...]) } ?? ""
        return (status, body)
    }
}
