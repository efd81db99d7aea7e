// A report as the reader's output formats see it: read from report JSON, schema version 1. Fields it does not know are
// skipped, fields that are missing are empty: only what makes no sense as a report at all is refused.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace unfreed::render {

struct Frame {
  std::string function;
  std::string file;
  std::string module;
  std::string build_id;  ///< hexadecimal
  uint32_t line = 0;
  uint64_t offset = 0;
  bool inlined = false;
};

/// One thing that a site holds; what does not apply is absent.
struct Object {
  std::optional<int64_t> fd;
  std::optional<int64_t> thread;
  std::optional<int64_t> process;
  std::optional<uint64_t> age_ns;
  std::string target;
  std::string name;
  std::string state;
};

/// What the stacks of very many sites have in common: calls, each a function after those that are inlined into it, and
/// nodes, each a call and the node of its caller.
struct OuterStacks {
  struct Node {
    uint32_t call = 0;
    uint32_t outer = 0;  ///< number of the caller's node, less than the node's own; 0: none
  };
  std::vector<std::vector<Frame>> calls;
  std::vector<Node> nodes;  ///< by number − 1

  /// Calls `visit(node)` for the node of that number, its caller's, and so on. Their calls are among `calls`.
  template <class Visit>
  void each_node(uint32_t number, Visit visit) const {
    while (number && number <= nodes.size()) {
      const Node& node = nodes[number - 1];
      if (node.call < calls.size()) visit(node);
      number = node.outer < number ? node.outer : 0;
    }
  }
};

struct Site {
  std::string id;
  std::string kind;
  std::string signature;
  std::string grade;
  std::string acquired_by;
  std::string suppressed_by;
  std::string owner;  ///< "libc" for what libc holds for its own use
  uint64_t live = 0;
  uint64_t running = 0;  ///< threads and children that have not ended
  uint64_t bytes = 0;
  uint64_t total = 0;
  uint64_t total_bytes = 0;
  uint64_t peak = 0;
  bool truncated = false;
  std::vector<Frame> stack;  ///< as it stands in the site: MergedSite::whole_stack() has all of it
  uint32_t outer_stack = 0;  ///< the node of the report's outer stacks with which it goes on; 0: it does not
  std::vector<Object> objects;
};

/// A call that failed because a limit was reached.
struct Failure {
  std::string function;  ///< the one that failed
  std::string error;     ///< "EMFILE"
  uint64_t count = 0;
  uint64_t live_then = 0;
  int64_t thread = 0;
  std::vector<Frame> stack;
};

/// A thread that is there, and what it keeps from being released.
struct Thread {
  int64_t id = 0;
  std::string name;
  std::string thread_class;  ///< "joinable", "detached", "finished", "main" …
  std::string state;
  std::string kernel_state;
  std::string start_routine;  ///< its function's name
  std::vector<Frame> stack;   ///< where it stands; empty where that is not known
  uint64_t held_fds = 0;
  int64_t held_heap_bytes = 0;
  std::vector<Object> descriptors;
};

/// A place that explains a misuse.
struct Place {
  std::string function;
  int64_t thread = 0;
  std::vector<Frame> stack;
};
struct Misuse {
  std::string type;
  std::string owner;
  std::string suppressed_by;
  uint64_t count = 0;
  int64_t fd = -1;
  std::optional<Place> opened;
  std::optional<Place> first_closed;
  std::optional<Place> closed;
};

/// A descriptor that went along into another program.
struct Crossing {
  int64_t fd = -1;
  uint64_t count = 0;
  std::string program;
  std::string started_by;
  std::string acquired_by;
  std::string suppressed_by;
  std::vector<Frame> stack;
};

struct RuleOutcome {
  std::string rule;
  std::optional<uint64_t> value;
  bool broken = false;
  bool checked = true;
  std::string reason;  ///< why it was not checked
};

/// An open descriptor that belongs to no site.
struct Descriptor {
  int64_t fd = -1;
  std::string origin;  ///< "unattributed", "inherited" …
  std::string target;
};

using Counters = std::vector<std::pair<std::string, uint64_t>>;

struct KindTotals {
  std::string kind;
  Counters counters;
  /// 0 where there is none of that name.
  uint64_t value(std::string_view field) const;
  /// Not of a kind of resource, but of what was done with descriptors: "misuse", "inherited_by_child".
  bool is_of_deeds() const { return kind == "misuse" || kind == "inherited_by_child"; }
};

struct Process {
  int64_t pid = 0;
  int64_t ppid = 0;
  std::string exe;
  std::vector<std::string> argv;
  std::string started;
  std::optional<uint64_t> duration_ns;
  std::optional<int64_t> exit_status;
  std::string signal;  ///< its number; "" where it was none
  std::string signal_name;
};

struct Report {
  std::string trigger;
  bool complete = true;
  bool reconciled = false;  ///< the kernel's list of descriptors is in it
  std::vector<std::string> notes;
  Process process;
  std::vector<std::pair<std::string, std::string>> coverage;
  std::vector<KindTotals> totals;
  std::vector<Site> sites;     ///< worst first
  OuterStacks outer_stacks;
  uint64_t sites_omitted = 0;  ///< those that are not in the list
  std::vector<Descriptor> descriptors;
  std::vector<Thread> threads;
  std::vector<Misuse> misuses;
  std::vector<Crossing> crossings;
  std::string exhaustion;  ///< "open: EMFILE", where that is why the report was made
  std::vector<Failure> failures;
  std::vector<RuleOutcome> rules;

  const KindTotals* totals_of(std::string_view kind) const;
  /// "" for a kind the report does not speak of.
  std::string_view coverage_of(std::string_view kind) const;
};

/// The version of the schema this program reads and writes.
inline constexpr int kSchemaVersion = 1;

/// Reads report JSON. Empty: `error` is one line that says what is wrong and where.
std::optional<Report> parse_report(std::string_view text, std::string& error);

/// Sites of the same kind and signature made one, their counts added; order kept. `merged[i]` of the result's sites
/// says how many went into it. Suppressed sites stay apart from those that are not.
struct MergedSite {
  Site site;
  size_t parts = 1;
  const OuterStacks* outer_stacks = nullptr;  ///< of the site's report, which outlives this

  std::vector<Frame> whole_stack() const;
};
std::vector<MergedSite> merge_by_signature(const Report& report);

/// Is this a thing of the program's that counts (not suppressed, not libc's own, not merely informational)?
bool counts(const Site& site);

}  // namespace unfreed::render
