/// `spec` of the kind `table_conversion`: a file of bars or trades in a foreign format that is to become text that marketdata reads.
public struct TableConversionSpec: Sendable, Hashable, Codable {
    /// The upload in marketdata whose parts are the file.
    public var uploadID: UploadID
    /// The file's SHA-256: what the job's token lets an executor read.
    public var fileSHA256: SHA256Digest
    /// The file's length.
    public var bytes: Int64
    /// The number of its parts, from 1.
    public var parts: Int
    /// What the file looks like, for those who look at the job.
    public var format: String
    /// How long the text may be.
    public var maximumTextBytes: Int64
    /// How long the packed text may be.
    public var maximumPackedBytes: Int64

    /// All fields.
    public init(
        uploadID: UploadID,
        fileSHA256: SHA256Digest,
        bytes: Int64,
        parts: Int,
        format: String,
        maximumTextBytes: Int64,
        maximumPackedBytes: Int64
    ) {
        self.uploadID = uploadID
        self.fileSHA256 = fileSHA256
        self.bytes = bytes
        self.parts = parts
        self.format = format
        self.maximumTextBytes = maximumTextBytes
        self.maximumPackedBytes = maximumPackedBytes
    }
}

/// Result of the kind `table_conversion`: the text's parts, or why the file cannot be used.
public struct TableConversionResult: Sendable, Hashable, Codable {
    /// What was found in the file.
    public struct Table: Sendable, Hashable, Codable {
        /// How many rows there are; row n is line n + 1 of the text.
        public var rows: Int64
        /// What had to be found out or was left out, in plain words.
        public var notes: [String]
        /// The item of an archive that holds one.
        public var item: Item?
        /// The packed text (gzip), in the order of its parts, each a blob of marketdata.
        public var parts: [SHA256Digest]

        /// All fields.
        public init(rows: Int64, notes: [String], item: Item?, parts: [SHA256Digest]) {
            self.rows = rows
            self.notes = notes
            self.item = item
            self.parts = parts
        }
    }

    /// An archive's item, as its folder and its metadata say.
    public struct Item: Sendable, Hashable, Codable {
        /// The folder's name.
        public var name: String
        /// Whether the folder is one of PyStore.
        public var pystore: Bool?
        /// The instrument, where the metadata names it.
        public var symbol: String?
        /// The length of the bars, where the metadata names it.
        public var interval: String?

        /// All fields.
        public init(name: String, pystore: Bool? = nil, symbol: String? = nil, interval: String? = nil) {
            self.name = name
            self.pystore = pystore
            self.symbol = symbol
            self.interval = interval
        }
    }

    /// Why a file cannot be used, and what would be right.
    public struct Refusal: Sendable, Hashable, Codable {
        /// A stable word.
        public var code: String
        /// In plain words.
        public var detail: String

        /// Both fields.
        public init(code: String, detail: String) {
            self.code = code
            self.detail = detail
        }
    }

    /// The table, if there is one.
    public var table: Table?
    /// The refusal, if there is none.
    public var refused: Refusal?

    /// One of both.
    public init(table: Table? = nil, refused: Refusal? = nil) {
        self.table = table
        self.refused = refused
    }
}
