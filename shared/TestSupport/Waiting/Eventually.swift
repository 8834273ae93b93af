/// Asks again and again until `condition` holds; throws when it does not in time. For what no signal tells.
public func eventually(
    timeout: Duration = .seconds(60),
    every interval: Duration = .milliseconds(5),
    _ what: String = "the condition",
    caller: isolated (any Actor)? = #isolation,
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + timeout
    while true {
        if try await condition() { return }
        guard ContinuousClock.now < deadline else { throw TestSupportError("\(what) did not come true within \(timeout)") }
        try await Task.sleep(for: interval)
    }
}

/// Asks again and again until `body` has a value; throws when it has none in time.
public func eventuallyValue<Value>(
    timeout: Duration = .seconds(60),
    every interval: Duration = .milliseconds(5),
    _ what: String = "the value",
    caller: isolated (any Actor)? = #isolation,
    _ body: () async throws -> Value?
) async throws -> Value {
    let deadline = ContinuousClock.now + timeout
    while true {
        if let value = try await body() { return value }
        guard ContinuousClock.now < deadline else { throw TestSupportError("\(what) was not there within \(timeout)") }
        try await Task.sleep(for: interval)
    }
}
