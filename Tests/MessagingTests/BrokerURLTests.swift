import Messaging
import Testing

@Suite struct BrokerURLTests {
    @Test func allPartsAreRead() throws {
        let url = try BrokerURL("amqp://signals:p%40ss%3Aword@broker.internal:5673/au%2Fspex")
        #expect(url.host == "broker.internal" && url.port == 5673 && url.virtualHost == "au/spex")
        let plain = try BrokerURL("amqp://localhost")
        #expect(plain.host == "localhost" && plain.port == 5672 && plain.virtualHost == "/")
        #expect(try BrokerURL("amqp://u:p@[::1]:7/").host == "::1")
    }

    @Test(arguments: ["", "http://x", "amqp://", "amqp://user@", "amqp://h:0", "amqp://h:x", "amqp://u:%4@h", "amqp://h/%zz", "amqps://h"])
    func othersAreRefusedWithoutTheirPassword(text: String) {
        #expect {
            try BrokerURL(text.replacing("amqp://u:", with: "amqp://u:secret"))
        } throws: { error in
            !"\(error)".contains("secret") && !String(reflecting: error).contains("secret")
        }
    }
}
