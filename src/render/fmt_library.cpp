// fmt's library, from its headers. Everything else includes <fmt/format.h> alone and links to what is compiled here.
#include <fmt/format-inl.h>

// What <fmt/format.h> says is instantiated elsewhere.
FMT_BEGIN_NAMESPACE
namespace detail {
template FMT_API auto thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
template FMT_API auto decimal_point_impl(locale_ref) -> char;
}  // namespace detail
FMT_END_NAMESPACE
