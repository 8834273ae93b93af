internal import Contracts
internal import Glibc

/// Writes the head of an answer.
enum ResponseHead {
    static func write(
        _ response: Response,
        contentLength: Int?,
        requestID: String,
        date: [UInt8],
        closes: Bool,
        saysKeepAlive: Bool,
        to out: OutputBuffer
    ) {
        out.append("HTTP/1.1 ")
        out.append(response.status.code)
        out.append(" ")
        out.append(response.status.reasonPhrase)
        out.append("\r\nDate: ")
        out.append(date)
        if let contentType = response.contentType {
            out.append("\r\nContent-Type: ")
            out.append(headerValue: contentType)
        }
        if let contentLength, !response.status.forbidsBody {
            out.append("\r\nContent-Length: ")
            out.append(contentLength)
        }
        if !requestID.isEmpty {
            out.append("\r\nX-Request-ID: ")
            out.append(requestID)
        }
        if !response.headers.isEmpty {
            for (name, value) in response.headers.entries where name.utf8.allSatisfy(\.isTokenCharacter) && !isOurs(name) {
                out.append("\r\n")
                out.append(name)
                out.append(": ")
                out.append(headerValue: value)
            }
        }
        if closes {
            out.append("\r\nConnection: close")
        } else if saysKeepAlive {
            out.append("\r\nConnection: keep-alive")
        }
        out.append("\r\n\r\n")
    }

    private static func isOurs(_ name: String) -> Bool {
        switch name.lowercased() {
        case "content-length", "transfer-encoding", "connection", "date": true
        default: false
        }
    }
}

/// The value of the `Date` header, made once a second.
struct DateHeader {
    private var second = Int64.min
    private var bytes: [UInt8] = []

    mutating func current() -> [UInt8] {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME_COARSE, &time)
        if Int64(time.tv_sec) != second {
            second = Int64(time.tv_sec)
            bytes = Self.text(second: second)
        }
        return bytes
    }

    static func text(second: Int64) -> [UInt8] {
        let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
        let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        let civil = CivilTime(microseconds: second * 1_000_000)
        let day = Int(((second / 86_400) % 7 + 7) % 7)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let text =
            "\(days[day]), \(two(civil.day)) \(months[civil.month - 1]) \(civil.year) \(two(civil.hour)):\(two(civil.minute)):\(two(civil.second)) GMT"
        return Array(text.utf8)
    }
}
