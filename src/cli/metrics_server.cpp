#include "cli/metrics_server.h"

#include <arpa/inet.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "base/scan.h"
#include "base/syscall.h"
#include "base/unique_fd.h"
#include "report/report_head.h"

namespace unfreed::cli {

namespace {

constexpr uint64_t kPatienceNs = 30'000'000'000;  ///< with a client that is silent, or does not read
constexpr size_t kMostClients = 64;
constexpr ev_ssize_t kMostHeaderBytes = 16 * 1024;
constexpr int kBacklog = 64;

template <typename T, void (*release)(T*)>
struct Releases {
  void operator()(T* one) const { release(one); }
};
using EventBase = std::unique_ptr<event_base, Releases<event_base, event_base_free>>;
using Event = std::unique_ptr<event, Releases<event, event_free>>;
using Http = std::unique_ptr<evhttp, Releases<evhttp, evhttp_free>>;
using Buffer = std::unique_ptr<evbuffer, Releases<evbuffer, evbuffer_free>>;

/// The connections that there are. libevent's limits are about the time between two bytes; a client that sends one now
/// and then would stay for ever. Those that take too long, and the oldest where there are too many, are shut down, upon
/// which libevent ends them.
class Clients {
 public:
  explicit Clients(event_base* base) : base_(base), sweep_(evtimer_new(base, &on_time, this)) {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) most_ = std::clamp<size_t>(limit.rlim_cur / 4, 1, kMostClients);
  }
  ~Clients() {
    for (const auto& [connection, client] : all_) bufferevent_decref(connection);
  }
  Clients(const Clients&) = delete;
  Clients& operator=(const Clients&) = delete;

  size_t most() const { return most_; }

  /// For a connection that has just been accepted.
  bufferevent* open() {
    drop_slow();
    if (all_.size() >= most_) drop_oldest();
    bufferevent* connection = bufferevent_socket_new(base_, -1, 0);
    if (!connection) return nullptr;
    bufferevent_incref(connection);
    all_[connection] = {base::monotonic_ns()};
    wait();
    return connection;
  }

  /// The time of a request's client begins anew; while it `is_waiting` for us it has all the time.
  void renew(evhttp_request* request, bool is_waiting) {
    evhttp_connection* connection = evhttp_request_get_connection(request);
    auto found = all_.find(connection ? evhttp_connection_get_bufferevent(connection) : nullptr);
    if (found != all_.end()) found->second = {base::monotonic_ns(), is_waiting, found->second.is_dropped};
  }

 private:
  struct Client {
    uint64_t since_ns;
    bool is_waiting = false;  ///< for us
    bool is_dropped = false;  ///< libevent will see it
    bool may_be_dropped() const { return !is_waiting && !is_dropped; }
  };
  using One = std::pair<bufferevent* const, Client>;

  static void on_time(evutil_socket_t, short, void* self) {
    static_cast<Clients*>(self)->drop_slow();
    static_cast<Clients*>(self)->wait();
  }

  void wait() {
    constexpr timeval kSecond{1, 0};
    if (!all_.empty()) evtimer_add(sweep_.get(), &kSecond);
  }

  /// libevent takes its callbacks back when it ends a connection; it has closed the descriptor by then.
  static bool is_open(bufferevent* connection) {
    bufferevent_event_cb callback = nullptr;
    bufferevent_getcb(connection, nullptr, nullptr, &callback, nullptr);
    return callback != nullptr;
  }

  void drop_slow() {
    uint64_t now = base::monotonic_ns();
    std::erase_if(all_, [](const auto& one) {
      if (is_open(one.first)) return false;
      bufferevent_decref(one.first);
      return true;
    });
    for (auto& one : all_)
      if (one.second.may_be_dropped() && now - one.second.since_ns > kPatienceNs) drop(one);
  }

  void drop_oldest() {
    One* oldest = nullptr;
    for (One& one : all_)
      if (one.second.may_be_dropped() && (!oldest || one.second.since_ns < oldest->second.since_ns)) oldest = &one;
    if (oldest) drop(*oldest);
  }

  static void drop(One& one) {
    one.second.is_dropped = true;
    shutdown(bufferevent_getfd(one.first), SHUT_RDWR);
  }

  event_base* base_;
  Event sweep_;
  size_t most_ = kMostClients;
  std::map<bufferevent*, Client> all_;
};

/// What a page is made by: one at a time, in a thread of its own.
class Maker {
 public:
  explicit Maker(const MetricsServer::MakePage& make) : done_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)), make_(make) {
    thread_ = std::thread([this] { work(); });
  }
  ~Maker() {
    {
      std::lock_guard guard(lock_);
      is_ending_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }

  /// Can be read when a page is there.
  int done() const { return done_.get(); }
  void begin() {
    {
      std::lock_guard guard(lock_);
      is_wanted_ = true;
    }
    wake_.notify_one();
  }
  /// nullptr: it could not be made.
  std::shared_ptr<const std::string> take() {
    uint64_t count = 0;
    [[maybe_unused]] ssize_t got = read(done_.get(), &count, sizeof count);
    std::lock_guard guard(lock_);
    return std::move(page_);
  }

 private:
  void work() {
    for (;;) {
      {
        std::unique_lock guard(lock_);
        wake_.wait(guard, [this] { return is_wanted_ || is_ending_; });
        if (is_ending_) return;
        is_wanted_ = false;
      }
      std::shared_ptr<const std::string> page;
      try {
        page = std::make_shared<const std::string>(make_(is_ending_));
      } catch (const std::exception&) {  // out of memory: the next one may have more
      }
      {
        std::lock_guard guard(lock_);
        page_ = std::move(page);
      }
      constexpr uint64_t kOne = 1;
      [[maybe_unused]] ssize_t written = write(done_.get(), &kOne, sizeof kOne);
    }
  }

  base::UniqueFd done_;
  const MetricsServer::MakePage& make_;
  std::thread thread_;
  std::mutex lock_;
  std::condition_variable wake_;
  bool is_wanted_ = false;
  std::atomic<bool> is_ending_ = false;
  std::shared_ptr<const std::string> page_;
};

/// A socket that listens. -1: errno.
int listen_at(const sockaddr* address, socklen_t length) {
  int made = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (made < 0) return -1;
  const int on = 1;
  setsockopt(made, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  // [::] does not stand for 0.0.0.0, too: whoever wants both names both.
  if (address->sa_family == AF_INET6) setsockopt(made, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(made, address, length) == 0 && listen(made, kBacklog) == 0) return made;
  int error = errno;
  close(made);
  errno = error;
  return -1;
}

int listen_at(const std::string& host, uint16_t port) {
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  if (inet_pton(AF_INET, host.c_str(), &four.sin_addr) == 1)
    return listen_at(reinterpret_cast<const sockaddr*>(&four), sizeof four);
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  if (inet_pton(AF_INET6, host.c_str(), &six.sin6_addr) == 1)
    return listen_at(reinterpret_cast<const sockaddr*>(&six), sizeof six);
  errno = EINVAL;
  return -1;
}

uint16_t port_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof address;
  if (getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return 0;
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

}  // namespace

class MetricsServer::Loop {
 public:
  explicit Loop(const MakePage& make_page)
      : base_(event_base_new()), clients_(base_.get()), http_(evhttp_new(base_.get())), maker_(make_page) {
    evhttp_set_timeout(http_.get(), static_cast<int>(kPatienceNs / 1'000'000'000));
    evhttp_set_max_headers_size(http_.get(), kMostHeaderBytes);
    evhttp_set_max_body_size(http_.get(), 0);
    evhttp_set_default_content_type(http_.get(), "text/plain; charset=utf-8");
    constexpr int kAll = EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                         EVHTTP_REQ_OPTIONS | EVHTTP_REQ_TRACE | EVHTTP_REQ_CONNECT | EVHTTP_REQ_PATCH;
    evhttp_set_allowed_methods(http_.get(), kAll);  // answer() refuses them with the right status
    evhttp_set_bevcb(
        http_.get(), [](event_base*, void* clients) { return static_cast<Clients*>(clients)->open(); }, &clients_);
    evhttp_set_gencb(
        http_.get(), [](evhttp_request* request, void* self) { static_cast<Loop*>(self)->answer(request); }, this);
    page_done_ =
        watch(maker_.done(), [](evutil_socket_t, short, void* self) { static_cast<Loop*>(self)->page_done(); });
  }

  bool run(const std::vector<int>& sockets, int signals) {
    for (int socket : sockets)
      if (evhttp_accept_socket(http_.get(), socket) != 0) return false;
    Event ending = watch(signals, [](evutil_socket_t, short, void* self) {
      event_base_loopbreak(static_cast<Loop*>(self)->base_.get());
    });
    return event_base_dispatch(base_.get()) >= 0;
  }

 private:
  Event watch(int descriptor, event_callback_fn callback) {
    Event made(event_new(base_.get(), descriptor, EV_READ | EV_PERSIST, callback, this));
    event_add(made.get(), nullptr);
    return made;
  }

  void answer(evhttp_request* request) {
    evhttp_request_set_on_complete_cb(
        request, [](evhttp_request* done, void* clients) { static_cast<Clients*>(clients)->renew(done, false); },
        &clients_);
    clients_.renew(request, false);
    const evhttp_uri* uri = evhttp_request_get_evhttp_uri(request);
    const char* path = uri ? evhttp_uri_get_path(uri) : nullptr;
    std::string_view asked = path ? path : "";
    evhttp_cmd_type method = evhttp_request_get_command(request);
    if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
      add_header(request, "Allow", "GET, HEAD");
      return reply(request, 405, "Method Not Allowed", "only GET and HEAD are answered\n");
    }
    if (asked == "/") return reply(request, 200, "OK", "unfreed export: see /metrics\n");
    if (asked != "/metrics") return reply(request, 404, "Not Found", "there is nothing but /metrics\n");
    if (waiting_.size() + served_.size() >= clients_.most())
      return reply(request, 503, "Service Unavailable", "too many requests at once\n");
    clients_.renew(request, true);
    waiting_.push_back(request);
    begin_page();
  }

  void begin_page() {
    if (!served_.empty() || waiting_.empty()) return;
    served_.swap(waiting_);
    maker_.begin();
  }

  void page_done() {
    std::shared_ptr<const std::string> page = maker_.take();
    std::vector<evhttp_request*> served;
    served.swap(served_);
    for (evhttp_request* request : served) {
      clients_.renew(request, false);
      if (!page) {
        reply(request, 500, "Internal Server Error", "the page could not be made\n");
        continue;
      }
      add_header(request, "Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8");
      Buffer body(evbuffer_new());
      auto* owner = new std::shared_ptr<const std::string>(page);
      auto release = [](const void*, size_t, void* owned) {
        delete static_cast<std::shared_ptr<const std::string>*>(owned);
      };
      if (evbuffer_add_reference(body.get(), page->data(), page->size(), release, owner) != 0) delete owner;
      send(request, 200, "OK", body.get());
    }
    begin_page();
  }

  static void add_header(evhttp_request* request, const char* name, const char* value) {
    evhttp_add_header(evhttp_request_get_output_headers(request), name, value);
  }

  static void reply(evhttp_request* request, int status, const char* reason, std::string_view text) {
    Buffer body(evbuffer_new());
    evbuffer_add(body.get(), text.data(), text.size());
    send(request, status, reason, body.get());
  }

  /// libevent would send the body of an answer to HEAD, too.
  static void send(evhttp_request* request, int status, const char* reason, evbuffer* body) {
    bool has_body = evhttp_request_get_command(request) != EVHTTP_REQ_HEAD;
    if (!has_body) add_header(request, "Content-Length", std::to_string(evbuffer_get_length(body)).c_str());
    evhttp_send_reply(request, status, reason, has_body ? body : nullptr);
  }

  // In the order in which they are made; they go in the other.
  EventBase base_;
  Clients clients_;
  Http http_;
  Maker maker_;
  Event page_done_;
  std::vector<evhttp_request*> waiting_;  ///< for a page that was not begun yet
  std::vector<evhttp_request*> served_;   ///< by the page that is being made
};

MetricsServer::MetricsServer(MakePage make_page) : make_page_(std::move(make_page)) {
  sigset_t ending;
  sigemptyset(&ending);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ending, signal);
  pthread_sigmask(SIG_BLOCK, &ending, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  signals_ = base::UniqueFd(signalfd(-1, &ending, SFD_CLOEXEC | SFD_NONBLOCK));
}

MetricsServer::~MetricsServer() {
  for (int socket : sockets_) close(socket);
}

bool MetricsServer::listen(const std::string& address, std::string& error) {
  size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon);
  bool is_bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (is_bracketed) host = host.substr(1, host.size() - 2);
  uint64_t port = 0;
  bool is_read = colon != address.npos && base::parse_number(address.substr(colon + 1), port) && port <= UINT16_MAX;
  if (is_read && host.empty()) {
    error = fmt::format("--listen: no address before ':'; for all interfaces use 0.0.0.0:{0} or [::]:{0}", port);
    return false;
  }
  if (!is_read || is_bracketed != (host.find(':') != host.npos)) {
    error = fmt::format(
        "--listen: cannot read '{}': accepted are 127.0.0.1:PORT, [::1]:PORT, localhost:PORT "
        "and other addresses of this machine",
        address);
    return false;
  }
  std::vector<std::string> hosts = {host};
  if (host == "localhost") hosts = {"127.0.0.1", "::1"};
  for (const std::string& one : hosts) {
    bool is_second = &one != hosts.data();
    int socket = listen_at(one, static_cast<uint16_t>(port));
    // There need not be an IPv6.
    if (socket < 0 && is_second && (errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT)) break;
    if (socket < 0) {
      const char* reason = errno == EINVAL ? "it is no address (and names are not looked up)" : std::strerror(errno);
      error = fmt::format("cannot listen on {}: {}", address, reason);
      return false;
    }
    sockets_.push_back(socket);
    port = port_of(socket);
    if (!is_second)
      urls_.push_back(
          fmt::format(fmt::runtime(is_bracketed ? "http://[{}]:{}/metrics" : "http://{}:{}/metrics"), host, port));
  }
  return true;
}

bool MetricsServer::run(std::string& error) {
  event_set_log_callback([](int, const char*) {});  // about clients that went away
  std::vector<int> sockets;
  sockets.swap(sockets_);  // libevent closes them
  if (signals_ && Loop(make_page_).run(sockets, signals_.get())) return true;
  error = fmt::format("the server cannot run: {}", std::strerror(errno));
  return false;
}

}  // namespace unfreed::cli
