// A log-writing service, small but true to life: workers take requests and write a line to the log for each. The log is
// opened on every call, and one path forgets to close it: the one for lines that are too long.
//
//     log_service [REQUESTS [THREADS]]    REQUESTS 0: go on until a file cannot be opened any more
//
// It is the bundled example of scripts/run and the story that test_story.py tells.
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

namespace service {

class Log {
 public:
  explicit Log(std::string path) : path_(std::move(path)) {}

  bool write(const std::string& line) {
    FILE* file = fopen(path_.c_str(), "a");  // @open
    if (!file) return false;
    if (line.size() > 80) {
      fputs("(line too long)\n", file);
      return true;  // and `file` stays open
    }
    fprintf(file, "%s\n", line.c_str());
    fclose(file);
    return true;
  }

 private:
  std::string path_;
};

class Server {
 public:
  Server(Log& log, int requests) : log_(log), requests_(requests) {}

  void work() {
    for (;;) {
      int number = next_.fetch_add(1);
      if (failed_ || (requests_ && number >= requests_)) return;
      if (!handle(number)) {
        if (!failed_.exchange(true)) printf("request %d: cannot write the log: %s\n", number, strerror(errno));
        return;
      }
    }
  }
  bool failed() const { return failed_; }

 private:
  bool handle(int number) {
    std::string answer = "request " + std::to_string(number) + " from ";
    answer += number % 8 == 0 ? std::string(100, 'x') : "a friend";
    std::this_thread::sleep_for(std::chrono::microseconds(100));  // for the network, say
    return log_.write(answer);
  }

  Log& log_;
  const int requests_;
  std::atomic<int> next_{0};
  std::atomic<bool> failed_{false};
};

}  // namespace service

int main(int argc, char** argv) {
  int requests = argc > 1 ? atoi(argv[1]) : 200;
  int threads = argc > 2 ? atoi(argv[2]) : 4;
  service::Log log("/dev/null");
  service::Server server(log, requests);
  std::vector<std::thread> workers;
  for (int i = 0; i < threads; i++) workers.emplace_back([&server] { server.work(); });
  for (auto& worker : workers) worker.join();
  if (!server.failed()) printf("served %d requests\n", requests);
  return server.failed() ? 1 : 0;
}
