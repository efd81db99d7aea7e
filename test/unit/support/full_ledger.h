// A ledger with one of everything that a report can hold: for tests of what stays valid when it is damaged.
#pragma once

#include <cerrno>

#include "support/ledger_builder.h"

namespace unfreed::test {

inline void fill(LedgerBuilder& builder) {
  using ledger::FdOrigin;
  using ledger::Kind;
  using ledger::ThreadState;
  uint32_t module = builder.module("/usr/bin/program", ledger::kModuleMain);
  uint32_t bare = builder.module("/lib/bare.so", 0, "");
  uint32_t leaf = builder.stack({{module, 104}, {bare, 21}, {0, 0x7f0000000000}, {module, 11}});
  uint32_t files = builder.site(Kind::fd, 0, leaf, ledger::kSiteTruncated);
  builder.open_fd(0, FdOrigin::inherited, 0, "/dev/null");
  builder.open_fd(1, FdOrigin::acquired, files, "/tmp/stdout");
  for (uint32_t fd = 3; fd < 60; ++fd) builder.open_fd(fd, FdOrigin::acquired, files, "/tmp/\xff");
  builder.writer().at<ledger::FdRecord>(ledger::SectionId::fds, 5)->owner_kind = 1;
  builder.open_fd(60, FdOrigin::received, files, "/tmp/received");
  builder.open_fd(61, FdOrigin::ignored, files, "/tmp/ignored");
  builder.open_fd(62, FdOrigin::libc, 0, "/dev/log");
  builder.table_fd(63, FdOrigin::acquired, files);
  for (int fd = 100; fd < 400; ++fd) builder.kernel_fd(fd, "eventfd", O_RDWR | O_NONBLOCK | O_SYNC | O_PATH, true);
  builder.blocks(builder.site(Kind::heap, 1, leaf, ledger::kSiteOverflow), 9, 4, 900, 100);
  builder.blocks(builder.site(Kind::heap, 1, leaf, ledger::kSiteLibc), 9, 4, 900, 100);
  uint32_t threads = builder.site(Kind::thread, 2, leaf);
  builder.thread(threads, ThreadState::finished).start_module = module;
  builder.thread(threads, ThreadState::running, ledger::kThreadDetached);
  builder.failure(3, EMFILE, leaf, 17);
  builder.failure(0, 9999, 0, 1);
  uint32_t children = builder.site(Kind::child, 0, leaf);
  builder.child(children, 6001);
  builder.child(children, 6002);
  builder.child(0, 6003).flags = ledger::kChildInherited;
  builder.kernel_task(6001, true, 'Z', "zombie");
  builder.kernel_task(6002, true, 'S');
  builder.kernel_task(6009, true, 'R');
  builder.kernel_task(5001, false, 'S', "runs");
  builder.kernel_task(5099, false, 'D');
  ledger::Misuse& misuse = builder.misuse(ledger::MisuseKind::double_close, 9, 3, files);
  misuse.opened_site = misuse.closed_site = files;
  builder.misuse(ledger::MisuseKind::stale_owner, 9, 1, files).owner_kind = 1;
  builder.exec_leak(files, 3, 2, "/bin/true");
  builder.header().exhausted_by = 1;
}

}  // namespace unfreed::test
