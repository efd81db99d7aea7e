#include "render/profile_stores.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <nlohmann/json.hpp>

#include "profilestore.pb.h"
#include "render/pprof.h"
#include "render/samples.h"

namespace unfreed::render {

namespace {

constexpr ProfileStore kStores[] = {
#define PROFILE_STORE(name, path, function, what) {#name, path, function, what},
#include "render/profile_stores.inc"
#undef PROFILE_STORE
};

std::string percent_encoded(std::string_view text) {
  std::string out;
  for (char character : text) {
    bool is_plain = std::isalnum(static_cast<unsigned char>(character)) ||
                    std::string_view("-._~").find(character) != std::string_view::npos;
    out += is_plain ? std::string(1, character) : fmt::format("%{:02X}", static_cast<unsigned char>(character));
  }
  return out;
}

}  // namespace

std::span<const ProfileStore> profile_stores() { return kStores; }

const ProfileStore* find_profile_store(std::string_view name) {
  for (const ProfileStore& one : kStores)
    if (one.name == name) return &one;
  return nullptr;
}

std::string label_text(std::string_view text) {
  std::string out(text);
  for (char& character : out) {
    bool is_plain = std::isalnum(static_cast<unsigned char>(character)) ||
                    std::string_view("-._/:").find(character) != std::string_view::npos;
    if (!is_plain) character = '_';
  }
  return out;
}

/// https://grafana.com/docs/pyroscope/latest/reference-server-api/, "pprof format": /ingest takes a form with the
/// profile and with what its sample types mean, and files it under NAME.TYPE{LABEL=VALUE,…}.
Upload make_pyroscope_upload(const report::Report& report, const ProfileName& name) {
  std::string labels;
  for (const auto& [key, value] : name.labels) labels += fmt::format("{}{}={}", labels.empty() ? "" : ",", key, value);
  constexpr int64_t kSecondNs = 1'000'000'000;
  int64_t until = moment_of(report) / kSecondNs + 1;
  Upload made;
  made.query = fmt::format("?name={}&from={}&until={}&format=pprof&spyName=unfreed",
                           percent_encoded(fmt::format("{}{{{}}}", name.name, labels)), until - 1, until);
  nlohmann::ordered_json types = nlohmann::ordered_json::object();
  const report::Report* const reports[] = {&report};
  for (Measure measure : list_measures(reports)) {
    std::string shown = name_of(measure);
    std::replace(shown.begin(), shown.end(), '.', '_');
    // Each profile says what was held at its time: of several in a period, the mean says something, the sum does not.
    types[name_of(measure)] = {{"units", is_bytes(measure.counter) ? "bytes" : "objects"},
                               {"display-name", shown},
                               {"aggregation", "average"},
                               {"sampled", false}};
  }
  made.form.push_back({"profile", "profile.pb.gz", "application/octet-stream", render_momentary_profile(report)});
  made.form.push_back({"sample_type_config", "sample_type_config.json", "application/json", types.dump()});
  return made;
}

/// https://github.com/parca-dev/parca, proto/parca/profilestore/v1alpha1/profilestore.proto: a gRPC call, which is a
/// POST over HTTP/2 with one message (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md).
Upload make_parca_upload(const report::Report& report, const ProfileName& name) {
  parca::WriteRawRequest request;
  parca::Series* series = request.add_series();
  std::map<std::string, std::string> labels = name.labels;
  labels["__name__"] = "unfreed";
  labels["job"] = name.name;
  for (const auto& [key, value] : labels) {
    parca::Label* added = series->mutable_labels()->add_labels();
    added->set_name(key);
    added->set_value(value);
  }
  series->add_samples()->set_raw_profile(render_momentary_profile(report));
  std::string message = request.SerializeAsString();
  Upload made;
  made.is_grpc = true;
  made.headers = {"Content-Type: application/grpc+proto", "TE: trailers"};
  made.body.push_back('\0');  // not compressed; then the length, high byte first
  for (int shift = 24; shift >= 0; shift -= 8) made.body.push_back(static_cast<char>(message.size() >> shift));
  made.body += message;
  return made;
}

}  // namespace unfreed::render
