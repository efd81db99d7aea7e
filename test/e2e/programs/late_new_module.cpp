// Takes blocks by each form of operator new, keeps them, and gives as many back.
#include <new>

struct alignas(64) Aligned {
  char bytes[64];
};

static void* volatile g_kept[8];

extern "C" __attribute__((visibility("default"))) void take() {
  g_kept[0] = new char;                       // @new_one
  g_kept[1] = new char[10];                   // @new_array
  g_kept[2] = new (std::nothrow) char;        // @new_quiet
  g_kept[3] = new (std::nothrow) char[10];    // @new_array_quiet
  g_kept[4] = new Aligned;                    // @new_aligned
  g_kept[5] = new Aligned[2];                 // @new_array_aligned
  g_kept[6] = new (std::nothrow) Aligned;     // @new_aligned_quiet
  g_kept[7] = new (std::nothrow) Aligned[2];  // @new_array_aligned_quiet
  for (int i = 0; i < 100; ++i) {
    delete new int;
    delete[] new int[i];
    delete new Aligned;
    delete[] new Aligned[2];
  }
}
