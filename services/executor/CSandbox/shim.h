// What running a child needs of Linux and Swift's Glibc module does not show: calls that glibc declares for _GNU_SOURCE only.
// Declared by hand instead of by defining _GNU_SOURCE, which would give structures a second shape beside the one of other modules.
#include <features.h>
#include <fcntl.h>
#include <sys/types.h>

extern int memfd_create(const char *name, unsigned int flags);
extern int pipe2(int descriptors[2], int flags);
extern int syncfs(int descriptor);

/// A file in memory that is not passed on by exec and can be sealed.
static inline int auspex_memory_file(const char *name)
{
    return memfd_create(name, 0x0001U | 0x0002U);  // MFD_CLOEXEC | MFD_ALLOW_SEALING
}

/// Makes a memory file unchangeable for everybody who ever gets a descriptor of it.
static inline int auspex_seal(int descriptor)
{
    return fcntl(descriptor, 1033, 0x0001 | 0x0002 | 0x0004 | 0x0008);  // F_ADD_SEALS: seal, shrink, grow, write
}

/// A pipe whose ends are closed on exec from the moment they exist: between pipe() and fcntl() another thread could spawn a child.
static inline int auspex_pipe(int descriptors[2])
{
    return pipe2(descriptors, O_CLOEXEC);
}
