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
}
