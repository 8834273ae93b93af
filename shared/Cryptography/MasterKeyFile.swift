import Contracts

/// The file that holds the master keys: one line a version, `auspex-master-key <version> <64 hex digits>`; `#` begins a comment.
public struct MasterKeyFile: Sendable {
    private static let marker = "auspex-master-key"
    static let keyBytes = 32

    /// The keys by version; the highest version seals, all of them open.
    let keys: [UInt32: [UInt8]]

    private init(keys: [UInt32: [UInt8]]) { self.keys = keys }

    /// A file with one new random key of version 1.
    public static func generate() -> MasterKeyFile { MasterKeyFile(keys: [1: RandomToken.bytes(keyBytes)]) }

    /// The same file with one more random key, which will seal from now on.
    public func addingVersion() -> MasterKeyFile {
        var keys = keys
        keys[(keys.keys.max() ?? 0) + 1] = RandomToken.bytes(Self.keyBytes)
        return MasterKeyFile(keys: keys)
    }

    /// The keys in the text of such a file.
    public init(text: String) throws(CryptographyError) {
        var keys: [UInt32: [UInt8]] = [:]
        var number = 0
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            number += 1
            let words = line.split(whereSeparator: \.isWhitespace)
            guard let first = words.first, !first.hasPrefix("#") else { continue }
            guard words.count == 3, first == Self.marker, let version = UInt32(words[1]), version > 0, keys[version] == nil,
                let bytes = Hex.decode(words[2]), bytes.count == Self.keyBytes
            else { throw .malformedMasterKeyFile(line: number) }
            keys[version] = bytes
        }
        guard !keys.isEmpty else { throw .malformedMasterKeyFile(line: number) }
        self.keys = keys
    }

    /// The keys in a file.
    public init(path: String) throws(CryptographyError) {
        try self.init(text: String(decoding: try SecretFile.read(path), as: UTF8.self))
    }

    /// The text of the file: secret.
    public var text: String {
        var lines = ["# Opens what auth keeps encrypted. Lose it and the signing keys are lost; keep old versions until keys rewrap has run."]
        for (version, key) in keys.sorted(by: { $0.key < $1.key }) {
            lines.append("\(Self.marker) \(version) \(Hex.encode(key))")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
