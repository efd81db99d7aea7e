// Keeps two widgets of three: both of the line that says so.
#include "widget.h"

int main(void) {
  int widgets[3];
  for (int i = 0; i < 3; ++i) widgets[i] = widget_make(100 + i);  // @kept
  return widget_give_back(widgets[1]) || widget_give_back(77) != -1;
}
