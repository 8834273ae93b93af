public import Contracts

extension SettingsReader {
    /// The sizes of the classes of jobs: `AUSPEX_CLASS_SMALL` and its kin. Whoever reads them reads the same, so that the time a scheduler gives
    /// is the time that an executor keeps.
    public mutating func resourceClasses() -> ResourceClasses {
        var classes = ResourceClasses.standard
        for name in ResourceClasses.adjustable {
            let key = "AUSPEX_CLASS_\(name.rawValue.uppercased())"
            let help =
                "what a job of class \(name.rawValue) may use, such as cpu=1,memory=512M,tmp=64M,processes=64,seconds=60; what is not named stays"
            guard let text = optionalString(key, help: help) else { continue }
            do throws(ResourceLimitsProblem) {
                classes[name] = try classes[name].changed(by: text)
            } catch {
                report("\(key): \(error)")
            }
        }
        return classes
    }
}
