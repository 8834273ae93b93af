import Contracts

/// What changed from one version to another.
struct VersionDiff: Sendable, Hashable {
    enum Change: String, Sendable, Hashable, Codable { case added, removed, changed }

    struct FileChange: Sendable, Hashable {
        var path: String
        var change: Change
        var fromSHA256: SHA256Digest?
        var toSHA256: SHA256Digest?
        /// Hunks for texts; nil for what is no text or too long.
        var unified: String?
    }

    struct FieldChange: Sendable, Hashable {
        /// Where in the manifest, such as `output.horizon_seconds`.
        var field: String
        var from: JSONValue?
        var to: JSONValue?
    }

    var files: [FileChange]
    var manifest: [FieldChange]

    /// Files that are in either version and not the same, by path.
    static func fileChanges(from old: [ProjectFile], to new: [ProjectFile]) -> [FileChange] {
        let before = Dictionary(old.map { ($0.path, $0.sha256) }, uniquingKeysWith: { first, _ in first })
        let after = Dictionary(new.map { ($0.path, $0.sha256) }, uniquingKeysWith: { first, _ in first })
        let paths = Set(before.keys).union(after.keys).sorted()
        return paths.compactMap { path in
            switch (before[path], after[path]) {
            case (nil, let added?): FileChange(path: path, change: .added, toSHA256: added)
            case (let removed?, nil): FileChange(path: path, change: .removed, fromSHA256: removed)
            case (let from?, let to?) where from != to: FileChange(path: path, change: .changed, fromSHA256: from, toSHA256: to)
            default: nil
            }
        }
    }

    /// Leaves of the manifest that differ, by name.
    static func manifestChanges(from old: JSONValue, to new: JSONValue, path: String = "") -> [FieldChange] {
        if old == new { return [] }
        guard let before = old.object, let after = new.object else { return [FieldChange(field: path, from: old, to: new)] }
        var changes: [FieldChange] = []
        for key in Set(before.keys).union(after.keys).sorted() {
            let field = path.isEmpty ? key : "\(path).\(key)"
            switch (before[key], after[key]) {
            case (let from?, let to?): changes += manifestChanges(from: from, to: to, path: field)
            case (let from, let to): changes.append(FieldChange(field: field, from: from, to: to))
            }
        }
        return changes
    }
}
