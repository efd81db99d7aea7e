// Serves one page, /metrics, over HTTP (libevent's), for as long as the command runs.
//
//      listeners ──▶ evhttp ──▶ waiting scrapes ──▶ a page is made, in a thread ──▶ one answer for all of them
//
// A scrape that comes while a page is being made waits for the next one, so what it gets is never older than itself,
// and any number of scrapes costs two pages at most. Clients are bounded in number, in what they may send, and in the
// time that they may take for a request or to read an answer; none of them holds up another.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace unfreed::cli {

class MetricsServer {
 public:
  /// Makes the page, in a thread of the server's, one at a time. May return early, with anything, once `is_ending`.
  using MakePage = std::function<std::string(const std::atomic<bool>& is_ending)>;

  /// From here on SIGINT, SIGTERM and SIGHUP, which end run(), are blocked in this thread and those that it starts.
  explicit MetricsServer(MakePage make_page);
  ~MetricsServer();

  /// "127.0.0.1:9117", "[::1]:9117", "localhost:9117". Port 0: a free one. False: `error` is one line for the user.
  bool listen(const std::string& address, std::string& error);
  /// Of the pages that there are.
  const std::vector<std::string>& urls() const { return urls_; }
  /// Serves until one of these signals comes.
  bool run(std::string& error);

 private:
  class Loop;

  MakePage make_page_;
  base::UniqueFd signals_;
  std::vector<int> sockets_;
  std::vector<std::string> urls_;
};

}  // namespace unfreed::cli
