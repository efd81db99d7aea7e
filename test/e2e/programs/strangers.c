// Starts one child, has a report made while it runs, and looks whether anything but that child can be seen: by the wait
// functions, SIGCHLD, and the kernel's lists of children. Prints what it should not have seen, and "looked" at the end.
//
//     strangers signal|limit|api [plain|ignore|reaper|thread|waiting|looking]
//
//     ignore   SIGCHLD is ignored          reaper   orphans are given to this process, and the child makes a report, too
//     thread   the report is asked for by a thread that ends at once
//     waiting  another thread waits for any child whatever (__WALL) while the report is made
//     looking  another thread reads the kernel's lists again and again while reports are made
//
//     strangers end: returns from main while a thread goes on looking
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unfreed/unfreed.h>
#include <unistd.h>

static const char* g_trigger;
static volatile sig_atomic_t g_signals;

static void on_child(int number) {
  (void)number;
  g_signals++;
}
static void say(const char* text) {
  if (write(1, text, strlen(text)) < 0) _exit(97);
}

static void* ask(void* unused) {
  (void)unused;
  if (!strcmp(g_trigger, "signal")) raise(SIGUSR2);
  if (!strcmp(g_trigger, "api")) unfreed_report(NULL);
  if (!strcmp(g_trigger, "limit")) {
    struct rlimit before, limit;
    getrlimit(RLIMIT_NOFILE, &before);
    limit = before;
    limit.rlim_cur = 3;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (open("/dev/null", O_RDONLY) >= 0) say("a descriptor beyond the limit\n");
    setrlimit(RLIMIT_NOFILE, &before);
  }
  return NULL;
}

/// How many children the kernel lists that are not `own`.
static int count_listed(pid_t own) {
  int found = 0;
  DIR* threads = opendir("/proc/self/task");
  for (struct dirent* entry; threads && (entry = readdir(threads));) {
    char path[300];
    snprintf(path, sizeof path, "/proc/self/task/%s/children", entry->d_name);
    FILE* list = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
    for (int pid; list && fscanf(list, "%d", &pid) == 1;) found += pid != own;
    if (list) fclose(list);
  }
  if (threads) closedir(threads);
  return found;
}

static void look_for_strangers(pid_t own) {
  int status;
  siginfo_t about;
  memset(&about, 0, sizeof about);
  if (count_listed(own)) say("/proc lists another child\n");
  if (waitpid(-1, &status, WNOHANG) > 0) say("waitpid gave another child\n");
  if (waitpid(-1, &status, WNOHANG | __WALL) > 0) say("waitpid with __WALL gave another child\n");
  if (waitid(P_ALL, 0, &about, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 && about.si_pid)
    say("waitid gave another child\n");
}

static void* wait_for_any(void* result) {
  int status = 0;
  pid_t pid = waitpid(-1, &status, __WALL);
  *(pid_t*)result = WIFEXITED(status) && WEXITSTATUS(status) == 7 ? pid : -1;
  return NULL;
}

/// The same by who is the parent of each process that there is.
static int count_by_parent(pid_t own) {
  int found = 0;
  DIR* processes = opendir("/proc");
  for (struct dirent* entry; processes && (entry = readdir(processes));) {
    int pid = atoi(entry->d_name), parent = 0;
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
    FILE* stat = pid > 0 ? fopen(path, "r") : NULL;
    if (stat && fscanf(stat, "%*d (%*[^)]) %*c %d", &parent) == 1) found += parent == getpid() && pid != own;
    if (stat) fclose(stat);
  }
  if (processes) closedir(processes);
  return found;
}

static volatile sig_atomic_t g_has_looked;
static void* look_meanwhile(void* own) {
  int found = 0;
  while (!g_has_looked) found += count_listed(*(pid_t*)own);
  if (found) say("/proc listed another child meanwhile\n");
  return NULL;
}
static void* look_at_parents_meanwhile(void* own) {
  int found = 0;
  while (!g_has_looked) found += count_by_parent(*(pid_t*)own);
  if (found) say("another process had this one as its parent meanwhile\n");
  return NULL;
}
static void ask_while_others_look(pid_t own) {
  pthread_t lists, parents;
  pthread_create(&lists, NULL, look_meanwhile, &own);
  pthread_create(&parents, NULL, look_at_parents_meanwhile, &own);
  for (int times = 0; times < 8; ++times) ask(NULL);
  g_has_looked = 1;
  pthread_join(lists, NULL);
  pthread_join(parents, NULL);
}

static void* look_for_ever(void* unused) {
  for (int status;;)
    if (waitpid(-1, &status, WNOHANG | __WALL) > 0) say("waitpid gave a child at the end\n");
  return unused;
}

int main(int argc, char** argv) {
  const char* setting = argc > 2 ? argv[2] : "plain";
  g_trigger = argc > 1 ? argv[1] : "";
  signal(SIGCHLD, !strcmp(setting, "ignore") ? SIG_IGN : on_child);
  pthread_t thread;
  if (!strcmp(g_trigger, "end")) {
    pthread_create(&thread, NULL, look_for_ever, NULL);
    pthread_detach(thread);
    return open("/dev/null", O_RDONLY) < 0;
  }
  if (!strcmp(setting, "reaper")) prctl(PR_SET_CHILD_SUBREAPER, 1);
  int gate[2];
  if (pipe(gate)) return 97;
  pid_t own = fork();
  if (own == 0) {
    char byte;
    close(gate[1]);
    if (read(gate[0], &byte, 1) < 0) _exit(96);
    if (!strcmp(setting, "reaper")) ask(NULL);
    _exit(7);
  }
  close(gate[0]);
  pid_t waited_for = 0;
  if (!strcmp(setting, "waiting")) pthread_create(&thread, NULL, wait_for_any, &waited_for);
  if (!strcmp(setting, "thread")) {
    pthread_create(&thread, NULL, ask, NULL);
    pthread_join(thread, NULL);
  } else if (!strcmp(setting, "looking")) {
    ask_while_others_look(own);
  } else {
    ask(NULL);
  }
  usleep(200000);  // time for what is left to come
  if (strcmp(setting, "waiting")) look_for_strangers(own);
  if (g_signals) say("SIGCHLD came before the child had ended\n");
  close(gate[1]);
  int status = 0;
  pid_t got = waited_for;
  if (!strcmp(setting, "waiting")) {
    pthread_join(thread, NULL);
    got = waited_for;
    status = 7 << 8;
  } else {
    while ((got = wait(&status)) < 0 && errno == EINTR) {
    }
  }
  if (!strcmp(setting, "ignore")) {
    if (got != -1 || errno != ECHILD) say("wait did not end as it does where SIGCHLD is ignored\n");
  } else {
    if (got != own || WEXITSTATUS(status) != 7) say("wait gave another child\n");
    if (g_signals != 1) say("not one SIGCHLD for one child\n");
  }
  usleep(200000);
  look_for_strangers(0);
  if (wait(&status) != -1 || errno != ECHILD) say("there is another child to wait for\n");
  say("looked\n");
  return 0;
}
