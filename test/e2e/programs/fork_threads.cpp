// fork while other threads allocate and open files: child and parent each go on counting for themselves. The child
// leaks one descriptor of its own, the parent two.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

static int take() {
  return open("/etc/passwd", O_RDONLY);  // @take
}

int main() {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++)
    threads.emplace_back([&stop] {
      while (!stop) {
        free(malloc(100));
        close(open("/dev/null", O_RDONLY));
      }
    });
  int bad = 0;
  for (int i = 0; i < 20; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      for (int k = 0; k < 100; k++) free(malloc(1000));
      exit(i == 10 ? take() < 0 : 0);
    }
    int status = 0;
    bad += waitpid(pid, &status, 0) != pid || status;
  }
  stop = true;
  for (auto& thread : threads) thread.join();
  for (int i = 0; i < 2; i++) bad += take() < 0;
  return bad;
}
