/// The text of a lock: exact versions with the hashes of their files, and nothing that an installer would take for an order.
public enum LockText {
    /// The longest lock that is kept, in bytes.
    public static let maximumBytes = 4 << 20

    /// Whether each line is `name==version \\`, perhaps with a marker, or a hash of its files.
    public static func isPlain(_ text: String) -> Bool {
        guard text.utf8.count <= maximumBytes else { return false }
        var hasHash = true
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) where !line.isEmpty {
            let content = line.hasSuffix(" \\") ? line.dropLast(2) : line
            if content.hasPrefix("    --hash=sha256:") {
                let digest = content.dropFirst("    --hash=sha256:".count)
                guard digest.utf8.count == 64, digest.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
                    return false
                }
                hasHash = true
            } else {
                guard hasHash, line.hasSuffix(" \\"), isPinned(content) else { return false }
                hasHash = false
            }
        }
        return hasHash
    }

    private static func isPinned(_ line: Substring) -> Bool {
        guard let requirement = try? Requirement(line: line), let end = requirement.text.firstRange(of: "==") else { return false }
        // The canonical text begins with the name; a second condition would be a comma in it.
        let rest = requirement.text[end.upperBound...].prefix { $0 != ";" }
        return !requirement.text[..<end.lowerBound].contains { "<>!~;".contains($0) } && !rest.contains(",") && !rest.contains("*")
    }
}
