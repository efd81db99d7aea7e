// A report as one page that needs nothing else: data (page_data.h), and the scripts and styles in html/, which the
// build puts into html_assets.h. A browser runs those, and nothing else: the policy names them by their hashes.

#include <fmt/format.h>

#include "render/html_assets.h"
#include "render/markup.h"
#include "render/page_data.h"
#include "render/renderers.h"
#include "report/report_head.h"

namespace unfreed::render {

namespace {

/// JSON that can stand in an element: what could end the element, or begin another, is within texts only.
std::string as_element_text(const nlohmann::json& data) {
  std::string text = data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  std::string safe;
  safe.reserve(text.size() + text.size() / 50);
  for (char one : text) {
    switch (one) {
      case '<':
        safe += "\\u003c";
        break;
      case '>':
        safe += "\\u003e";
        break;
      case '&':
        safe += "\\u0026";
        break;
      default:
        safe += one;
    }
  }
  return safe;
}

/// The page of some data. `without_scripts`: what it says where scripts do not run.
std::string page(const std::string& title, const nlohmann::json& data, std::string_view without_scripts) {
  std::string text(report::kPageStart);
  text += fmt::format(
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src '{}'; style-src '{}'; "
      "base-uri 'none'; form-action 'none'\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n{}",
      kPageScriptHash, kPageStyleHash, escape_markup(title), kPageStyle, kPageBody);
  text += fmt::format(
      "<noscript><p>Scripts are off in this browser: this is the summary only.</p>\n<pre>{}</pre>\n</noscript>\n",
      escape_lines(without_scripts));
  text += "<script type=\"application/json\" id=\"data\">" + as_element_text(data) + "</script>\n";
  text += fmt::format("<script>{}</script>\n</body>\n</html>\n", kPageScript);
  return text;
}

}  // namespace

std::string render_report_html(Reports reports, const RenderOptions& options) {
  std::string title = "unfreed: " + describe_process(reports[0]->process);
  if (reports.size() > 1) title += fmt::format(" and {} more", reports.size() - 1);
  RenderOptions plain = options;
  plain.colour = false;
  return page(title, page_data(reports, options, "report"), render_report_text(reports, plain));
}

std::string render_difference_html(const report::Report& older, const report::Report& newer,
                                   const RenderOptions& options, std::string_view text) {
  const report::Report* both[] = {&older, &newer};
  std::string title = fmt::format("unfreed: {} → {}", describe_process(older.process), describe_process(newer.process));
  return page(title, page_data(both, options, "diff"), text);
}

}  // namespace unfreed::render
