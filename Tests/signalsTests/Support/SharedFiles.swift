import Foundation

/// Files beside the project that belong to no clone of it; a test that needs one is skipped where it is absent.
enum SharedFiles {
    static func contents(_ path: String) -> [UInt8]? {
        let folder =
            ProcessInfo.processInfo.environment["AUSPEX_SHARED"].map { URL(filePath: $0) }
            ?? URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../../../shared").standardizedFileURL
        return (try? Data(contentsOf: folder.appending(path: path))).map { [UInt8]($0) }
    }

    static let ledger = contents("golden/ledger.json")
}
