#include "trace/kernel_side.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "kernel_object.h"
#include "trace/calls.h"

namespace unfreed::trace {

namespace {

KernelCopies copies_of(Effect effect) {
  switch (effect) {
    case Effect::opens_path:
      return kCopiesText;
    case Effect::opens_pair:
      return kCopiesPair;
    case Effect::opens_peer:
      return kCopiesPeer;
    case Effect::receives:
      return kCopiesMessage;
    case Effect::receives_many:
      return kCopiesMessages;
    case Effect::reaps:
      return kCopiesStatus;
    case Effect::reaps_info:
      return kCopiesInfo;
    default:
      return kCopiesNothing;
  }
}

KernelCall describe(const Call& call, size_t index) {
  KernelCall out{};
  out.row = static_cast<__u16>(index + 1);
  out.copies = static_cast<__u8>(copies_of(call.effect));
  out.argument = static_cast<__u8>(call.argument < 0 ? 0 : call.argument);
  out.is_told_first =
      call.effect == Effect::closes || call.effect == Effect::closes_range || call.effect == Effect::exits;
  out.is_fd_call = call.effect != Effect::reaps && call.effect != Effect::reaps_info;
  Conditions conditions = conditions_of(call);
  out.condition_argument = static_cast<__u8>(conditions.argument);
  for (uint32_t value : conditions.values)
    if (out.conditions < kMostConditions) out.values[out.conditions++] = value;
  return out;
}

/// Why it cannot work here, whatever the program; "" if nothing is known against it.
std::string find_obstacle() {
  struct stat status {};
  if (geteuid() != 0) return "--backend=ebpf needs root";
  if (stat("/sys/kernel/btf/vmlinux", &status) != 0)
    return "--backend=ebpf needs a kernel that describes its types (BTF): there is no /sys/kernel/btf/vmlinux";
  constexpr ino_t kFirstNamespace = 0xEFFFFFFC;
  if (stat("/proc/self/ns/pid", &status) != 0 || status.st_ino != kFirstNamespace)
    return "--backend=ebpf cannot be used in a container: the kernel's numbers of processes are not those that are "
           "seen "
           "there";
  return {};
}

class LoadedKernelSide : public KernelSide {
 public:
  explicit LoadedKernelSide(Handler handler) : handler_(std::move(handler)) {}
  ~LoadedKernelSide() override {
    ring_buffer__free(ring_);
    for (bpf_link* link : links_) bpf_link__destroy(link);
    bpf_object__close(object_);
  }

  /// 0, or an errno.
  int begin(const KernelOptions& options);

  bool watch(int pid) override {
    auto key = static_cast<uint32_t>(pid);
    uint8_t yes = 1;
    return bpf_map_update_elem(watched_, &key, &yes, BPF_ANY) == 0;
  }
  int descriptor() const override { return ring_buffer__epoll_fd(ring_); }
  bool take_events() override { return ring_buffer__consume(ring_) > 0; }
  void take_losses(const std::function<void(int pid)>& visit) override {
    uint32_t pid = 0;
    while (bpf_map_get_next_key(losses_, nullptr, &pid) == 0) {
      bpf_map_delete_elem(losses_, &pid);
      visit(static_cast<int>(pid));
    }
  }

 private:
  int set_up(const KernelOptions& options);
  int describe_calls() const;
  int map(const char* name) const { return bpf_map__fd(bpf_object__find_map_by_name(object_, name)); }
  void take(const std::byte* data, size_t bytes) const {
    KernelEvent event;
    if (bytes < sizeof event) return;
    std::memcpy(&event, data, sizeof event);
    handler_(event, {data + sizeof event, bytes - sizeof event});
  }

  Handler handler_;
  bpf_object* object_ = nullptr;
  std::vector<bpf_link*> links_;
  ring_buffer* ring_ = nullptr;
  int watched_ = -1, losses_ = -1;
};

/// What is set before the program is loaded.
int LoadedKernelSide::set_up(const KernelOptions& options) {
  auto size = [&](const char* name, size_t entries) {
    return bpf_map__set_max_entries(bpf_object__find_map_by_name(object_, name), static_cast<uint32_t>(entries));
  };
  if (int error = size("ring", options.ring_bytes)) return error;
  if (int error = size("drafts", static_cast<size_t>(libbpf_num_possible_cpus()))) return error;
  KernelConstants constants{options.stack_bytes, static_cast<__u32>(options.ring_bytes / 8), options.follows_children};
  bpf_map* map = bpf_object__find_map_by_name(object_, ".rodata");
  return bpf_map__set_initial_value(map, &constants, sizeof constants);
}

int LoadedKernelSide::describe_calls() const {
  int map = this->map("calls");
  for (size_t index = 0; index < calls().size(); ++index) {
    const Call& call = calls()[index];
    auto number = static_cast<uint32_t>(call.number);
    KernelCall value = describe(call, index);
    if (call.effect == Effect::starts || number >= kMostCalls) continue;
    if (bpf_map_update_elem(map, &number, &value, BPF_ANY) != 0) return -errno;
  }
  uint32_t number = SYS_mmap;
  KernelCall value{};
  value.row = 1;
  value.copies = kCopiesCode;
  return bpf_map_update_elem(map, &number, &value, BPF_ANY) == 0 ? 0 : -errno;
}

int LoadedKernelSide::begin(const KernelOptions& options) {
  libbpf_set_print(nullptr);
  object_ = bpf_object__open_mem(kKernelObject, sizeof kKernelObject, nullptr);
  if (!object_) return errno;
  if (int error = set_up(options)) return -error;
  if (int error = bpf_object__load(object_)) return -error;
  if (int error = describe_calls()) return -error;
  watched_ = map("watched");
  losses_ = map("losses");
  auto taken = [](void* self, void* data, size_t bytes) {
    static_cast<LoadedKernelSide*>(self)->take(static_cast<const std::byte*>(data), bytes);
    return 0;
  };
  ring_ = ring_buffer__new(map("ring"), taken, this, nullptr);
  if (!ring_) return errno;
  bpf_program* program;
  bpf_object__for_each_program(program, object_) {
    bpf_link* link = bpf_program__attach(program);
    if (!link) return errno;
    links_.push_back(link);
  }
  return 0;
}

}  // namespace

std::unique_ptr<KernelSide> KernelSide::load(const KernelOptions& options, Handler handler, std::string& problem) {
  problem = find_obstacle();
  if (!problem.empty()) return nullptr;
  auto made = std::make_unique<LoadedKernelSide>(std::move(handler));
  if (int error = made->begin(options)) {
    problem = std::string("--backend=ebpf: the kernel refuses the program that watches it: ") + std::strerror(error);
    return nullptr;
  }
  return made;
}

}  // namespace unfreed::trace
