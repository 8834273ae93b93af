import FoundationEssentials
import Glibc

/// One graphics processor and the device files that a program needs to use it.
struct GPUDevice: Sendable, Hashable {
    /// The device files of this processor and of its driver.
    var files: [String]

    /// The processors of the machine, by their device files; `folder` is `/dev`.
    static func detect(in folder: String = "/dev") -> [GPUDevice] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        let shared = ["nvidiactl", "nvidia-uvm", "nvidia-modeset"].filter { names.contains($0) }
        let processors = names.filter { $0.hasPrefix("nvidia") && !$0.dropFirst(6).isEmpty && $0.dropFirst(6).allSatisfy(\.isNumber) }
        return processors.sorted { Int($0.dropFirst(6)) ?? 0 < Int($1.dropFirst(6)) ?? 0 }.map { name in
            GPUDevice(files: ([name] + shared).map { "\(folder)/\($0)" })
        }
    }
}
