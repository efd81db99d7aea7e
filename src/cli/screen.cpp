#include "cli/screen.h"

// Its macros (lines, move, clear …) are other things' names here.
#define NCURSES_NOMACROS
#include <fmt/format.h>
#include <langinfo.h>
#include <ncurses.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <term.h>
#include <unistd.h>
#undef lines
#undef columns

#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <cwchar>

#include "base/printable.h"
#include "base/unique_fd.h"
#include "render/text.h"

namespace unfreed::cli {

namespace {

constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH};

sigset_t handled_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (int signal : kSignals) sigaddset(&set, signal);
  return set;
}

enum Pair : short { kRed = 1, kYellow };

attr_t attributes_of(render::Style style, bool has_colour) {
  switch (style) {
    case render::Style::bold:
      return A_BOLD;
    case render::Style::bar:
    case render::Style::selected:
      return A_REVERSE | (style == render::Style::selected ? A_BOLD : A_NORMAL);
    case render::Style::red:
      return has_colour ? static_cast<attr_t>(COLOR_PAIR(kRed)) : A_BOLD;
    case render::Style::yellow:
      return has_colour ? static_cast<attr_t>(COLOR_PAIR(kYellow)) : A_NORMAL;
    case render::Style::faint:
      return A_DIM;
    default:
      return A_NORMAL;
  }
}

/// What a terminal without UTF-8 shows.
wchar_t plain_character(uint32_t code) {
  switch (code) {
    case 0x2026:  // …
      return L'~';
    case 0x2192:  // →
      return L'>';
    case 0xd7:  // ×
      return L'x';
    default:
      return L'?';
  }
}

uint32_t key_of(int result, wint_t character) {
  using namespace render;
  if (result != KEY_CODE_YES) {
    if (character == '\r') return kKeyEnter;
    return character == 0x7f || character == '\b' ? static_cast<uint32_t>(kKeyErase) : static_cast<uint32_t>(character);
  }
  switch (character) {
    case KEY_UP:
      return kKeyUp;
    case KEY_DOWN:
      return kKeyDown;
    case KEY_LEFT:
      return kKeyLeft;
    case KEY_RIGHT:
      return kKeyRight;
    case KEY_PPAGE:
      return kKeyPageUp;
    case KEY_NPAGE:
      return kKeyPageDown;
    case KEY_HOME:
      return kKeyHome;
    case KEY_END:
      return kKeyEnd;
    case KEY_F(1):
      return kKeyHelp;
    case KEY_F(10):
      return 'q';
    case KEY_BTAB:
      return kKeyTab;
    case KEY_ENTER:
      return kKeyEnter;
    case KEY_BACKSPACE:
      return kKeyErase;
    default:
      return kKeyOther;
  }
}

}  // namespace

struct Screen::Terminal {
  SCREEN* screen = nullptr;
  base::UniqueFd signals;
  sigset_t mask_before{};
  struct sigaction before[std::size(kSignals)]{};
  bool has_colour = false;
  bool is_utf8 = false;
};

Screen::Screen(std::unique_ptr<Terminal> terminal) : terminal_(std::move(terminal)) {}

std::unique_ptr<Screen> Screen::open(std::string& error) {
  if (isatty(STDOUT_FILENO) != 1 || isatty(STDIN_FILENO) != 1) {
    error = fmt::format("standard {} is not a terminal (--batch writes text)",
                        isatty(STDOUT_FILENO) != 1 ? "output" : "input");
    return nullptr;
  }
  auto terminal = std::make_unique<Terminal>();
  std::setlocale(LC_CTYPE, "");
  terminal->is_utf8 = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  // Signals are read between two steps, so that none finds the terminal half changed.
  sigset_t handled = handled_signals();
  sigprocmask(SIG_BLOCK, &handled, &terminal->mask_before);
  terminal->signals = base::UniqueFd(signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  for (size_t at = 0; at < std::size(kSignals); ++at) sigaction(kSignals[at], nullptr, &terminal->before[at]);
  terminal->screen = newterm(nullptr, stdout, stdin);
  const char* up = terminal->screen ? tigetstr("cup") : nullptr;
  if (!up || up == reinterpret_cast<const char*>(-1)) {
    const char* name = std::getenv("TERM");
    error = fmt::format("the terminal '{}' cannot show it (see TERM; --batch writes text)", name ? name : "");
    if (terminal->screen) {
      endwin();
      delscreen(terminal->screen);
    }
    sigprocmask(SIG_SETMASK, &terminal->mask_before, nullptr);
    return nullptr;
  }
  // ncurses has handlers of its own.
  for (size_t at = 0; at < std::size(kSignals); ++at) sigaction(kSignals[at], &terminal->before[at], nullptr);
  cbreak();
  noecho();
  nonl();
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  constexpr int kEscapeMs = 50;
  set_escdelay(kEscapeMs);
  curs_set(0);
  terminal->has_colour = render::wants_colour(STDOUT_FILENO) && has_colors();
  if (terminal->has_colour) {
    start_color();
    use_default_colors();
    init_pair(kRed, COLOR_RED, -1);
    init_pair(kYellow, COLOR_YELLOW, -1);
  }
  return std::unique_ptr<Screen>(new Screen(std::move(terminal)));
}

Screen::~Screen() {
  erase();
  refresh();
  endwin();
  delscreen(terminal_->screen);
  // Signals that arrived meanwhile need no answer: the command is about to end.
  sigset_t handled = handled_signals();
  timespec none{};
  while (sigtimedwait(&handled, nullptr, &none) > 0) {
  }
  sigprocmask(SIG_SETMASK, &terminal_->mask_before, nullptr);
}

size_t Screen::lines() const { return static_cast<size_t>(std::max(getmaxy(stdscr), 1)); }
size_t Screen::columns() const { return static_cast<size_t>(std::max(getmaxx(stdscr), 1)); }

void Screen::draw(const std::vector<render::ScreenLine>& shown) {
  erase();
  int width = getmaxx(stdscr);
  int height = getmaxy(stdscr);
  for (int row = 0; row < height && static_cast<size_t>(row) < shown.size(); ++row) {
    int column = 0;
    move(row, 0);
    for (const render::Span& span : shown[static_cast<size_t>(row)]) {
      attrset(static_cast<int>(attributes_of(span.style, terminal_->has_colour)));
      for (std::string_view rest = span.text; !rest.empty();) {
        base::Character character = base::first_character(rest);
        rest.remove_prefix(std::max<size_t>(character.bytes, 1));
        auto wide = static_cast<wchar_t>(character.bytes ? character.code : L'?');
        if (!terminal_->is_utf8 && wide >= 0x80) wide = plain_character(character.code);
        // A row ends at the edge, whatever is in it: characters may take two columns, or none.
        int taken = std::max(wcwidth(wide), 0);
        if (column + taken > width) break;
        wchar_t text[] = {wide, 0};
        addwstr(text);
        column += taken;
      }
    }
  }
  attrset(A_NORMAL);
  refresh();
}

/// As a shell's job control expects: the terminal is given back until the command goes on.
void Screen::stop() {
  endwin();
  sigset_t stopping;
  sigemptyset(&stopping);
  sigaddset(&stopping, SIGTSTP);
  kill(getpid(), SIGTSTP);
  sigprocmask(SIG_UNBLOCK, &stopping, nullptr);
  sigprocmask(SIG_BLOCK, &stopping, nullptr);
}

Screen::Event Screen::take_signal() {
  signalfd_siginfo info{};
  if (read(terminal_->signals.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return Event::time;
  switch (static_cast<int>(info.ssi_signo)) {
    case SIGTSTP:
      stop();
      [[fallthrough]];
    case SIGCONT:
    case SIGWINCH: {
      winsize size{};
      if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row && size.ws_col)
        resizeterm(size.ws_row, size.ws_col);
      // Others may have written to it, or changed its modes.
      reset_prog_mode();
      clearok(curscr, TRUE);
      curs_set(0);
      return Event::resized;
    }
    default:
      return Event::end;
  }
}

Screen::Event Screen::wait(int wait_ms, uint32_t& key) {
  wint_t character = 0;
  int result = get_wch(&character);
  if (result == ERR) {
    pollfd waited[] = {{STDIN_FILENO, POLLIN, 0}, {terminal_->signals.get(), POLLIN, 0}};
    int ready = poll(waited, 2, wait_ms);
    if (ready < 0) return errno == EINTR ? Event::resized : Event::end;
    if (ready == 0) return Event::time;
    if (waited[1].revents) return take_signal();
    if (waited[0].revents & (POLLHUP | POLLERR | POLLNVAL)) return Event::end;
    result = get_wch(&character);
    if (result == ERR) return Event::resized;
  }
  if (result == KEY_CODE_YES && character == KEY_RESIZE) return Event::resized;
  key = key_of(result, character);
  return Event::key;
}

}  // namespace unfreed::cli
