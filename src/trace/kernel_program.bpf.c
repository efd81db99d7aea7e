// The kernel's side of --backend=ebpf: writes an event into the ring for each system call of a watched process that
// makes or ends a descriptor, and for what its threads and processes begin and end with. It copies what the observer
// would read of a stopped thread: registers, the top of the stack, what the call's pointers lead to.
//
// On raw tracepoints alone, which every kernel with BPF has. Offsets in the kernel's structures are those of the
// running kernel (CO-RE: its BTF).
#include <linux/types.h>

#include <asm/ptrace.h>
#include <linux/bpf.h>
#include <linux/errno.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "trace/kernel_events.h"
#include "trace/kernel_types.bpf.h"

// The licence of the helpers that are called, for the kernel's check; the file is under that of the project, too.
char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
  kDataBytes = 0x8000,  // of one event
  kMostPiece = 4096,
  kPage = 4096,
  kMostControl = 1088,  // room for SCM_MAX_FD descriptors and credentials
  kMostMessages = 8,
  kMostNames = 48,
  kWakeRange = 32768,
  kMostName = 256,
  kMostAuxiliary = 512,
};

const volatile struct KernelConstants constants = {.stack_bytes = 8192, .follows_children = 1};

struct event {
  struct KernelEvent head;
  __u8 data[kDataBytes + kMostTableBytes + 64];
  // While a path is written:
  struct dentry* dentry;
  struct vfsmount* vfs;
  __u32 path_bytes;
};

/// One event in the making for each processor: events are not made in the middle of one another.
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct event);
} drafts SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} ring SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, kMostCalls);
  __type(key, __u32);
  __type(value, struct KernelCall);
} calls SEC(".maps");

/// The processes that are watched.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, __u8);
} watched SEC(".maps");

/// Events that could not be told, as the ring was full, by process.
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 65536);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, __u32);
  __type(value, __u64);
} losses SEC(".maps");

#define INLINE static __attribute__((always_inline)) inline
// Checked by the kernel once, by itself: for any arguments. Where all is one function, it has too many paths to check.
#define CHECKED_ALONE __attribute__((noinline))

INLINE int is_watched(__u32 process) { return bpf_map_lookup_elem(&watched, &process) != 0; }

INLINE void count_loss(__u32 process) {
  __u64 none = 0;
  __u64* count = bpf_map_lookup_elem(&losses, &process);
  if (!count) {
    bpf_map_update_elem(&losses, &process, &none, BPF_NOEXIST);
    count = bpf_map_lookup_elem(&losses, &process);
  }
  if (count) __sync_fetch_and_add(count, 1);
}

INLINE struct event* draft() {
  __u32 processor = bpf_get_smp_processor_id();
  return bpf_map_lookup_elem(&drafts, &processor);
}

INLINE struct event* begin_event(__u16 type) {
  struct event* event = draft();
  if (!event) return 0;
  __u64 who = bpf_get_current_pid_tgid();
  event->head.type = type;
  event->head.row = 0;
  event->head.result = 0;
  event->head.process = who >> 32;
  event->head.thread = (__u32)who;
  event->head.time_ns = bpf_ktime_get_ns();
  return event;
}

INLINE void send(struct event* event, __u32 size) {
  __u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
  // Not for each event from there on: that takes long.
  __u64 flags = waiting - constants.wake_at < kWakeRange ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
  size = (size & (kDataBytes - 1)) + sizeof event->head;
  if (bpf_ringbuf_output(&ring, event, size, flags)) count_loss(event->head.process);
}

/// Sets a piece's head, and returns where the next begins.
INLINE __u32 add_head(struct event* event, __u32 at, __u32 kind, __u64 address, __u32 bytes) {
  struct KernelPiece* piece = (struct KernelPiece*)(event->data + (at & (kDataBytes - 8)));
  piece->address = address;
  piece->kind = kind;
  piece->bytes = bytes;
  return at + sizeof *piece + ((bytes + 7) & ~7u);
}

/// Where a piece's bytes go.
INLINE __u8* place_of(struct event* event, __u32 at) {
  return event->data + ((at + sizeof(struct KernelPiece)) & (kDataBytes - 8));
}

/// As the registers of the event have it.
INLINE __u64 argument_of(struct event* event, __u32 index) {
#if defined(__TARGET_ARCH_x86)
  switch (index) {
    case 0:
      return event->head.registers[14];
    case 1:
      return event->head.registers[13];
    case 2:
      return event->head.registers[12];
    case 3:
      return event->head.registers[7];
    default:
      return event->head.registers[index == 4 ? 9 : 8];
  }
#else
  return event->head.registers[index & 7];
#endif
}
INLINE __u64 stack_pointer_of(struct event* event) {
#if defined(__TARGET_ARCH_x86)
  return event->head.registers[19];
#else
  return event->head.registers[31];
#endif
}

CHECKED_ALONE __u32 add_memory(__u32 at, __u64 address, __u32 bytes) {
  struct event* event = draft();
  if (!event) return at;
  if (bytes > kMostPiece) bytes = kMostPiece;
  barrier_var(bytes);
  bytes &= 2 * kMostPiece - 1;  // the check cannot follow the comparison
  if (!address || bpf_probe_read_user(place_of(event, at), bytes, (void*)address)) return at;
  return add_head(event, at, kPieceMemory, address, bytes);
}

CHECKED_ALONE __u32 add_text(__u32 at, __u64 address) {
  struct event* event = draft();
  if (!event) return at;
  long bytes = bpf_probe_read_user_str(place_of(event, at), kMostPiece, (void*)address);
  if (bytes <= 0) return at;
  return add_head(event, at, kPieceMemory, address, bytes & (2 * kMostPiece - 1));
}

/// Page by page: one that is not there would have all fail.
CHECKED_ALONE __u32 add_stack(__u32 at) {
  struct event* event = draft();
  if (!event) return at;
  struct task_struct* task = (void*)bpf_get_current_task();
  __u64 base = BPF_CORE_READ(task, mm, start_stack);
  __u64 most = constants.stack_bytes, sp = stack_pointer_of(event);
  if (sp < base && base - sp < most) most = base - sp;  // of the main thread; the environment lies above
  __u32 bytes = 0;
  __u32 piece = kPage - (sp & (kPage - 1));
  for (int pages = 0; pages < 5; ++pages) {
    if (bytes >= most) break;
    if (piece > most - bytes) piece = most - bytes;
    if (piece > kPage) piece = kPage;
    if (bpf_probe_read_user(place_of(event, at + bytes), piece, (void*)(sp + bytes))) break;
    bytes += piece;
    piece = kPage;
  }
  return bytes ? add_head(event, at, kPieceStack, sp, bytes) : at;
}

/// One name of the path, or one mount further up. False: that was all.
CHECKED_ALONE int add_name(__u32 at) {
  struct event* event = draft();
  if (!event) return 0;
  struct dentry *dentry = event->dentry, *parent = BPF_CORE_READ(dentry, d_parent);
  struct vfsmount* vfs = event->vfs;
  if (dentry == BPF_CORE_READ(vfs, mnt_root) || dentry == parent) {
    struct mount* mount = (struct mount*)((char*)vfs - bpf_core_field_offset(struct mount, mnt));
    struct mount* above = BPF_CORE_READ(mount, mnt_parent);
    if (!above || above == mount) return 0;
    event->dentry = BPF_CORE_READ(mount, mnt_mountpoint);
    event->vfs = (struct vfsmount*)((char*)above + bpf_core_field_offset(struct mount, mnt));
    return 1;
  }
  long size =
      bpf_probe_read_kernel_str(place_of(event, at + event->path_bytes), kMostName, BPF_CORE_READ(dentry, d_name.name));
  if (size <= 0 || event->path_bytes > kMostPiece - 2 * kMostName) {
    event->path_bytes = 0;
    return 0;
  }
  event->path_bytes += (size + 7) & (2 * kMostName - 8);
  event->dentry = parent;
  return 1;
}

CHECKED_ALONE __u32 add_path(__u32 at, __u64 file_address) {
  struct event* event = draft();
  if (!event) return at;
  struct file* file = (struct file*)file_address;
  event->dentry = BPF_CORE_READ(file, f_path.dentry);
  event->vfs = BPF_CORE_READ(file, f_path.mnt);
  event->path_bytes = 0;
  for (int names = 0; names < kMostNames; ++names)
    if (!add_name(at)) break;
  return event->path_bytes ? add_head(event, at, kPiecePath, 0, event->path_bytes & (2 * kMostPiece - 1)) : at;
}

CHECKED_ALONE __u32 add_table(__u32 at, __u64 files_address) {
  struct event* event = draft();
  if (!event) return at;
  struct files_struct* files = (struct files_struct*)files_address;
  struct fdtable* table = BPF_CORE_READ(files, fdt);
  __u32 bytes = BPF_CORE_READ(table, max_fds) / 8;
  __u64 is_cut = bytes > kMostTableBytes;
  if (is_cut) bytes = kMostTableBytes;
  unsigned long* open = BPF_CORE_READ(table, open_fds);
  if (!open || bpf_probe_read_kernel(place_of(event, at), bytes, open)) return at;
  return add_head(event, at, kPieceTable, is_cut, bytes);
}

INLINE void keep_registers(struct event* event, struct pt_regs* registers) {
  __u32 bytes = sizeof *registers < sizeof event->head.registers ? sizeof *registers : sizeof event->head.registers;
  bpf_probe_read_kernel(event->head.registers, bytes, registers);
}

CHECKED_ALONE int meets_conditions(__u32 number) {
  struct event* event = draft();
  const struct KernelCall* call = bpf_map_lookup_elem(&calls, &number);
  if (!event || !call) return 0;
  __u32 value = argument_of(event, call->condition_argument);
  for (int at = 0; at < kMostConditions; ++at)
    if (at < call->conditions && call->values[at] == value) return 1;
  return 0;
}

struct message_header {  // struct user_msghdr of the 64-bit calls
  __u64 name, name_bytes, parts, part_count, control, control_bytes, flags;
};

CHECKED_ALONE __u32 add_message(__u32 at, __u64 address) {
  struct event* event = draft();
  if (!event) return at;
  struct message_header header;
  if (bpf_probe_read_user(&header, sizeof header, (void*)address) || !header.control || !header.control_bytes)
    return at;
  if (header.control_bytes > kMostControl) count_loss(event->head.process);
  at = add_memory(at, address, sizeof header);
  __u32 bytes = header.control_bytes > kMostControl ? kMostControl : header.control_bytes;
  return add_memory(at, header.control, bytes);
}

CHECKED_ALONE __u32 add_messages(__u32 at, __u64 address) {
  struct event* event = draft();
  if (!event) return at;
  for (int message = 0; message < kMostMessages; ++message)
    if (message < event->head.result) at = add_message(at, address + message * 64);
  if (event->head.result > kMostMessages) count_loss(event->head.process);
  return at;
}

INLINE __u32 add_called_memory(struct event* event, __u32 at, const struct KernelCall* call) {
  __u64 address = argument_of(event, call->argument);
  __u32 size = 0;
  switch (call->copies) {
    case kCopiesText:
      return add_text(at, address);
    case kCopiesPair:
      return add_memory(at, address, 8);
    case kCopiesPeer: {
      __u64 size_at = argument_of(event, call->argument + 1);
      if (!address || bpf_probe_read_user(&size, sizeof size, (void*)size_at)) return at;
      at = add_memory(at, size_at, sizeof size);
      return add_memory(at, address, size > 128 ? 128 : size);
    }
    case kCopiesMessage:
      return add_message(at, address);
    case kCopiesMessages:
      return add_messages(at, address);
    case kCopiesStatus:
      return add_memory(at, argument_of(event, 1), 4);
    case kCopiesInfo:
      return add_memory(at, address, 128);
    default:
      return at;
  }
}

/// mmap() has succeeded.
INLINE int code_mapped(struct event* event) {
  enum { kExecutable = 4, kAnonymous = 0x20 };
  if (!(argument_of(event, 2) & kExecutable) || argument_of(event, 3) & kAnonymous) return 0;
  struct task_struct* task = (void*)bpf_get_current_task();
  struct file *file = 0, **files = BPF_CORE_READ(task, files, fdt, fd);
  if (bpf_probe_read_kernel(&file, sizeof file, files + (__u32)argument_of(event, 4)) || !file) return 0;
  event->head.type = kEventMapped;
  event->head.numbers[kMappedStart] = event->head.result;
  event->head.numbers[kMappedBytes] = argument_of(event, 1);
  event->head.numbers[kMappedOffset] = argument_of(event, 5);
  send(event, add_path(0, (__u64)file));
  return 0;
}

SEC("raw_tp/sys_enter")
int call_begins(struct bpf_raw_tracepoint_args* context) {
  __u32 number = context->args[1];
  struct KernelCall* call = bpf_map_lookup_elem(&calls, &number);
  if (!call || !call->is_told_first || !is_watched(bpf_get_current_pid_tgid() >> 32)) return 0;
  struct event* event = begin_event(kEventCallBegins);
  if (!event) return 0;
  event->head.row = call->row - 1;
  keep_registers(event, (void*)context->args[0]);
  send(event, add_stack(0));
  return 0;
}

SEC("raw_tp/sys_exit")
int call_ended(struct bpf_raw_tracepoint_args* context) {
  struct pt_regs* registers = (void*)context->args[0];
  long result = context->args[1];
  // What fails is told of if the reason is the process's.
  if (result < 0 && result != -EBADF && result != -EMFILE && result != -ENFILE && result != -ENOMEM) return 0;
#if defined(__TARGET_ARCH_x86)
  const void* number_at = &registers->orig_rax;
#else
  const void* number_at = &registers->regs[8];
#endif
  __u32 number = kMostCalls;
  bpf_probe_read_kernel(&number, sizeof number, number_at);
  struct KernelCall* call = bpf_map_lookup_elem(&calls, &number);
  if (!call || !call->row) return 0;
  if (call->is_told_first ? result != -EBADF : result < 0 && (result == -EBADF || !call->is_fd_call)) return 0;
  if (!is_watched(bpf_get_current_pid_tgid() >> 32)) return 0;
  struct event* event = begin_event(kEventCallEnded);
  if (!event) return 0;
  event->head.row = call->row - 1;
  event->head.result = result;
  keep_registers(event, registers);
  if (call->conditions && !meets_conditions(number)) return 0;
  if (call->copies == kCopiesCode) return code_mapped(event);
  __u32 at = result < 0 ? 0 : add_called_memory(event, 0, call);
  send(event, add_stack(at));
  return 0;
}

SEC("raw_tp/sched_process_fork")
int forked(struct bpf_raw_tracepoint_args* context) {
  struct task_struct* parent = (void*)context->args[0];
  struct task_struct* child = (void*)context->args[1];
  __u32 parent_process = bpf_get_current_pid_tgid() >> 32;
  if (!is_watched(parent_process)) return 0;
  __u32 process = BPF_CORE_READ(child, tgid);
  int is_thread = process == parent_process;
  if (!is_thread && constants.follows_children) {
    __u8 yes = 1;
    if (bpf_map_update_elem(&watched, &process, &yes, BPF_ANY)) count_loss(parent_process);
  }
  struct event* event = begin_event(kEventForked);
  if (!event) return 0;
  struct files_struct* files = BPF_CORE_READ(child, files);
  int shares_files = files == BPF_CORE_READ(parent, files);
  event->head.numbers[kForkedProcess] = process;
  event->head.numbers[kForkedThread] = BPF_CORE_READ(child, pid);
  event->head.numbers[kForkedSharesFiles] = shares_files;
  event->head.numbers[kForkedStart] = BPF_CORE_READ(child, start_boottime);
  // At the top of the kernel's stack, where a system call has left them.
  struct task_struct* current = bpf_get_current_task_btf();
  keep_registers(event, (void*)bpf_task_pt_regs(current));
  __u32 at = is_thread || shares_files ? 0 : add_table(0, (__u64)files);
  send(event, add_stack(at));
  return 0;
}

SEC("raw_tp/sched_process_exec")
int executed(struct bpf_raw_tracepoint_args* context) {
  struct task_struct* task = (void*)context->args[0];
  if (!is_watched(bpf_get_current_pid_tgid() >> 32)) return 0;
  struct event* event = begin_event(kEventExecuted);
  if (!event) return 0;
  struct mm_struct* mm = BPF_CORE_READ(task, mm);
  event->head.numbers[kExecutedStart] = BPF_CORE_READ(task, group_leader, start_boottime);
  event->head.numbers[kExecutedParent] = BPF_CORE_READ(task, real_parent, tgid);
  event->head.numbers[kExecutedUser] = (__u32)bpf_get_current_uid_gid();
  __u32 at = add_table(0, (__u64)BPF_CORE_READ(task, files));
  at = add_path(at, (__u64)BPF_CORE_READ(mm, exe_file));
  __u32 bytes = bpf_core_field_size(mm->saved_auxv);
  if (bytes > kMostAuxiliary) bytes = kMostAuxiliary;
  const void* auxiliary = (const char*)mm + bpf_core_field_offset(struct mm_struct, saved_auxv);
  if (!bpf_probe_read_kernel(place_of(event, at), bytes, auxiliary))
    at = add_head(event, at, kPieceAuxiliary, 0, bytes);
  struct linux_binprm* program = (void*)context->args[2];
  long name = bpf_probe_read_kernel_str(place_of(event, at), kMostPiece, BPF_CORE_READ(program, filename));
  if (name > 0) at = add_head(event, at, kPieceName, 0, name & (2 * kMostPiece - 1));
  __u64 first = BPF_CORE_READ(mm, arg_start), end = BPF_CORE_READ(mm, arg_end);
  __u32 size = end - first > kMostPiece ? kMostPiece : end - first;
  if (size > 0 && size <= kMostPiece && !bpf_probe_read_user(place_of(event, at), size, (void*)first))
    at = add_head(event, at, kPieceArguments, first, size);
  send(event, at);
  return 0;
}

/// Nobody has to wait for the process: its parent does not want to know.
INLINE int is_forgotten(struct task_struct* task) {
  enum { kChildEnded = 17, kIgnored = 1, kNotKept = 2 };
  struct task_struct* parent = BPF_CORE_READ(task, real_parent);
  if (BPF_CORE_READ(task, group_leader, exit_signal) != kChildEnded) return 0;
  return (long)BPF_CORE_READ(parent, sighand, action[kChildEnded - 1].sa.sa_handler) == kIgnored ||
         BPF_CORE_READ(parent, sighand, action[kChildEnded - 1].sa.sa_flags) & kNotKept;
}

SEC("raw_tp/sched_process_exit")
int ended(struct bpf_raw_tracepoint_args* context) {
  struct task_struct* task = (void*)context->args[0];
  __u32 process = bpf_get_current_pid_tgid() >> 32;
  if (!is_watched(process)) return 0;
  struct event* event = begin_event(kEventEnded);
  if (!event) return 0;
  int is_last = BPF_CORE_READ(task, signal, live.counter) == 0;
  event->head.result = BPF_CORE_READ(task, exit_code);
  event->head.numbers[kEndedProcess] = is_last;
  event->head.numbers[kEndedParent] = BPF_CORE_READ(task, real_parent, tgid);
  event->head.numbers[kEndedForgotten] = is_last && is_forgotten(task);
  send(event, is_last ? add_table(0, (__u64)BPF_CORE_READ(task, files)) : 0);
  if (is_last) bpf_map_delete_elem(&watched, &process);
  return 0;
}
