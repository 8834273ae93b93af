import Testing

@testable import HTTPServing

@Suite struct AccessLogTests {
    @Test(arguments: [
        ("/udf/session/secret/config", "/udf/session/…/config"), ("/udf/session/secret", "/udf/session/…"), ("/udf/session/", "/udf/session/…"),
        ("/udf/session/se%63ret/no/such/route", "/udf/session/…/no/such/route"), ("/udf/config", "/udf/config"), ("/udf/session", "/udf/session"),
    ])
    func aSecretInThePathIsLeftOut(path: String, logged: String) {
        #expect(AccessLog.masked(path, ["/udf/session/"]) == logged)
        #expect(AccessLog.masked(path, []) == path)
    }
}
