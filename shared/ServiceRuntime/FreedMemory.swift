internal import CLinux

/// What the allocator does with memory that was freed.
public enum FreedMemory {
    /// Keeps up to so many bytes of it for each thread that allocates, instead of giving large blocks back to the kernel at once.
    ///
    /// For a service that works on columns of some hundred kilobytes: without it each one is mapped, filled with zeros page by page, and unmapped again,
    /// which takes longer than the work on it. To be called once, before threads begin.
    public static func keep(bytes: Int32) { _ = auspex_keep_freed_memory(bytes) }
}
