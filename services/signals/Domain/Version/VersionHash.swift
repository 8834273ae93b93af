import Contracts
import Cryptography

/// The identity of a version: the same code, data and manifest always have the same hash.
enum VersionHash {
    /// SHA-256 of the lines `auspex-version-1`, then `path NUL sha256` by path (bytes), then `manifest NUL` and the manifest's JSON.
    static func digest(files: [ProjectFile], manifestJSON: [UInt8]) -> SHA256Digest {
        var bytes: [UInt8] = Array("auspex-version-1\n".utf8)
        for file in files.sorted(by: { $0.path.utf8.lexicographicallyPrecedes($1.path.utf8) }) {
            bytes += file.path.utf8
            bytes.append(0)
            bytes += file.sha256.hex.utf8
            bytes.append(UInt8(ascii: "\n"))
        }
        bytes += "manifest".utf8
        bytes.append(0)
        bytes += manifestJSON
        bytes.append(UInt8(ascii: "\n"))
        return SHA256.digest(bytes)
    }
}
