"""What programs are run under: nothing, unfreed, and the peers that are installed."""
import glob
import os
import shutil


class Tool:
    """How a program is run under a tool. `share` of the bare count keeps slow tools' runs short; `whole` says whether it
    is to run whole programs too, `rows` which operations (None: all)."""

    def __init__(self, name, prefix=(), env=None, share=1.0, whole=True, rows=None):
        self.name, self.prefix, self.env, self.share, self.whole = name, list(prefix), env or {}, share, whole
        self.rows = rows

    def environment(self, extra=None):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("UNFREED_", "LD_PRELOAD"))}
        return {**env, **self.env, **(extra or {})}


def find_tools(build, scratch, peers=True):
    """Bare, unfreed, and the peers that are installed; and the names of those that are not."""
    library = os.path.join(build, "src", "runtime", "libunfreed.so")
    # The runtime writes its report itself: looking up source lines is not the program's time.
    unfreed = {"LD_PRELOAD": library, "UNFREED_QUIET": "1", "UNFREED_OUTPUT": os.path.join(scratch, "report.%p.json"),
               "UNFREED_HELPER": "/nonexistent"}
    tools = [Tool("bare"), Tool("unfreed", env=unfreed), Tool("unfreed, sampled", env={**unfreed, "UNFREED_SAMPLE": "512K"})]
    missing = []
    # Those that see system calls alone.
    command = os.path.join(build, "src", "cli", "unfreed")
    outside = {"share": 1 / 20, "whole": False, "rows": ("open+close",)}
    run = [command, "run", "-q", "--force", "-o", os.path.join(scratch, "outside.json")]
    tools.append(Tool("unfreed, trace", [*run, "--backend=trace", "--"], **outside))
    if os.geteuid() == 0:
        tools.append(Tool("unfreed, ebpf", [*run, "--backend=ebpf", "--"], **outside))
    if not peers:
        return tools, missing

    def peer(found, package, make):
        if found:
            tools.append(make(found))
        else:
            missing.append(package)

    def library_of(pattern):
        return next(iter(sorted(glob.glob(pattern))), None)

    peer(shutil.which("strace"), "strace",
         lambda path: Tool("strace", [path, "-f", "--seccomp-bpf", "-e", "trace=openat,close", "-o", "/dev/null"], **outside))
    peer(shutil.which("heaptrack"), "heaptrack",
         lambda path: Tool("heaptrack", [path, "-o", os.path.join(scratch, "heaptrack")], share=1 / 20))
    options = "detect_leaks=0:malloc_context_size=64:fast_unwind_on_malloc="
    lsan = library_of("/usr/lib/*/liblsan.so.0")
    peer(lsan, "liblsan0", lambda path: Tool("LSan, frame pointers", env={"LD_PRELOAD": path, "LSAN_OPTIONS": options + "1"},
                                             share=1 / 4))
    if lsan:
        tools.append(Tool("LSan, full stacks", env={"LD_PRELOAD": lsan, "LSAN_OPTIONS": options + "0"}, share=1 / 200,
                          whole=False))
    peer(library_of("/usr/lib/*/libtcmalloc.so.4"), "libgoogle-perftools4",
         lambda path: Tool("gperftools", env={"LD_PRELOAD": path, "HEAPPROFILE": os.path.join(scratch, "heap"),
                                              "HEAP_PROFILE_ALLOCATION_INTERVAL": "0",
                                              "HEAP_PROFILE_INUSE_INTERVAL": "0"}, share=1 / 400, whole=False))
    # Sampled, one block in 512 KiB; beside its own allocator, which is not glibc's.
    peer(library_of("/usr/lib/*/libjemalloc.so.2"), "libjemalloc2",
         lambda path: Tool("jemalloc, sampled", env={"LD_PRELOAD": path, "MALLOC_CONF": "prof:true,lg_prof_sample:19"}))
    peer(shutil.which("valgrind"), "valgrind",
         lambda path: Tool("valgrind", [path, "-q", "--num-callers=60"], share=1 / 100, whole=False))
    return tools, missing
