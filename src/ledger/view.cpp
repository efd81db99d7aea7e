#include "ledger/view.h"
