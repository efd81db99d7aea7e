#include "evaluate/held_sites.h"

#include <algorithm>

#include "base/printable.h"
#include "base/scan.h"
#include "names/code_owner.h"

namespace unfreed::report {

namespace {

constexpr size_t kMostOfText = 1024;
constexpr size_t kMostFrames = 64;

/// NUL ends every part of a record.
void end_part(base::TextBuilder& out) { out.add('\0'); }

void add_part(base::TextBuilder& out, std::string_view text) {
  base::add_printable(out, text, kMostOfText);
  end_part(out);
}

void add_but_stack(base::TextBuilder& out, const HeldText& one) {
  out.add_number(one.count);
  end_part(out);
  out.add_number(one.bytes);
  end_part(out);
  for (std::string_view part : {one.acquired_by, one.target, one.function, one.file}) add_part(out, part);
  out.add_number(one.line);
  end_part(out);
}

/// A frame of a stack: function and line or, if nothing is known of the call, its offset in the module.
struct ShownFrame {
  const Call* call;
  const Frame* frame;  ///< nullptr: unknown

  CodeOwner owner() const {
    return owner_of({call->module, frame ? frame->file : Text(), frame ? frame->function : Text()});
  }
};

template <class Visit>
void each_frame(const Report& report, const Site& site, Visit visit) {
  report.stacks.each_call(site.stack, [&](const Call& call) {
    for (const Frame& frame : call.frames) visit(ShownFrame{&call, &frame});
    if (call.frames.empty()) visit(ShownFrame{&call, nullptr});
  });
}

/// The program's own frames; if there are none, all but those that every thread begins in. Where some have source
/// lines, outer ones without are left out: those of the test framework.
class Choice {
 public:
  Choice(const Report& report, const Site& site) : report_(report), site_(site) {
    each_frame(report_, site_, [this](const ShownFrame& shown) { has_own_ |= shown.owner() == CodeOwner::program; });
    size_t at = 0;
    each_chosen([&](const ShownFrame& shown) {
      ++at;
      if (shown.frame && shown.frame->line) last_with_line_ = at;
    });
  }
  template <class Visit>
  void each(Visit visit) const {
    size_t at = 0;
    each_chosen([&](const ShownFrame& shown) {
      if (at++ < last_with_line_ || !last_with_line_) visit(shown);
    });
  }

 private:
  template <class Visit>
  void each_chosen(Visit visit) const {
    each_frame(report_, site_, [&](const ShownFrame& shown) {
      CodeOwner owner = shown.owner();
      if (has_own_ ? owner == CodeOwner::program : owner != CodeOwner::start) visit(shown);
    });
  }

  const Report& report_;
  const Site& site_;
  bool has_own_ = false;
  size_t last_with_line_ = 0;  ///< its number, from 1; 0: there is none
};

void add_frame(base::TextBuilder& out, const ShownFrame& shown) {
  out.add("    ");
  bool has_name = shown.frame && !shown.frame->function.empty();
  bool has_line = shown.frame && shown.frame->line;
  if (has_name) base::add_printable(out, shown.frame->function, kMostOfText);
  if (has_name) out.add(" (");
  if (has_line) {
    base::add_printable(out, shown.frame->file, kMostOfText);
    out.add(':').add_number(shown.frame->line);
  } else {
    base::add_printable(out, shown.call->module.empty() ? kUnknownModule : shown.call->module, kMostOfText);
    out.add("+0x").add_hex(shown.call->offset);
  }
  out.add(has_name ? ")\n" : "\n");
}

Text target_of(const Site& site) {
  return site.objects.empty() ? Text() : site.objects[site.objects.size() - 1].target;
}

void describe(const Report& report, const Site& site, const HeldSite& held, base::TextBuilder& out) {
  Choice choice(report, site);
  const Frame* first = nullptr;
  choice.each([&](const ShownFrame& shown) {
    if (shown.frame && (!first || (!first->line && shown.frame->line))) first = shown.frame;
  });
  HeldText text;
  text.count = held.count;
  text.bytes = held.bytes;
  text.acquired_by = site.acquired_by;
  text.target = target_of(site);
  if (first) text.function = first->function;
  if (first && first->line) text.file = first->file;
  if (first) text.line = first->line;
  add_but_stack(out, text);
  size_t count = 0;
  choice.each([&](const ShownFrame& shown) {
    if (count++ < kMostFrames) add_frame(out, shown);
  });
  if (count > kMostFrames || site.truncated) out.add("    …\n");
  end_part(out);
}

std::string_view take_part(std::string_view& text) {
  bool more;
  return base::next_part(text, '\0', more);
}

/// 0 where it is none.
uint64_t take_number(std::string_view& text) {
  uint64_t value = 0;
  base::parse_number(take_part(text), value);
  return value;
}

}  // namespace

void add_held_sites(base::TextBuilder& out, std::span<const HeldSite> sites) {
  const char* before = "";
  for (const HeldSite& one : sites) {
    out.add(before).add_number(one.site).add(':').add_number(one.count).add(':').add_number(one.bytes);
    before = ",";
  }
}

size_t read_held_sites(std::string_view text, std::span<HeldSite> out) {
  size_t count = 0;
  for (bool more = true; more && count < out.size();) {
    std::string_view one = base::next_part(text, ',', more);
    uint64_t numbers[3];
    bool has_more = true;
    for (uint64_t& number : numbers)
      if (!has_more || !base::parse_number(base::next_part(one, ':', has_more), number)) return count;
    if (has_more || numbers[0] > UINT32_MAX) return count;
    out[count++] = {static_cast<uint32_t>(numbers[0]), numbers[1], numbers[2]};
  }
  return count;
}

void describe_held_sites(const Report& report, std::span<const HeldSite> sites, base::TextBuilder& out) {
  for (const Place& place : report.places) {
    HeldSite sum{};
    const Site* shown = nullptr;
    for (uint32_t index : place.sites) {
      const Site& site = report.sites[index];
      auto found = std::lower_bound(sites.begin(), sites.end(), site.id,
                                    [](const HeldSite& held, uint64_t id) { return held.site < id; });
      if (!site.counts() || found == sites.end() || found->site != site.id) continue;
      if (!shown) shown = &site;
      sum.count += found->count;
      sum.bytes += found->bytes;
    }
    if (!shown || !sum.count) continue;
    size_t before = out.size();
    describe(report, *shown, sum, out);
    if (!out.cut()) continue;
    out.shorten(before);
    break;
  }
  end_part(out);
}

void add_held_text(base::TextBuilder& out, const HeldText& one) {
  size_t before = out.size();
  add_but_stack(out, one);
  out.add(one.stack);
  end_part(out);
  if (out.cut()) out.shorten(before);
}

bool take_held_text(std::string_view& text, HeldText& out) {
  if (text.empty()) return false;
  out.count = take_number(text);
  out.bytes = take_number(text);
  out.acquired_by = take_part(text);
  out.target = take_part(text);
  out.function = take_part(text);
  out.file = take_part(text);
  out.line = static_cast<uint32_t>(take_number(text));
  out.stack = take_part(text);
  return out.count != 0;
}

}  // namespace unfreed::report
