/// What the module refuses or cannot do; no case carries secret material, so a description may be logged.
public enum CryptographyError: Error, Equatable, CustomStringConvertible {
    /// The password has more bytes than bcrypt reads; it would be cut silently.
    case passwordTooLong(bytes: Int)
    /// The password holds a NUL byte, where bcrypt would stop reading.
    case passwordHoldsNUL
    /// The bcrypt cost is outside 4 … 31.
    case costOutOfRange(Int)
    /// The stored text is not a bcrypt hash.
    case malformedPasswordHash
    /// The text is not a PEM private key.
    case malformedPEM
    /// The key is not on the curve P-256, or its point is not on that curve.
    case notP256
    /// A JSON Web Key lacks a member or holds a value that cannot be right.
    case malformedJWK(String)
    /// The set of service keys names one key twice, or a key without its service.
    case malformedServiceKeys(String)
    /// The master key file has no usable line, or one line of it is wrong.
    case malformedMasterKeyFile(line: Int)
    /// The sealed bytes were made under a master key version that the file does not hold.
    case unknownMasterKeyVersion(UInt32)
    /// The sealed bytes were changed, cut, or belong to another context.
    case sealBroken
    /// The file cannot be read or written; the path and the system's reason.
    case file(path: String, reason: String)
    /// OpenSSL or libxcrypt refused an operation that should not fail.
    case libraryFailed(operation: String)

    /// One sentence for a log or a command line.
    public var description: String {
        switch self {
        case .passwordTooLong(let bytes): "the password has \(bytes) bytes, more than \(PasswordHash.maximumPasswordBytes)"
        case .passwordHoldsNUL: "the password holds a NUL byte"
        case .costOutOfRange(let cost): "bcrypt cost \(cost) is outside 4 … 31"
        case .malformedPasswordHash: "the stored text is not a bcrypt hash"
        case .malformedPEM: "the text is not a PEM private key"
        case .notP256: "the key is not a P-256 key"
        case .malformedJWK(let reason): "malformed JSON Web Key: \(reason)"
        case .malformedServiceKeys(let reason): "malformed services.jwks: \(reason)"
        case .malformedMasterKeyFile(let line): "malformed master key file, line \(line)"
        case .unknownMasterKeyVersion(let version): "no master key of version \(version) in the file"
        case .sealBroken: "the sealed bytes were changed or belong elsewhere"
        case .file(let path, let reason): "\(path): \(reason)"
        case .libraryFailed(let operation): "\(operation) failed"
        }
    }
}
