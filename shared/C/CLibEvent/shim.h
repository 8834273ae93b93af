// Settle glibc's feature macros before event-config.h defines _GNU_SOURCE: fd_set would otherwise differ between modules.
#include <features.h>
#include <event2/event.h>
#include <event2/thread.h>
