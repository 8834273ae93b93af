public import Glibc

/// Internet addresses as the C library wants them.
public enum SocketAddress {
    /// Room for either family.
    public struct Storage {
        private var storage = sockaddr_storage()

        /// Empty.
        public init() {}

        /// Takes a connection, without waiting; its peer's address is kept here. Gives -1 and `errno` when there is none.
        public mutating func accept(on listener: Int32) -> Int32 {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            return withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    // accept4 is not imported (it wants _GNU_SOURCE): two more calls, once a connection.
                    let descriptor = Glibc.accept(listener, $0, &length)
                    if descriptor >= 0 {
                        _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
                        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
                    }
                    return descriptor
                }
            }
        }

        /// Reads the address that a socket is bound to.
        public mutating func readLocal(of descriptor: Int32) {
            var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
            _ = withUnsafeMutablePointer(to: &storage) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
            }
        }

        /// The address in numbers; an IPv4 address that came through an IPv6 socket is shown as IPv4.
        public var text: String {
            var copy = storage
            var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
            let family = Int32(copy.ss_family)
            let length = socklen_t(buffer.count)
            withUnsafePointer(to: &copy) { pointer in
                if family == AF_INET {
                    pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { address in
                        var inner = address.pointee.sin_addr
                        inet_ntop(AF_INET, &inner, &buffer, length)
                    }
                } else {
                    pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { address in
                        var inner = address.pointee.sin6_addr
                        inet_ntop(AF_INET6, &inner, &buffer, length)
                    }
                }
            }
            let text = String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            return text.hasPrefix("::ffff:") ? String(text.dropFirst(7)) : text
        }

        /// The port.
        public var port: Int {
            var copy = storage
            let family = Int32(copy.ss_family)
            return withUnsafePointer(to: &copy) { pointer in
                family == AF_INET
                    ? pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { Int(UInt16(bigEndian: $0.pointee.sin_port)) }
                    : pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) { Int(UInt16(bigEndian: $0.pointee.sin6_port)) }
            }
        }
    }

    /// Calls `body` with the C form of a numeric address; nil when it is none.
    public static func with<T>(_ address: String, port: Int, _ body: (Int32, UnsafePointer<sockaddr>, socklen_t) -> T) -> T? {
        var four = sockaddr_in()
        if inet_pton(AF_INET, address, &four.sin_addr) == 1 {
            four.sin_family = sa_family_t(AF_INET)
            four.sin_port = in_port_t(UInt16(port)).bigEndian
            return withUnsafePointer(to: &four) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(AF_INET, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        }
        var six = sockaddr_in6()
        if inet_pton(AF_INET6, address, &six.sin6_addr) == 1 {
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = in_port_t(UInt16(port)).bigEndian
            return withUnsafePointer(to: &six) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body(AF_INET6, $0, socklen_t(MemoryLayout<sockaddr_in6>.size)) }
            }
        }
        return nil
    }
}
