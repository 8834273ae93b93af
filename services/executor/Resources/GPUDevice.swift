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
