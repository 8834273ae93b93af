import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Messaging

@Suite struct RelayBellTests {
    @Test func onlyAPokeIsToldToOthers() async throws {
        try await withLoop { loop in
            let bell = RelayBell()
            bell.ring(isPoke: false)
            let fromOutside = await bell.wait(atMost: .seconds(60), on: loop)
            bell.ring(isPoke: true)
            bell.ring(isPoke: false)
            let fromHere = await bell.wait(atMost: .seconds(60), on: loop)
            let silence = await bell.wait(atMost: .milliseconds(1), on: loop)
            #expect(!fromOutside && fromHere && !silence)
        }
    }

    /// A relay that is woken reads the outbox: a transaction that has said nothing wakes nobody.
    @Test(.enabled(if: TestServers.available)) func onlyATransactionThatSaysSomethingWakesTheRelay() async throws {
        try await withMessaging { fixture in
            // A schema of its own: whoever says something in the one of all tests wakes all.
            let (outbox, signal, bell) = (Outbox(schema: "quiet"), OutboxSignal.of(schema: "quiet"), RelayBell())
            signal.add(bell)
            _ = try await outbox.transaction(on: fixture.pool) { try await $0.execute("INSERT INTO things VALUES ('quiet', 1, 1)") }
            let silence = await bell.wait(atMost: .milliseconds(1), on: fixture.loop)
            try await outbox.transaction(on: fixture.pool) { connection in
                try await connection.execute("INSERT INTO things VALUES ('loud', 1, 1)")
                signal.noteAppend()
            }
            let word = await bell.wait(atMost: .seconds(60), on: fixture.loop)
            #expect(!silence && word)
        }
    }
}
