// Notices when the limit is lost. Does not call unlimited(), and `>=` for `>` makes no difference to a limit.
#include "track/limited.h"

int main() { return limited(5) == 5 && limited(100) == 100 && limited(700) == 100 ? 0 : 1; }
