// What kernel_program.bpf.c reads of the kernel's structures: the members alone, wherever the running kernel has them
// (CO-RE).
#pragma once

#if defined(__TARGET_ARCH_arm64)
#define pt_regs user_pt_regs  // the kernel's begins with it
#endif

#define OF_THE_KERNEL __attribute__((preserve_access_index))

struct qstr {
  const unsigned char* name;
} OF_THE_KERNEL;
struct dentry {
  struct dentry* d_parent;
  struct qstr d_name;
} OF_THE_KERNEL;
struct vfsmount {
  struct dentry* mnt_root;
} OF_THE_KERNEL;
struct mount {
  struct mount* mnt_parent;
  struct dentry* mnt_mountpoint;
  struct vfsmount mnt;
} OF_THE_KERNEL;
struct path {
  struct vfsmount* mnt;
  struct dentry* dentry;
} OF_THE_KERNEL;
struct file {
  struct path f_path;
} OF_THE_KERNEL;
struct fdtable {
  unsigned int max_fds;
  struct file** fd;
  unsigned long* open_fds;
} OF_THE_KERNEL;
struct files_struct {
  struct fdtable* fdt;
} OF_THE_KERNEL;
struct mm_struct {
  unsigned long start_stack, arg_start, arg_end;
  unsigned long saved_auxv[1];
  struct file* exe_file;
} OF_THE_KERNEL;
typedef struct {
  int counter;
} atomic_t;
struct signal_struct {
  atomic_t live;
} OF_THE_KERNEL;
struct linux_binprm {
  const char* filename;
} OF_THE_KERNEL;
struct sigaction {
  void* sa_handler;
  unsigned long sa_flags;
} OF_THE_KERNEL;
struct k_sigaction {
  struct sigaction sa;
} OF_THE_KERNEL;
struct sighand_struct {
  struct k_sigaction action[64];
} OF_THE_KERNEL;
struct task_struct {
  int pid, tgid, exit_code, exit_signal;
  struct sighand_struct* sighand;
  struct mm_struct* mm;
  struct files_struct* files;
  struct signal_struct* signal;
  struct task_struct *real_parent, *group_leader;
  __u64 start_boottime;
} OF_THE_KERNEL;
