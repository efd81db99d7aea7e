// Closes a resource twice, as `program RESOURCE WAY`: the ways differ in how it gets from the first close to the
// second.
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <list>
#include <map>
#include <memory>
#include <vector>

namespace {

struct Open {
  using Handle = int;
  static Handle acquire() { return open("/dev/null", O_RDWR); }  // @open
  static void release(Handle handle) { close(handle); }
};
struct Fopen {
  using Handle = FILE*;
  static Handle acquire() { return fopen("/dev/null", "w+"); }  // @fopen
  static void release(Handle handle) { fclose(handle); }
};
struct Freopen {
  using Handle = FILE*;
  static Handle acquire() { return freopen("/dev/null", "r", stdin); }  // @freopen
  static void release(Handle handle) { fclose(handle); }
};
struct Fdopen {
  using Handle = FILE*;
  static Handle acquire() { return fdopen(Open::acquire(), "r+"); }
  static void release(Handle handle) { fclose(handle); }
};
struct Tmpfile {
  using Handle = FILE*;
  static Handle acquire() { return tmpfile(); }  // @tmpfile
  static void release(Handle handle) { fclose(handle); }
};
struct Opendir {
  using Handle = DIR*;
  static Handle acquire() { return opendir("/"); }  // @opendir
  static void release(Handle handle) { closedir(handle); }
};

template <class R>
struct Ways {
  using Handle = typename R::Handle;

  static void once_more(Handle handle) { R::release(handle); }
  static Handle closed() {
    Handle handle = R::acquire();
    R::release(handle);
    return handle;
  }
  static void* in_thread(void* handle) {
    R::release(*static_cast<Handle*>(handle));
    return nullptr;
  }

  static void straight() {
    Handle handle = R::acquire();
    R::release(handle);
    R::release(handle);
  }
  static void passed() { once_more(closed()); }
  static void by_pointer() {
    void (*volatile function)(Handle) = once_more;
    function(closed());
  }
  static void by_union() {
    union {
      Handle one, other;
    } both;
    both.one = closed();
    R::release(both.other);
  }
  static void in_array() {
    Handle handles[5];
    handles[2] = closed();
    R::release(handles[2]);
  }
  static void by_reference() {
    Handle handle = closed();
    Handle& same = handle;
    R::release(same);
  }
  static void in_loop() {
    Handle handle{};
    for (int i = 0; i < 1; ++i) handle = closed();
    do R::release(handle);
    while (false);
  }
  static void by_global() {
    static Handle global;
    global = closed();
    R::release(global);
  }
  static void in_vector() { R::release(std::vector<Handle>(3, closed()).back()); }
  static void in_list() { R::release(std::list<Handle>(3, closed()).back()); }
  static void in_map() { R::release(std::map<int, Handle>{{2, closed()}}.at(2)); }
  static void by_virtual() {
    struct Base {
      virtual ~Base() = default;
      virtual void act(Handle handle) const = 0;
    };
    struct Action : Base {
      void act(Handle handle) const override { R::release(handle); }
    };
    std::unique_ptr<const Base>(new Action)->act(closed());
  }
  static void by_destructor() {
    struct Owner {
      Handle handle = closed();
      ~Owner() { R::release(handle); }
    };
    delete new Owner;
  }
  static void by_thread() {
    Handle handle = closed();
    pthread_t thread;
    pthread_create(&thread, nullptr, in_thread, &handle);
    pthread_join(thread, nullptr);
  }

  static constexpr struct {
    const char* name;
    void (*run)();
  } kAll[] = {{"straight", straight},
              {"passed", passed},
              {"by_pointer", by_pointer},
              {"by_union", by_union},
              {"in_array", in_array},
              {"by_reference", by_reference},
              {"in_loop", in_loop},
              {"by_global", by_global},
              {"in_vector", in_vector},
              {"in_list", in_list},
              {"in_map", in_map},
              {"by_virtual", by_virtual},
              {"by_destructor", by_destructor},
              {"by_thread", by_thread}};
};

/// Without a way, names them all.
template <class R>
void close_twice(const char* way) {
  for (const auto& one : Ways<R>::kAll) {
    if (!way)
      std::puts(one.name);
    else if (!std::strcmp(way, one.name))
      one.run();
  }
}

constexpr struct {
  const char* name;
  void (*run)(const char* way);
} kResources[] = {{"open", close_twice<Open>},       {"fopen", close_twice<Fopen>},
                  {"freopen", close_twice<Freopen>}, {"fdopen", close_twice<Fdopen>},
                  {"tmpfile", close_twice<Tmpfile>}, {"opendir", close_twice<Opendir>}};

}  // namespace

int main(int argc, char** argv) {
  for (const auto& resource : kResources)
    if (argc > 1 && !std::strcmp(argv[1], resource.name)) resource.run(argv[2]);
  return 0;
}
