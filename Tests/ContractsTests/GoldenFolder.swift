import Contracts
import FoundationEssentials

/// The samples that other languages' clients are held against as well; they change only with a new version of what they show.
enum GoldenFolder {
    static func names() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(".json") }.map { String($0.dropLast(5)) }.sorted()
    }

    static func sample(_ name: String) throws -> JSONValue {
        try WireJSON.parse(Array(try Data(contentsOf: URL(filePath: "\(path)/\(name).json"))))
    }

    private static let path = String(#filePath.prefix(upTo: #filePath.lastIndex(of: "/") ?? #filePath.endIndex)) + "/Golden"
}
