/// Takes what there is to see of a job while it runs. Cheap to call from anywhere, as often as one likes: it only notes what the next renewal carries.
public struct JobReporter: Sendable {
    private let onProgress: @Sendable (Int) -> Void
    private let onLog: @Sendable (String) -> Void
    private let afterwards: @Sendable (@escaping @Sendable () -> Void) -> Void

    /// Hands on what is told; what nobody wants to hear is dropped.
    public init(
        progress: @escaping @Sendable (Int) -> Void = { _ in },
        log: @escaping @Sendable (String) -> Void = { _ in },
        afterwards: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void = { _ in }
    ) {
        onProgress = progress
        onLog = log
        self.afterwards = afterwards
    }

    /// For whoever runs a job outside a worker.
    public static let silent = JobReporter()

    /// How far the job is, in percent.
    public func progress(_ percent: Int) { onProgress(percent) }

    /// What the job printed since it was last told, as it is: it is bounded, sent and stored elsewhere.
    public func log(_ text: String) { onLog(text) }

    /// What to do once the scheduler has the job's result: something short, on the worker's control loop. It is left out when the result does not arrive
    /// and when the worker stops. Said twice, the last counts.
    public func onDelivery(_ work: @escaping @Sendable () -> Void) { afterwards(work) }
}
