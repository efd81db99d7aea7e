// A report with one of everything.
#pragma once

#include <string_view>

namespace unfreed::render {

inline constexpr std::string_view kSampleReport = R"json({
  "schema_version": 2,
  "tool": {"name": "unfreed", "version": "0.1.0"},
  "trigger": "exit",
  "complete": false,
  "notes": ["3 stacks were cut short: the table of stacks was full"],
  "process": {"pid": 4242, "ppid": 1, "exe": "/opt/service/bin/service", "argv": ["service", "--port", "80"],
    "started": "2024-05-01T12:34:56.000000000Z", "duration_ns": 1234000000, "forked": false, "exit_status": 0},
  "coverage": {"fd": "exact", "heap": "exact", "thread": "partial", "child": "off"},
  "reconciled": true,
  "totals": {
    "fd": {"live": 5, "total": 120, "peak": 9, "open": 9, "inherited": 0, "unattributed": 1, "suppressed": 1},
    "heap": {"live": 12, "bytes": 1234567, "total": 5000, "total_bytes": 98765432, "suppressed": 0},
    "thread": {"live": 1, "running": 2, "total": 4, "peak": 4, "suppressed": 0}
  },
  "worst_site": {"fd": {"live": 4, "total": 101, "peak": 4}, "heap": {"live": 12, "bytes": 1234567}},
  "rules": [{"rule": "fd>0", "value": 4, "broken": true},
    {"rule": "child>0", "value": null, "broken": false, "unchecked": "this kind was not tracked"}],
  "sites": [
    {"id": 3, "kind": "fd", "signature": "00000000000000aa", "grade": "held", "live": 3, "bytes": 0, "total": 100,
      "peak": 3, "acquired_by": "fopen", "truncated": false,
      "stack": [
        {"function": "std::filebuf::open()",
                                  "module" : "/usr/lib/x86_64-linux-gnu/libstdc++.so.6",
                                  "offset" : 4660,
                                  "inlined" : false
},
        {"function": "service::Log::write(std::string const&)", "file": "/opt/service/src/log.cpp", "line": 42,
          "module": "/opt/service/bin/service", "build_id": "abcd", "offset": 100, "inlined": false},
        {"function": "service::Server::handle()", "file": "/opt/service/src/server.cpp", "line": 118,
          "module": "/opt/service/bin/service", "build_id": "abcd", "offset": 200, "inlined": true},
        {"function": "main", "file": "/opt/service/src/main.cpp", "line": 9, "module": "/opt/service/bin/service",
          "build_id": "abcd", "offset": 300, "inlined": false},
        {"function": "__libc_start_call_main", "module": "/usr/lib/x86_64-linux-gnu/libc.so.6", "offset": 1, "inlined": false},
        {"function": "_start", "module": "/opt/service/bin/service", "offset": 2, "inlined": false}],
      "objects": [{"fd": 7, "target": "/var/log/app.log", "flags": ["write"], "thread": 4243, "age_ns": 5000}]
},
    {"id": 4, "kind": "fd", "signature": "00000000000000aa", "grade": "held", "live": 1, "bytes": 0, "total": 1,
      "peak": 1, "acquired_by": "fopen", "truncated": false,
      "stack": [{"function": "service::Log::write(std::string const&)", "module": "/opt/service/bin/service", "offset": 101, "inlined": false}],
      "objects": [{"fd": 8, "target": "/var/log/other\u001b[31m.log", "flags": [], "thread": 4243, "age_ns": 4000}]},
    {"id": 5, "kind": "heap", "signature": "00000000000000bb", "grade": "held", "live": 12, "bytes": 1234567,
      "total": 5000, "total_bytes": 98765432, "peak": null, "acquired_by": "malloc", "truncated": true,
      "stack": [{"module": "/usr/lib/libthing.so.1", "build_id": "ef", "offset": 4660, "inlined": false}]},
    {"id": 6, "kind": "fd", "signature": "00000000000000cc", "grade": "held", "live": 1, "bytes": 0, "total": 1,
      "peak": 1, "acquired_by": "socket", "truncated": false, "stack": [], "objects": [],
      "suppressed_by": "fd:known"},
    {"id": 7, "kind": "thread", "signature": "00000000000000dd", "grade": "leaked", "live": 1, "bytes": 0, "total": 3,
      "peak": 3, "running": 2, "acquired_by": "pthread_create", "truncated": false,
      "stack": [{"function": "start_workers", "file": "/opt/service/src/pool.c", "line": 5,
        "module": "/opt/service/bin/service", "offset": 9, "inlined": false}],
      "objects": [{"thread": 4250, "name": "worker", "state": "finished", "detached": false, "age_ns": 100}]}
  ],
  "descriptors": [{"fd": 9, "origin": "unattributed", "target": "/dev/null", "flags": []}],
  "failures": [{"function": "openat", "kind": "fd", "error": "EMFILE", "count": 12, "live_then": 1020, "thread": 4243,
    "first": "2024-05-01T12:34:57Z", "first_after_ns": 1, "truncated": false,
    "stack": [{"function": "open_log", "file": "/opt/service/src/log.cpp", "line": 17,
      "module": "/opt/service/bin/service", "offset": 1, "inlined": false}]}],
  "modules": [{"path": "/opt/service/bin/service", "build_id": "abcd", "base": 0, "size": 4096}]
})json";

}  // namespace unfreed::render
