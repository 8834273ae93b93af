import Glibc

/// Reads key files, and writes new ones that only their owner can read.
public enum SecretFile {
    /// The bytes of the file.
    public static func read(_ path: String) throws(CryptographyError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .file(path: path, reason: String(cString: strerror(errno))) }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16 * 1024)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw .file(path: path, reason: String(cString: strerror(errno))) }
            if count == 0 { return bytes }
            bytes.append(contentsOf: buffer[0..<count])
        }
    }

    /// Writes the bytes with mode 0600; an existing file is an error unless `replacing`, which swaps the whole file at once.
    public static func write(_ bytes: [UInt8], to path: String, replacing: Bool = false) throws(CryptographyError) {
        let target = replacing ? "\(path).\(RandomToken.base62(8)).tmp" : path
        let descriptor = open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .file(path: target, reason: String(cString: strerror(errno))) }
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { break }
            written += count
        }
        let complete = written == bytes.count && fsync(descriptor) == 0
        let reason = String(cString: strerror(errno))
        close(descriptor)
        guard complete, !replacing || rename(target, path) == 0 else {
            unlink(target)
            throw .file(path: path, reason: reason)
        }
    }
}
