#include "render/json.h"

#include <vector>

#include "render/renderers.h"

namespace unfreed::render {

std::string write_json(const report::Report& report, report::StackForm form) {
  std::string json;
  std::vector<char> buffer(report::kJsonBufferBytes);
  report::Sink sink{&json, [](void* text, std::string_view piece) {
                      static_cast<std::string*>(text)->append(piece);
                      return true;
                    }};
  report::write_json(report, form, buffer, sink);
  return json;
}

std::string render_report_json(Reports reports, const RenderOptions&) {
  std::string text;
  for (const report::Report* report : reports) text += write_json(*report, report::StackForm::listed);
  return text;
}

}  // namespace unfreed::render
