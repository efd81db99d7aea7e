// Sends a request by the program curl. Not by its library: that loads thirty others, at every start of the command, and
// the command that is linked statically could not have it; the program has the same proxies, certificates and
// passwords.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "render/profile_stores.h"

namespace unfreed::cli {

struct HttpAnswer {
  int status = 0;
  std::string headers;  ///< and trailers, as received
  std::string body;     ///< its start
  /// Of the last header or trailer of that name (in lower case); "" none.
  std::string header(std::string_view name) const;
};

struct PostOptions {
  std::vector<std::string> headers;  ///< as read_headers() makes them
  uint32_t timeout_s = 30;
};

/// Headers as the user gives them: "NAME: VALUE", "NAME;" (an empty value), or @FILE with such lines. False: `error` is
/// one line for the user.
bool read_headers(const std::vector<std::string>& given, std::vector<std::string>& headers, std::string& error);

/// POSTs to an http or https URL. False: there was no answer, and `error` says why.
bool post(const std::string& url, const render::Upload& upload, const PostOptions& options, HttpAnswer& answer,
          std::string& error);

}  // namespace unfreed::cli
