import Contracts
import Testing

@Suite struct TimestampTests {
    @Test(
        arguments: [
            ("1970-01-01T00:00:00.000000Z", 0), ("2016-10-08T12:01:00.000000Z", 1_475_928_060_000_000),
            ("1969-12-31T23:59:59.999999Z", -1), ("2000-02-29T00:00:00.000001Z", 951_782_400_000_001),
            ("0001-01-01T00:00:00.000000Z", -62_135_596_800_000_000), ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ] as [(String, Int64)]
    )
    func textAndNumberAgree(text: String, microseconds: Int64) throws {
        #expect(Timestamp(microseconds: microseconds).iso8601 == text)
        #expect(Timestamp(iso8601: text)?.microseconds == microseconds)
    }

    @Test(arguments: [
        "2016-10-08T12:01:00Z", "2016-10-08 12:01:00Z", "2016-10-08T12:01:00.0Z", "2016-10-08T14:01:00+02:00", "2016-10-08T05:31:00-06:30",
        "2016-10-08T12:01:00.000000999Z", "2016-10-08t12:01:00z",
    ])
    func otherSpellingsOfOneMoment(text: String) {
        #expect(Timestamp(iso8601: text) == Timestamp(seconds: 1_475_928_060))
    }

    @Test(arguments: [
        "", "2016", "2016-10-08", "2016-13-01T00:00:00Z", "2016-00-01T00:00:00Z", "2016-02-30T00:00:00Z", "2015-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z", "2016-10-00T00:00:00Z", "2016-10-08T24:00:00Z", "2016-10-08T12:60:00Z", "2016-10-08T12:01:60Z",
        "2016-10-08T12:01:00", "2016-10-08T12:01:00.Z", "2016-10-08T12:01:00.1234567890Z", "2016-10-08T12:01:00Zz", "2016-10-08T12:01:00+24:00",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "+2016-10-08T12:01:00Z", "2016-10-08T12:01:00+0200", "２016-10-08T12:01:00Z",
    ])
    func nonsenseIsRefused(text: String) {
        #expect(Timestamp(iso8601: text) == nil)
    }

    @Test func everyDayOfEightHundredYearsComesBack() {
        var day = CivilTime.daysSince1970(year: 1_600, month: 1, day: 1)
        let end = CivilTime.daysSince1970(year: 2_400, month: 1, day: 1)
        #expect(end - day == 292_194)
        var previous = (year: 1_599, month: 12, day: 31)
        while day < end {
            let date = CivilTime.date(daysSince1970: day)
            #expect(CivilTime.daysSince1970(year: date.year, month: date.month, day: date.day) == day)
            let isNext =
                date.day == previous.day + 1 && date.month == previous.month
                || date.day == 1 && previous.day == CivilTime.daysInMonth(previous.month, year: previous.year)
            #expect(isNext)
            previous = date
            day += 1
        }
    }

    @Test func textComesBackForManyMoments() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<2_000 {
            let moment = Timestamp(
                microseconds: .random(in: Timestamp.distantPast.microseconds...Timestamp.distantFuture.microseconds, using: &generator)
            )
            #expect(Timestamp(iso8601: moment.iso8601) == moment)
        }
    }

    @Test func arithmeticIsInMicroseconds() {
        let start = Timestamp(seconds: 10)
        #expect(start + .milliseconds(1) == Timestamp(microseconds: 10_001_000))
        #expect(start - .seconds(11) == Timestamp(seconds: -1))
        #expect(Timestamp(seconds: 12) - start == .seconds(2))
        #expect(Timestamp(microseconds: -1).seconds == -1 && Timestamp(microseconds: 1).seconds == 0)
        #expect(Timestamp(microseconds: -1).floored(to: .seconds(15)) == Timestamp(seconds: -15))
        #expect(Timestamp(seconds: 44).floored(to: .seconds(15)) == Timestamp(seconds: 30))
    }

    @Test func theWireCarriesText() throws {
        #expect(try WireJSON.encode([Timestamp(seconds: 0)]) == Array(#"["1970-01-01T00:00:00.000000Z"]"#.utf8))
        #expect(throws: DecodingError.self) { try WireJSON.decode([Timestamp].self, from: ["yesterday"]) }
        #expect(Timestamp(microseconds: .max).iso8601 == Timestamp.distantFuture.iso8601)
    }

    @Test func datesAreDates() throws {
        let date = try #require(CivilDate("2016-10-08"))
        #expect(date == CivilDate(year: 2_016, month: 10, day: 8) && date.description == "2016-10-08")
        #expect(CivilDate(of: Timestamp(microseconds: -1)).description == "1969-12-31")
        for text in ["2016-10-8", "2016-02-30", "2016-10-08T", "20161008", "0000-01-01"] { #expect(CivilDate(text) == nil) }
    }
}
