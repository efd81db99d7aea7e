// By what libc has. For base/bounded_call.cpp alone.
#pragma once

#include "base/portable_stack_switch.h"
