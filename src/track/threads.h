// The threads' verbs. A thread that a hook creates starts in a wrapper, which records its identity and stack. The
// destructor of a thread-specific key sees its end, by return, pthread_exit, thrd_exit or cancellation alike.
//
//   created ──▶ running ──end──▶ finished ──join, detach──▶ released
//                  └─detached─────end────────────────────▶ released
#pragma once

#include <pthread.h>

#include <cstdint>

#include "track/counters.h"
#include "track/live_since.h"
#include "unwind/frame.h"

namespace unfreed::track {

/// What a new thread runs; either form.
struct ThreadStart {
  void* (*routine)(void*) = nullptr;
  int (*c11_routine)(void*) = nullptr;
  void* argument = nullptr;
};

/// A creation in progress. Made before the real call, settled after it.
struct ThreadBirth {
  uint32_t record = 0;
  uint32_t generation = 0;
  uint32_t site = 0;
  void* ticket = nullptr;  ///< what to pass to thread_main as its argument; null: not tracked, start as if unhooked
};
/// `stack_bytes` and `detached` are the attributes in force.
ThreadBirth thread_creating(const ThreadStart& start, size_t stack_bytes, bool detached, uint16_t hook,
                            const unwind::Registers& from);
/// `error` is the real call's result as an errno value (0: the thread is running, and `handle` is its name).
void thread_created(const ThreadBirth& birth, int error, pthread_t handle, uint16_t hook,
                    const unwind::Registers& from);

/// Start routines to give to the real functions, with the ticket as argument.
void* thread_main(void* ticket);
int c11_thread_main(void* ticket);

/// The record of the thread that `handle` names now; 0: none. Call it before a real join or detach, since the
/// handle may be another thread's right after it.
uint64_t thread_lookup(pthread_t handle);
/// The join or detach has succeeded.
void thread_joined(uint64_t looked_up);
void thread_detached(uint64_t looked_up);

/// Does the process end with the calling thread? Asks the kernel, or, if it cannot answer, goes by what was
/// seen to start.
bool is_only_thread();
/// The same by our own records, without a system call.
bool is_only_known_thread();

/// How far from its pthread_t libc keeps what a thread that started in thread_main has returned, until it is joined;
/// 0: unknown. `readable_bytes`: from the pthread_t on.
size_t thread_result_offset(uint64_t handle, size_t readable_bytes);

bool thread_ignore(pthread_t handle);
/// Adds the threads that were created after `serial` and neither joined nor detached.
void thread_live_since(uint32_t serial, LiveSince& out);

/// Of threads that are created with these attributes; 0: not known.
size_t stack_bytes_of(const pthread_attr_t& attributes);
/// Of threads that are created without attributes.
size_t default_stack_bytes();

/// Creates the key, if the process can have threads; enters the calling thread as the main one. False: the key could
/// not be created.
bool prepare_threads();
void reset_threads_after_fork();

/// Registers for the calling thread's end. Called when its state is made.
void watch_thread_end();

}  // namespace unfreed::track
