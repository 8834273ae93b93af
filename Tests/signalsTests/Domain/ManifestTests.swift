import Contracts
import Testing

@testable import signals

@Suite("Manifest")
struct ManifestTests {
    static let good = """
        name = "Momentum"
        [schedule]
        kind = "bar_close"
        instrument = "BTCUSD@replay-1"
        interval = "15s"
        [[inputs]]
        instrument = "BTCUSD@replay-1"
        interval = "15s"
        lookback = 200
        [output]
        kind = "direction"
        instrument = "BTCUSD@replay-1"
        horizon_seconds = 60
        [parameters]
        threshold = 0.25
        words = ["a", "b"]
        """

    func problems(_ text: String) -> [UploadProblem] {
        switch ManifestParser.parse(Array(text.utf8)) {
        case .manifest: []
        case .problems(let problems): problems
        }
    }

    @Test("A manifest is read, with its defaults")
    func defaults() throws {
        guard case .manifest(let manifest) = ManifestParser.parse(Array(Self.good.utf8)) else {
            Issue.record("refused: \(problems(Self.good))")
            return
        }
        #expect(manifest.entryPoint == "app:predict")
        #expect(manifest.python == "3.11")
        #expect(manifest.class == .small)
        #expect(manifest.deadlineSeconds == 60)
        #expect(manifest.schedule == .barClose(instrument: "BTCUSD@replay-1", interval: "15s"))
        #expect(manifest.output == ManifestOutput(kind: .direction, instrument: "BTCUSD@replay-1", horizonSeconds: 60))
        #expect(manifest.parameters["threshold"]?.double == 0.25)
        let again: Manifest = try WireJSON.decode(from: try WireJSON.encode(manifest))
        #expect(again == manifest)
    }

    @Test("Every fault is named with its field, all at once")
    func everyFault() {
        let text = """
            name = ""
            entry_point = "app.py"
            python = "2.7"
            class = "signal"
            deadline_seconds = 0
            colour = "red"
            [schedule]
            kind = "cron"
            expression = "61 * * * *"
            zone = "../etc"
            [[inputs]]
            instrument = "BTC USD"
            interval = "15 s"
            lookback = "many"
            [output]
            kind = "hunch"
            instrument = 5
            horizon_seconds = -1
            """
        let fields = Set(problems(text).map { $0.field.replacing("auspex.toml: ", with: "") })
        let expected: Set = [
            "name", "entry_point", "python", "class", "deadline_seconds", "colour", "schedule.expression", "schedule.zone", "inputs[0].instrument",
            "inputs[0].interval", "inputs[0].lookback", "output.kind", "output.instrument", "output.horizon_seconds",
        ]
        #expect(fields == expected)
    }

    @Test("Missing parts are asked for")
    func missing() {
        #expect(problems("").map(\.field) == ["auspex.toml: name", "auspex.toml: schedule", "auspex.toml: output"])
    }

    @Test("A syntax fault has its line and column")
    func syntax() {
        let found = problems("name = \"x\"\nclass = \n")
        #expect(found.first?.code == "bad_toml")
        #expect(found.first?.field == "auspex.toml:2:9")
    }

    @Test(
        "Hostile texts are refused, never crashed on",
        arguments: [
            "\u{0}", "a = \"\u{0}\"", String(repeating: "[", count: 5_000), "a = " + String(repeating: "[", count: 5_000), "a = nan",
            "a = 9223372036854775808",
            "a.b.c = 1\na.b = 2", "name = { }", "[[schedule]]\n[[output]]\ninputs = 3\nname = []",
        ]
    )
    func hostile(text: String) {
        #expect(!problems(text).isEmpty)
    }

    @Test("Bytes that are no UTF-8 are refused")
    func notText() {
        guard case .problems(let found) = ManifestParser.parse([0x61, 0x3d, 0xff, 0xfe]) else {
            Issue.record("accepted")
            return
        }
        #expect(found.count == 1)
    }

    @Test("The entry point must be among the files")
    func entryPoint() {
        let files = ["app.py", "models/first/__init__.py"].map { ProjectFile(path: $0, sha256: LedgerHash.zero, bytes: 1) }
        #expect(ProjectRules.entryPointProblem("app:predict", in: files) == nil)
        #expect(ProjectRules.entryPointProblem("models.first:run", in: files) == nil)
        #expect(ProjectRules.entryPointProblem("models.second:run", in: files)?.message.contains("models/second.py") == true)
    }

    @Test(
        "Cron expressions",
        arguments: [
            ("30 2 * * *", true), ("*/5 9-17 * * mon-fri", true), ("0 0 1,15 jan,JUL 0", true), ("* * * *", false), ("60 * * * *", false),
            ("*/0 * * * *", false), ("5-1 * * * *", false), ("a * * * *", false), ("1,,2 * * * *", false), ("- * * * *", false),
        ]
    )
    func cron(expression: String, isGood: Bool) {
        #expect((CronText.fault(in: expression) == nil) == isGood)
    }

    @Test(
        "Bar lengths",
        arguments: [
            ("15s", 15), ("1m", 60), ("4h", 14_400), ("1d", 86_400), ("2w", 1_209_600), ("0s", nil), ("-1s", nil), ("s", nil),
            ("99999999999999999999s", nil), ("1.5h", nil), ("15", nil),
        ]
    )
    func intervals(text: String, seconds: Int?) {
        #expect(BarInterval(text)?.seconds == seconds)
    }
}
