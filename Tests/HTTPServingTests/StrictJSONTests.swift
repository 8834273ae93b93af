import Contracts
import Testing

@testable import HTTPServing

@Suite struct StrictJSONTests {
    private struct Input: Decodable, Equatable {
        let instrument: String
        let lookbackBars: Int?
    }

    private struct Body: Decodable {
        let name: String
        let signalID: SignalID?
        let inputs: [Input]
        let parameters: JSONValue?
        let labels: [String: String]?
        let at: Timestamp?
    }

    private func problem(_ text: String) -> Problem? {
        do {
            _ = try StrictJSON.decode(Body.self, from: Array(text.utf8))
            return nil
        } catch {
            return error as? Problem
        }
    }

    @Test func readsWhatIsRight() throws {
        let text =
            #"{"name":"x","inputs":[{"instrument":"BTC","lookback_bars":3},{"instrument":"ETH"}],"parameters":{"any":1.50},"labels":{"fooBar":"y"}}"#
        let body = try StrictJSON.decode(Body.self, from: Array(text.utf8))
        #expect(body.inputs == [Input(instrument: "BTC", lookbackBars: 3), Input(instrument: "ETH", lookbackBars: nil)])
        #expect(WireJSON.encode(try #require(body.parameters)) == Array(#"{"any":1.50}"#.utf8))
        #expect(body.labels == ["fooBar": "y"])
    }

    @Test(arguments: [
        (#"{"name":"x"}"#, "missing_field", "inputs"),
        (#"{"name":3,"inputs":[]}"#, "wrong_type", "name"),
        (#"{"name":null,"inputs":[]}"#, "wrong_type", "name"),
        (#"{"name":"x","inputs":{}}"#, "wrong_type", "inputs"),
        (#"{"name":"x","inputs":[{"instrument":"a"},{"instrument":"b","lookback_bars":1.5}]}"#, "wrong_type", "inputs[1].lookback_bars"),
        (#"{"name":"x","inputs":[{"instrument":"a","lookback_bars":99999999999999999999}]}"#, "wrong_type", "inputs[0].lookback_bars"),
        (#"{"name":"x","inputs":[{"lookback_bars":1}]}"#, "missing_field", "inputs[0].instrument"),
        (#"{"name":"x","inputs":[{"instrument":"a","lookbackBars":1}]}"#, "unknown_field", "inputs[0].lookbackBars"),
        (#"{"name":"x","inputs":[],"admin":true}"#, "unknown_field", "admin"),
        (#"{"name":"x","inputs":[],"signal_id":"nope"}"#, "invalid_value", "signal_id"),
        (#"{"name":"x","inputs":[],"at":"yesterday"}"#, "invalid_value", "at"),
    ])
    func namesTheFieldAtFault(text: String, code: String, field: String) {
        let problem = problem(text)
        #expect(problem?.code == code, "\(String(describing: problem))")
        #expect(problem?.field == field)
        #expect(problem?.status == .badRequest)
    }

    @Test(arguments: [
        ("", "invalid_json"), ("{", "invalid_json"), (#"{"name":"x",}"#, "invalid_json"), (#"{"name":"x","name":"y"}"#, "duplicate_field"),
        ("nul", "invalid_json"), (#"{"name":"\u0000"}"#, "invalid_json"), ("[1,2]", "wrong_type"),
        (String(repeating: "[", count: 100), "too_deep"), (String(repeating: "[", count: 100_000), "too_deep"),
        ("{\"name\":\"x\"} x", "invalid_json"),
    ])
    func refusesWhatIsNoJSON(text: String, code: String) {
        #expect(problem(text)?.code == code)
    }

    @Test func refusesBytesThatAreNotUTF8() {
        #expect(throws: Problem.self) { try StrictJSON.decode(Body.self, from: Array(#"{"name":""#.utf8) + [0xFF, 0xFE] + Array("\"}".utf8)) }
    }

    @Test func refusesOtherMediaTypes() throws {
        let request = try Request(method: .post, target: "/", headers: [("Content-Type", "text/plain")], body: Array(#"{"instrument":"a"}"#.utf8))
        #expect { try request.json(Input.self) } throws: { ($0 as? Problem)?.status == .unsupportedMediaType }
        let good = try Request(
            method: .post,
            target: "/",
            headers: [("Content-Type", "application/json; charset=utf-8")],
            body: Array(#"{"instrument":"a"}"#.utf8)
        )
        #expect(try good.json(Input.self).instrument == "a")
    }
}
