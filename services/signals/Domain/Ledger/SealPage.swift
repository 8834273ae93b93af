/// Some seals in a row.
///
/// A seal holds the head of every signal that changed in its second: with a thousand signals on one grid a few thousand seals are millions of heads. So what
/// ends a page is the number of heads in it, and not only the number of seals.
struct SealPage: Sendable, Hashable {
    /// What a page holds at most, unless its first seal alone has more: so each page has one at least, and a reader gets on.
    static let maximumHeads = 20_000

    var seals: [LedgerSeal]
    /// Whether more seals would have been in the range that was asked for.
    var hasMore: Bool
}
