import Testing

@testable import Messaging

@Suite("The words after dead")
struct DeadCommandTests {
    private let consumers = ["runs", "accounts"]

    @Test("are read")
    func read() {
        #expect(DeadCommand.Verb(["list"], consumers: consumers) == .list)
        #expect(DeadCommand.Verb(["show", "runs"], consumers: consumers) == .show(consumer: "runs", limit: 20))
        #expect(DeadCommand.Verb(["show", "runs", "3"], consumers: consumers) == .show(consumer: "runs", limit: 3))
        #expect(DeadCommand.Verb(["replay", "runs", "--all"], consumers: consumers) == .replay(consumer: "runs", ids: nil))
        #expect(DeadCommand.Verb(["drop", "accounts", "a", "b"], consumers: consumers) == .drop(consumer: "accounts", ids: ["a", "b"]))
    }

    @Test(
        "are refused when something is missing or unknown",
        arguments: [
            [], ["list", "runs"], ["show"], ["show", "nobody"], ["show", "runs", "0"], ["show", "runs", "x"], ["replay", "runs"], ["drop", "runs"],
            ["drop", "runs", "--al"], ["fly", "runs"],
        ]
    )
    func refused(words: [String]) {
        #expect(DeadCommand.Verb(words, consumers: consumers) == nil)
    }
}
