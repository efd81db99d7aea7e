// What profile stores are sent, by the interfaces that they document.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "report/report.h"

namespace unfreed::render {

/// A part of a form, sent as a file.
struct FormPart {
  std::string name;
  std::string file_name;
  std::string type;
  std::string bytes;
};

/// A POST request.
struct Upload {
  std::string query;  ///< with its '?'; "" none
  std::vector<std::string> headers;
  std::vector<FormPart> form;  ///< or, if there is none:
  std::string body;
  bool is_grpc = false;  ///< over HTTP/2, with the result in the answer's trailers
};

/// How a profile is filed.
struct ProfileName {
  std::string name;  ///< of the service
  std::map<std::string, std::string> labels;
};

struct ProfileStore {
  const char* name;
  const char* path;
  Upload (*make)(const report::Report& report, const ProfileName& name);
  const char* what;
};
std::span<const ProfileStore> profile_stores();
/// nullptr: there is no such store.
const ProfileStore* find_profile_store(std::string_view name);

/// A name or a value of a label, in which everything is replaced that means something in Pyroscope's names.
std::string label_text(std::string_view text);

#define PROFILE_STORE(name, path, function, what) \
  Upload function(const report::Report& report, const ProfileName& name);
#include "render/profile_stores.inc"
#undef PROFILE_STORE

}  // namespace unfreed::render
