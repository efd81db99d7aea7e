// A report as a profile that `go tool pprof`, Pyroscope, Parca and others read: profile.proto, compressed by gzip.
// Every number that rules can name per call site is a sample type of that name ("fd", "heap.lost_bytes").
#include "render/pprof.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <ctime>
#include <map>
#include <stdexcept>
#include <tuple>
#include <unordered_map>

#include "profile.pb.h"
#include "render/places.h"
#include "render/samples.h"
#include "render/text.h"
#include "render/times.h"
#include "report/describe.h"
#include "report/report_head.h"

namespace unfreed::render {

using report::Call;
using report::Report;

namespace {

/// Fills a profile's tables: every text, mapping, function and location once.
class ProfileBuilder {
 public:
  explicit ProfileBuilder(Reports reports) : measures_(list_measures(reports)) {
    text("");
    for (Measure measure : measures_) {
      pprof::ValueType* type = profile_.add_sample_type();
      type->set_type(text(name_of(measure)));
      type->set_unit(text(is_bytes(measure.counter) ? "bytes" : "count"));
    }
    has_several_ = reports.size() > 1;
  }

  /// The profile is of that moment.
  void set_moment(int64_t nanoseconds) {
    profile_.set_time_nanos(nanoseconds);
    profile_.set_duration_nanos(0);
  }

  void set_first(Measure measure) { profile_.set_default_sample_type(text(name_of(measure))); }

  void add(const Report& report) {
    if (const report::Process& process = report.process; !process.exe.empty()) mapping(report, process.exe, {});
    for (const Sample& one : list_samples(report)) add(report, one);
    std::string command;
    for (report::Text word : report.process.argv) command.append(command.empty() ? "" : " ").append(word);
    profile_.add_comment(text(fmt::format("unfreed: {}: {}", describe_process(report.process), printable(command))));
    int64_t started = realtime_ns(report.process.started);
    if (started && (!profile_.time_nanos() || started < profile_.time_nanos())) profile_.set_time_nanos(started);
    int64_t duration = static_cast<int64_t>(report.process.duration_ns.value_or(0));
    profile_.set_duration_nanos(std::max<int64_t>(profile_.duration_nanos(), duration));
  }

  std::string serialize() const { return profile_.SerializeAsString(); }

 private:
  int64_t text(std::string_view text) {
    auto [known, is_new] = texts_.try_emplace(std::string(text), profile_.string_table_size());
    if (is_new) profile_.add_string_table(printable(text));
    return known->second;
  }

  uint64_t mapping(const Report& report, report::Text path, report::Text build_id) {
    const report::Module* module = nullptr;
    for (const report::Module& one : report.modules)
      if (one.path == path && (build_id.empty() || one.build_id == build_id)) {
        module = &one;
        break;
      }
    if (module) build_id = module->build_id;
    // The same file at the same address is one mapping, whichever process it is of.
    uint64_t base = module ? module->base : 0;
    auto [known, is_new] =
        mappings_.try_emplace({std::string(path), std::string(build_id), base}, profile_.mapping_size() + 1);
    if (is_new) {
      pprof::Mapping* added = profile_.add_mapping();
      added->set_id(known->second);
      added->set_memory_start(base);
      added->set_memory_limit(module ? module->base + module->size : 0);
      added->set_filename(text(path));
      added->set_build_id(text(build_id));
    }
    return known->second;
  }

  uint64_t function(report::Text name, report::Text linkage_name, report::Text file) {
    auto [known, is_new] = functions_.try_emplace({std::string(name), std::string(file)}, profile_.function_size() + 1);
    if (is_new) {
      pprof::Function* added = profile_.add_function();
      added->set_id(known->second);
      added->set_name(text(name));
      added->set_system_name(text(linkage_name.empty() ? name : linkage_name));
      added->set_filename(text(file));
    }
    return known->second;
  }

  uint64_t location(const Report& report, const Call& call) {
    if (auto known = calls_.find(&call); known != calls_.end()) return known->second;
    return calls_[&call] = new_location(report, call);
  }

  /// Equal calls of two processes are one location.
  uint64_t new_location(const Report& report, const Call& call) {
    uint64_t in = call.module.empty() ? 0 : mapping(report, call.module, call.build_id);
    std::string lines;
    for (const report::Frame& frame : call.frames)
      lines += fmt::format("{}:{}:{};", frame.function, frame.file, frame.line);
    auto [known, is_new] = locations_.try_emplace({in, call.offset, lines}, profile_.location_size() + 1);
    if (!is_new) return known->second;
    pprof::Location* added = profile_.add_location();
    added->set_id(known->second);
    added->set_mapping_id(in);
    pprof::Mapping* where = in ? profile_.mutable_mapping(static_cast<int>(in) - 1) : nullptr;
    added->set_address(call.offset + (where ? where->memory_start() : 0));
    for (const report::Frame& frame : call.frames) {
      report::Text name = frame.function.empty() ? frame.linkage_name : frame.function;
      if (name.empty()) continue;
      pprof::Line* line = added->add_line();
      line->set_function_id(function(name, frame.linkage_name, frame.file));
      line->set_line(frame.line);
      if (!where) continue;
      where->set_has_functions(true);
      where->set_has_filenames(where->has_filenames() || !frame.file.empty());
      where->set_has_line_numbers(where->has_line_numbers() || frame.line);
      where->set_has_inline_frames(where->has_inline_frames() || frame.inlined);
    }
    return known->second;
  }

  /// For a sample without a stack.
  uint64_t no_location(std::string_view why) {
    auto [known, is_new] = locations_.try_emplace({0, 0, std::string(why)}, profile_.location_size() + 1);
    if (is_new) {
      pprof::Location* added = profile_.add_location();
      added->set_id(known->second);
      added->add_line()->set_function_id(function(why, {}, {}));
    }
    return known->second;
  }

  void label(pprof::Sample& sample, std::string_view key, std::string_view value) {
    if (value.empty()) return;
    pprof::Label* label = sample.add_label();
    label->set_key(text(key));
    label->set_str(text(value));
  }

  void add(const Report& report, const Sample& one) {
    pprof::Sample* sample = profile_.add_sample();
    report.stacks.each_call(one.stack(), [&](const Call& call) { sample->add_location_id(location(report, call)); });
    if (!sample->location_id_size())
      sample->add_location_id(no_location(one.site ? "(no stack)" : "(opened through no hooked function)"));
    for (Measure measure : measures_) {
      uint64_t value = measure.kind == one.kind ? one.values[measure.counter] : 0;
      sample->add_value(static_cast<int64_t>(std::min<uint64_t>(value, INT64_MAX)));
    }
    label(*sample, "kind", report::kind_name(one.kind));
    if (has_several_) label(*sample, "process", describe_process(report.process));
    label(*sample, "target", one.target);
    if (one.thread) label(*sample, "thread", std::to_string(one.thread));
    if (!one.site) return;
    label(*sample, "acquired_by", one.site->acquired_by);
    label(*sample, "grade", report::word_of(one.site->grade));
    label(*sample, "signature", fmt::format("{:016x}", one.site->signature));
  }

  std::vector<Measure> measures_;
  bool has_several_ = false;
  pprof::Profile profile_;
  std::map<std::string, int64_t> texts_;
  std::map<std::tuple<std::string, std::string, uint64_t>, uint64_t> mappings_;
  std::map<std::pair<std::string, std::string>, uint64_t> functions_;
  std::map<std::tuple<uint64_t, uint64_t, std::string>, uint64_t> locations_;
  std::unordered_map<const Call*, uint64_t> calls_;
};

/// Compressed, with a header that says whose it is.
std::string gzip(const std::string& bytes) {
  z_stream stream = {};
  constexpr int kGzip = 15 + 16;
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  gz_header header = {};
  std::string comment(report::kProfileComment);
  header.comment = reinterpret_cast<Bytef*>(comment.data());
  header.os = 255;  // unknown
  deflateSetHeader(&stream, &header);
  std::string out(deflateBound(&stream, bytes.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("the profile could not be compressed");
  return out;
}

}  // namespace

int64_t moment_of(const Report& report) {
  int64_t started = realtime_ns(report.process.started);
  int64_t moment = 0;
  bool is_known =
      started && report.process.duration_ns && !__builtin_add_overflow(started, *report.process.duration_ns, &moment);
  return is_known ? moment : 0;
}

std::string render_momentary_profile(const Report& report) {
  const Report* const reports[] = {&report};
  ProfileBuilder profile(reports);
  profile.set_first(first_measure(reports));
  profile.add(report);
  profile.set_moment(moment_of(report));
  return gzip(profile.serialize());
}

std::string render_report_pprof(Reports reports, const RenderOptions& options) {
  ProfileBuilder profile(reports);
  profile.set_first(options.measure ? *options.measure : first_measure(reports));
  for (const Report* report : reports) profile.add(*report);
  return gzip(profile.serialize());
}

}  // namespace unfreed::render
