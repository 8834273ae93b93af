/// Text of strangers, made fit to be shown: what a terminal, a log viewer or a browser would obey instead of show is made visible.
///
/// A line may still say anything (a forged log line stays a line of the author's log), but it can neither move a cursor, recolour a screen, hide
/// behind a carriage return, nor read from right to left.
public enum HarmlessText {
    /// Whether a character acts on the one who shows it: controls other than line end and tab, and what turns the direction or hides.
    public static func isDangerous(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09, 0x0A: false
        case 0x00...0x1F, 0x7F...0x9F: true
        case 0x061C, 0x200B...0x200F, 0x2028...0x202E, 0x2060...0x2069, 0xFEFF, 0xFFF9...0xFFFB, 0xE0000...0xE007F: true
        default: false
        }
    }

    /// The text with every dangerous character replaced: carriage returns by line ends, NUL by `?`, other controls by their pictures (`␛` for escape), the rest by
    /// `�`. It may be longer in bytes.
    public static func clean(_ text: String) -> String {
        // Nearly all text: nothing to do, and found out by its bytes.
        if text.utf8.allSatisfy({ ($0 >= 0x20 && $0 < 0x7F) || $0 == 0x0A || $0 == 0x09 }) { return text }
        var kept = String.UnicodeScalarView()
        var isAfterReturn = false
        for scalar in text.unicodeScalars {
            defer { isAfterReturn = scalar == "\r" }
            if scalar == "\n", isAfterReturn { continue }
            kept.append(isDangerous(scalar) ? picture(of: scalar) : scalar)
        }
        return String(kept)
    }

    private static func picture(of scalar: Unicode.Scalar) -> Unicode.Scalar {
        switch scalar.value {
        case 0x00: "?"
        case 0x0D: "\n"
        case 0x00...0x1F: Unicode.Scalar(0x2400 + scalar.value) ?? "\u{FFFD}"
        case 0x7F: "\u{2421}"
        default: "\u{FFFD}"
        }
    }
}
