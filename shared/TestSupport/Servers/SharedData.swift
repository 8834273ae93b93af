internal import Foundation

/// Files of the shared folder, which not every checkout has beside it.
public enum SharedData {
    /// The folder: `AUSPEX_SHARED`, or `../shared` beside the package; `nil` where it is absent.
    public static let root: String? = {
        let beside = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(path: "shared").path()
        for candidate in [ProcessInfo.processInfo.environment["AUSPEX_SHARED"], beside].compactMap({ $0 })
        where FileManager.default.fileExists(atPath: candidate + "/golden") { return candidate }
        return nil
    }()

    /// Whether the folder is there: for `.enabled(if:)`.
    public static let isPresent = root != nil

    /// The bytes of a file in the folder.
    public static func bytes(_ path: String) throws -> [UInt8] {
        guard let root else { throw TestSupportError("the shared folder is absent") }
        return [UInt8](try Data(contentsOf: URL(filePath: root + "/" + path)))
    }
}
