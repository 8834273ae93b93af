import Contracts
import Schedules

/// What a manifest must keep for its signal to run at all. Uploads are held to it; versions from before a rule came are when they are published.
enum RunnableRules {
    /// Why it could never run; nil when it can.
    static func fault(in manifest: Manifest) -> String? {
        do throws(ScheduleError) { _ = try ScheduleGrid(manifest.schedule) } catch { return "The schedule can never run: \(error.description)." }
        if let fault = SchedulePolicyRules.fault(in: manifest.policy, of: manifest.schedule, deadlineSeconds: manifest.deadlineSeconds) {
            return "The schedule can never run: \(fault.key) \(fault.message)."
        }
        if let input = manifest.inputs.first(where: { $0.lookback > ManifestParser.maximumLookback }) {
            return "The lookback of \(input.instrument) is \(input.lookback); \(ManifestParser.maximumLookback) bars are the most that a run gets."
        }
        return nil
    }
}
