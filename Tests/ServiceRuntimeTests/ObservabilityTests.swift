import FoundationEssentials
import ServiceRuntime
import Testing

@Suite("Metrics, traces and readiness")
struct ObservabilityTests {
    @Test("the page is what Prometheus reads: help, type, labels escaped, buckets that add up")
    func metricsPage() {
        let metrics = Metrics()
        metrics.counter("requests_total", help: "Requests.", labels: ["route": "/a\"b"]).increment(by: 3)
        metrics.gauge("depth", help: "Depth.").set(2)
        let histogram = metrics.histogram("wait_seconds", help: "Wait.", buckets: [0.1, 1])
        histogram.observe(0.05)
        histogram.observe(0.5)
        histogram.observe(5)
        let page = metrics.render()
        #expect(page.contains("requests_total{route=\"/a\\\"b\"} 3\n"))
        #expect(page.contains("# TYPE depth gauge\ndepth 2.0\n"))
        #expect(page.contains("wait_seconds_bucket{le=\"0.1\"} 1\nwait_seconds_bucket{le=\"1.0\"} 2\nwait_seconds_bucket{le=\"+Inf\"} 3\n"))
        #expect(page.contains("wait_seconds_count 3\n"))
    }

    @Test("a metric made twice is one metric")
    func sameMetric() {
        let metrics = Metrics()
        metrics.counter("c_total", help: "C.").increment()
        metrics.counter("c_total", help: "C.").increment()
        #expect(metrics.counter("c_total", help: "C.").current == 2)
    }

    @Test(
        "a malformed traceparent is refused",
        arguments: [
            "", "00", "00-00000000000000000000000000000000-b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-extra", "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ]
    )
    func badTraceparent(_ text: String) {
        #expect(TraceContext(traceparent: text) == nil)
    }

    @Test("a child keeps the trace and gets a span of its own")
    func childTrace() throws {
        let trace = try #require(TraceContext(traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
        let child = trace.child()
        #expect(child.traceID == "0af7651916cd43dd8448eb211c80319c")
        #expect(child.spanID != trace.spanID)
        #expect(TraceContext(traceparent: child.traceparent) == child)
        #expect(TraceContext(traceparent: TraceContext.make().traceparent) != nil)
    }

    @Test("ready only when every dependency is, and never again once draining")
    func readiness() {
        let readiness = Readiness()
        #expect(readiness.report().ready)
        let database = readiness.register("postgres")
        #expect(!readiness.report().ready)
        database.set(ready: true)
        #expect(readiness.report().ready)
        readiness.drain()
        #expect(!readiness.report().ready)
    }
}
