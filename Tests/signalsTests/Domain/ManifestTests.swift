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
        "A schedule that could never be armed is refused where it is written",
        arguments: [
            ("kind = \"cron\"\nexpression = \"30 2 * * mon-fri\"\nzone = \"Europe/Berlin\"", nil), ("kind = \"cron\"\nexpression = \"@hourly\"", nil),
            ("kind = \"cron\"\nexpression = \"0 0 31 2 *\"", "schedule.expression"), ("kind = \"cron\"\nexpression = \"\"", "schedule.expression"),
            ("kind = \"cron\"\nexpression = \"60 * * * *\"", "schedule.expression"),
            ("kind = \"cron\"\nexpression = \"* * * *\"", "schedule.expression"),
            ("kind = \"cron\"\nexpression = \"@daily\"\nzone = \"Mars/Olympus\"", "schedule.zone"),
            ("kind = \"cron\"\nexpression = \"@daily\"\nzone = \"CEST\"", "schedule.zone"),
            ("kind = \"cron\"\nexpression = \"@daily\"\nzone = \"\"", "schedule.zone"),
            ("kind = \"bar_close\"\ninstrument = \"X\"\ninterval = \"5s\"", nil),
            ("kind = \"bar_close\"\ninstrument = \"X\"\ninterval = \"4s\"", "schedule.interval"),
            ("kind = \"bar_close\"\ninstrument = \"X\"\ninterval = \"100000s\"", "schedule.interval"),
            ("kind = \"session\"\ninstrument = \"SPY\"\nevery_seconds = 300", nil),
            ("kind = \"session\"\ninstrument = \"SPY\"\nafter_open_seconds = 0", nil),
            ("kind = \"session\"\ninstrument = \"SPY\"\nbefore_close_seconds = 86401", "schedule.before_close_seconds"),
            ("kind = \"session\"\ninstrument = \"SPY\"", "schedule.kind"),
            ("kind = \"session\"\ninstrument = \"SPY\"\nafter_open_seconds = 5\nin_session = \"SPY\"", "schedule.in_session"),
            ("kind = \"bar_close\"\ninstrument = \"X\"\ninterval = \"5s\"\nin_session = \"X\"", "schedule.in_session"),
            ("kind = \"interval\"\nseconds = 5\njitter_seconds = 5", "schedule.jitter_seconds"),
            ("kind = \"session\"\ninstrument = \"SPY\"\nevery_seconds = 5\nafter_open_seconds = 5", "schedule.kind"),
            ("kind = \"interval\"\nseconds = 1", nil), ("kind = \"interval\"\nseconds = 31622401", "schedule.seconds"),
        ] as [(String, String?)]
    )
    func schedules(text: String, field: String?) {
        let found = problems("name = \"n\"\n[schedule]\n\(text)\n[output]\nkind = \"price\"\ninstrument = \"X\"\nhorizon_seconds = 60\n")
        #expect(found.map(\.field) == (field.map { ["auspex.toml: \($0)"] } ?? []), "\(found)")
    }

    @Test(
        "What a schedule says besides its due times is read, and refused by its key where it is wrong",
        arguments: [
            ("overlap = \"buffer_one\"", nil), ("overlap = \"queue\"", "schedule.overlap"), ("catch_up_seconds = 3600", nil),
            ("catch_up_seconds = 9", "schedule.catch_up_seconds"), ("catch_up_seconds = 2678401", "schedule.catch_up_seconds"),
            ("jitter_seconds = 59", nil), ("jitter_seconds = 60", "schedule.jitter_seconds"), ("jitter_seconds = 3601", "schedule.jitter_seconds"),
            ("jitter_seconds = \"5\"", "schedule.jitter_seconds"), ("start_at = 2026-01-31T08:00:00Z", nil),
            ("start_at = 2026-01-31T08:00:00+02:00", nil), ("start_at = \"2026-01-31T08:00:00Z\"", nil),
            ("start_at = 2026-01-31T08:00:00", "schedule.start_at"), ("start_at = 2026-01-31", "schedule.start_at"),
            ("end_at = 5", "schedule.end_at"),
            ("start_at = 2026-02-01T00:00:00Z\nend_at = 2026-01-01T00:00:00Z", "schedule.end_at"), ("pause_after_failures = 3", nil),
            ("pause_after_failures = 0", "schedule.pause_after_failures"), ("in_session = \"SPY\"", nil),
            ("in_session = \"\"", "schedule.in_session"),
            ("in_session = true", "schedule.in_session"),
        ] as [(String, String?)]
    )
    func policies(text: String, field: String?) {
        let found = problems(
            "name = \"n\"\n[schedule]\nkind = \"interval\"\nseconds = 60\n\(text)\n[output]\nkind = \"price\"\ninstrument = \"X\"\nhorizon_seconds = 60\n"
        )
        #expect(found.map(\.field) == (field.map { ["auspex.toml: \($0)"] } ?? []), "\(found)")
    }

    @Test("A policy reaches the manifest") func policyOfAManifest() {
        let text = """
            name = "n"
            [schedule]
            kind = "cron"
            expression = "@daily"
            overlap = "cancel_other"
            catch_up_seconds = 600
            jitter_seconds = 7
            start_at = 2026-01-31T08:00:00+02:00
            end_at = 2026-12-31T00:00:00Z
            pause_after_failures = 4
            in_session = "QQQ"
            [output]
            kind = "price"
            instrument = "X"
            horizon_seconds = 60
            """
        guard case .manifest(let manifest) = ManifestParser.parse(Array(text.utf8)) else {
            Issue.record("not read")
            return
        }
        #expect(manifest.schedule == .cron(expression: "@daily", zone: "UTC"))
        #expect(
            manifest.policy
                == SchedulePolicy(
                    overlap: .cancelOther,
                    catchUpSeconds: 600,
                    jitterSeconds: 7,
                    startAt: Timestamp(iso8601: "2026-01-31T06:00:00Z"),
                    endAt: Timestamp(iso8601: "2026-12-31T00:00:00Z"),
                    pauseAfterFailures: 4,
                    inSession: "QQQ"
                )
        )
    }

    @Test("The market that a schedule follows is an instrument that has to exist") func marketOfASchedule() throws {
        var manifest = Fixtures.manifest()
        manifest.schedule = .session(instrument: "SPY", moment: .afterOpen(seconds: 60))
        #expect(try Fixtures.newVersion(Fixtures.signal(), manifest: manifest).numbered(1).instruments == ["BTCUSD", "SPY"])
        manifest.schedule = .interval(seconds: 60)
        manifest.policy.inSession = "QQQ"
        #expect(try Fixtures.newVersion(Fixtures.signal(), manifest: manifest).numbered(1).instruments == ["BTCUSD", "QQQ"])
    }

    @Test("As many bars can be looked back on as a run can get", arguments: [(50_000, true), (50_001, false)])
    func lookback(bars: Int, isGood: Bool) {
        let found = problems(Self.good.replacing("lookback = 200", with: "lookback = \(bars)"))
        #expect(found.map(\.field) == (isGood ? [] : ["auspex.toml: inputs[0].lookback"]))
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
