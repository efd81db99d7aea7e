// The parts that glibc's streams are made of. They are exported for programs linked long ago, and work on a stream that
// exists already: they give it a descriptor, or take it away, and the stream stays.
#include "hook/real.h"
#include "hook/stream.h"

using namespace unfreed;
using hook::adopted;
using hook::child_behind;
using hook::closing_fd;
using hook::descriptor_of;
using hook::g_real;
using hook::Hook;
using hook::opened;
using hook::process_opened;
using ledger::FdOwner;
using unwind::caller_registers;
using unwind::owning;

UNFREED_HOOK FILE* _IO_file_fopen(FILE* stream, const char* path, const char* mode, int is_32_bit) {
  return opened(owning([&] { return g_real._IO_file_fopen(stream, path, mode, is_32_bit); }), FdOwner::file_stream,
                Hook::_IO_file_fopen, caller_registers(), path);
}
UNFREED_HOOK FILE* _IO_file_open(FILE* stream, const char* path, int flags, int mode, int stream_flags, int is_32_bit) {
  return opened(owning([&] { return g_real._IO_file_open(stream, path, flags, mode, stream_flags, is_32_bit); }),
                FdOwner::file_stream, Hook::_IO_file_open, caller_registers(), path);
}
UNFREED_HOOK FILE* _IO_file_attach(FILE* stream, int fd) {
  return adopted(fd, FdOwner::file_stream, g_real._IO_file_attach(stream, fd));
}
UNFREED_HOOK int _IO_file_close_it(FILE* stream) {
  return closing_fd(descriptor_of(stream), stream, Hook::_IO_file_close_it, caller_registers(),
                    [&] { return g_real._IO_file_close_it(stream); });
}
UNFREED_HOOK int _IO_file_close(FILE* stream) {
  return closing_fd(descriptor_of(stream), stream, Hook::_IO_file_close, caller_registers(),
                    [&] { return g_real._IO_file_close(stream); });
}
UNFREED_HOOK FILE* _IO_proc_open(FILE* stream, const char* command, const char* mode) {
  return process_opened(command, Hook::_IO_proc_open, caller_registers(),
                        [&] { return g_real._IO_proc_open(stream, command, mode); });
}
UNFREED_HOOK int _IO_proc_close(FILE* stream) {
  pid_t child = child_behind(stream);
  int result = closing_fd(descriptor_of(stream), stream, Hook::_IO_proc_close, caller_registers(),
                          [&] { return g_real._IO_proc_close(stream); });
  if (result >= 0)
    hook::child_collected(child, result);
  else
    track::child_reaped(child);
  return result;
}
