import Bars

/// Formats that are not read here but converted to text first, told by their first bytes, whatever the file is called.
enum ForeignFormat: String, Sendable, CaseIterable {
    case parquet, feather
    /// A zip of Parquet or Feather files: an item of PyStore, or one table in parts.
    case archive

    init?(_ bytes: [UInt8]) {
        if bytes.starts(with: Array("PAR1".utf8)) || bytes.starts(with: Array("PARE".utf8)) {
            self = .parquet
        } else if bytes.starts(with: Array("ARROW1".utf8)) || bytes.starts(with: Array("FEA1".utf8)) {
            self = .feather
        } else if Archive.names(bytes).contains(where: Self.isTable) {
            self = .archive
        } else {
            return nil
        }
    }

    private static func isTable(_ name: String) -> Bool {
        let name = name.lowercased()
        return [".parquet", ".pq", ".feather", ".arrow"].contains { name.hasSuffix($0) }
    }

    /// What people call it.
    var name: String {
        switch self {
        case .parquet: "Parquet"
        case .feather: "Feather"
        case .archive: "PyStore"
        }
    }
}
