import Contracts
import Cryptography
import HTTPServing
import JobWorker
import Messaging
import ServiceRuntime

extension Application {
    /// What makes the other intervals of charts in advance: the orders, and the worker that does them on whichever replica is free.
    struct Resampling {
        let orders: ResampleOrders
        let components: [any Component]

        /// Nothing when it is switched off.
        init?(
            _ settings: MarketdataSettings,
            _ environment: ServiceEnvironment,
            store: any MarketdataStore,
            reader: BarReader,
            tokens: ServiceTokenSource
        ) throws {
            guard settings.resampling.isOn else { return nil }
            let (loops, time) = (environment.loops, environment.time)
            let scheduler = ServiceClient(baseURLs: settings.schedulerURLs, audience: "scheduler", tokens: tokens, http: HTTPClient(), time: time)
            orders = ResampleOrders(
                store: store,
                jobs: SchedulerJobs(scheduler: scheduler),
                cpu: environment.cpu,
                time: time,
                loop: loops.control,
                minimumRows: settings.resampling.minimumRows
            )
            // Neither says anything about readiness: bars are served without the scheduler and without hints.
            let wakeups = try Wakeups(brokerURL: settings.brokerURL, service: "marketdata", loop: loops.control)
            let worker = JobWorker(
                worker: "marketdata-\(EventID.make())",
                scheduler: scheduler,
                classes: [.marketdata: settings.resampling.slots],
                handlers: [ResampleAllHandler(reader: reader, time: time)],
                wakeups: wakeups,
                timeSource: time,
                control: loops.control,
                loops: loops.serving
            )
            components = [orders, wakeups, worker]
        }
    }
}
