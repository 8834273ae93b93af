import FoundationEssentials
import Glibc

/// One graphics processor and the device files that a program needs to use it.
struct GPUDevice: Sendable, Hashable {
    /// The device files of this processor and of its driver.
    var files: [String]

    /// The processors of the machine, by their device files; `folder` is `/dev`.
    static func detect(in folder: String = "/dev") -> [GPUDevice] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let processors = names.filter { $0.hasPrefix("nvidia") && !$0.dropFirst(6).isEmpty && $0.dropFirst(6).allSatisfy(\.isNumber) }
        return processors.sorted { Int($0.dropFirst(6)) ?? 0 < Int($1.dropFirst(6)) ?? 0 }.map { name in
            GPUDevice(files: ["\(folder)/\(name)"] + shared(in: folder))
        }
    }

    /// The processors that an operator named by their device files, with the files of the driver that every program needs besides.
    static func named(_ paths: [String], in folder: String = "/dev") -> [GPUDevice] {
        paths.map { path in
            let isNvidia = path.split(separator: "/").last?.hasPrefix("nvidia") == true
            return GPUDevice(files: [path] + (isNvidia ? shared(in: folder) : []))
        }
    }

    /// Whether the launcher would show a run the file: one below `/dev` with a plain path, and none that every run has.
    static func canBeShown(_ path: String) -> Bool {
        let parts = path.split(separator: "/", omittingEmptySubsequences: false).dropFirst()
        guard path.utf8.first == UInt8(ascii: "/"), parts.count > 1, path.utf8.count <= 400 else { return false }
        guard parts.first == "dev", !parts.contains(where: { $0.isEmpty || $0.hasPrefix(".") }) else { return false }
        return !ofEveryRun.contains(parts[parts.startIndex + 1])
    }

    private static let ofEveryRun: Set<Substring> = ["fd", "stdin", "stdout", "stderr", "core", "ptmx", "pts", "shm"]

    /// What a program sees of several processors, each file once.
    static func files(of devices: [GPUDevice]) -> [String] {
        var files: [String] = []
        for file in devices.flatMap(\.files) where !files.contains(file) { files.append(file) }
        return files
    }

    private static func shared(in folder: String) -> [String] {
        ["nvidiactl", "nvidia-uvm", "nvidia-modeset"].map { "\(folder)/\($0)" }.filter { access($0, F_OK) == 0 }
    }
}
