#!/usr/bin/python3
"""What the README says of containers, in roots and namespaces like theirs: an image with nothing but a program and libc."""
import json
import os
import shutil
import stat
import subprocess
import unittest

import harness

STATIC_COMMAND = harness.COMMAND + "-static"
NOBODY = 65534

# Runs in the new namespaces, and becomes the container's first process.
ENTER = """
import json, os, subprocess, sys
how = json.loads(sys.argv[1])
for command in how["mounts"]:
    subprocess.run(command, check=True)
os.chroot(how["root"])
os.chdir("/")
if how["user"]:
    os.setgroups([])
    os.setgid(how["user"])
    os.setuid(how["user"])
os.execve(how["args"][0], how["args"], how["env"])
"""
PROGRAM = "/app/fd_open"
LIBRARY = "/opt/unfreed/lib/unfreed/libunfreed.so"
PRELOADED = {"LD_PRELOAD": LIBRARY, "UNFREED_OUTPUT": "/reports/%e.%p.json"}


@unittest.skipUnless(os.geteuid() == 0, "needs root, to make namespaces and roots")
class Containers(unittest.TestCase):
    def image(self, scratch):
        """A root folder with a program, what it is linked with, and unfreed."""
        root = scratch.path("root")
        for folder in ("app", "etc", "reports", "ledgers", "proc", "dev/shm", "opt/unfreed/bin", "opt/unfreed/lib/unfreed"):
            os.makedirs(os.path.join(root, folder))
        with open(root + "/etc/passwd", "w"):
            pass  # what the program opens
        os.chmod(scratch.folder, 0o755)
        os.chmod(os.path.join(root, "reports"), 0o777)
        shutil.copy(harness.program("fd_open"), root + PROGRAM)
        shutil.copy("/bin/sleep", root + "/app/sleep")
        shutil.copy(harness.LIBRARY, root + LIBRARY)
        if os.path.exists(STATIC_COMMAND):
            shutil.copy(STATIC_COMMAND, root + "/opt/unfreed/bin/unfreed")
        for library in ("/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"):
            os.makedirs(os.path.dirname(root + library), exist_ok=True)
            shutil.copy(library, root + library)
        return root

    def enter(self, root, args, env, mounts=(), user=0):
        how = {"root": root, "args": args, "env": env, "mounts": mounts, "user": user}
        return ["unshare", "--mount", "--pid", "--fork", "--propagation", "private", "/usr/bin/python3", "-c", ENTER, json.dumps(how)]

    def proc(self, root):
        return ["mount", "-t", "proc", "proc", root + "/proc"]

    def shared_memory(self, root, size):
        return ["mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", root + "/dev/shm"]

    def check(self, root, *, complete=True, **how):
        """The program runs as by itself, and its three descriptors are counted."""
        result = harness.bare(self.enter(root, [PROGRAM, "leak"], PRELOADED, **how))
        self.assertEqual(result.status, 0, result)
        (name,) = os.listdir(root + "/reports")
        report = harness.read_report(os.path.join(root, "reports", name))
        self.assertEqual(sum(site["live"] for site in harness.live_sites(report, "fd")), 3)
        if complete:
            self.assertTrue(report["complete"], report["notes"])
        return report

    def test_two_variables_and_one_file(self):
        for size in ("64m", "256k"):
            with self.subTest(shm=size), harness.Scratch() as scratch:
                root = self.image(scratch)
                report = self.check(root, mounts=[self.proc(root), self.shared_memory(root, size)])
                self.assertEqual(report["process"]["pid"], 1)
                self.assertEqual(report["totals"]["fd"]["live"], 3)

    def test_full_shared_memory(self):
        with harness.Scratch() as scratch:
            root = self.image(scratch)
            fill = ["dd", "if=/dev/zero", f"of={root}/dev/shm/full", "bs=64k", "status=none"]
            report = self.check(root, mounts=[self.proc(root), self.shared_memory(root, "1m"), ["sh", "-c", " ".join(fill) + " 2>/dev/null || :"]])
            self.assertEqual(report["totals"]["fd"]["live"], 3)

    def test_neither_proc_nor_shared_memory(self):
        with harness.Scratch() as scratch:
            self.check(self.image(scratch), complete=False)

    def test_read_only_root(self):
        with harness.Scratch() as scratch:
            root = self.image(scratch)
            read_only = [["mount", "--bind", root, root], ["mount", "-o", "remount,bind,ro", root]]
            result = harness.bare(self.enter(root, [PROGRAM, "leak"], PRELOADED, mounts=read_only))
            self.assertEqual((result.status, len(result.stderr.splitlines())), (0, 1), result)
            self.assertIn("/reports", result.stderr)
            self.assertEqual(os.listdir(root + "/reports"), [])
            with self.subTest("a volume for reports"):
                os.mkdir(scratch.path("volume"))
                self.check(root, complete=False,
                           mounts=[["mount", "--bind", root + "/reports", scratch.path("volume")], *read_only,
                                   ["mount", "--bind", scratch.path("volume"), root + "/reports"]])
            with self.subTest("standard error"):
                result = harness.bare(self.enter(root, [PROGRAM, "leak"], {**PRELOADED, "UNFREED_OUTPUT": "/dev/fd/2"},
                                                 mounts=[*read_only, self.proc(root)]))
                self.assertEqual(result.status, 0, result)
                report = json.loads(result.stderr[result.stderr.index("{"):result.stderr.rindex("}") + 1])
                self.assertEqual(report["totals"]["fd"]["live"], 3)

    def test_another_user(self):
        with harness.Scratch() as scratch:
            root = self.image(scratch)
            self.check(root, mounts=[self.proc(root), self.shared_memory(root, "64m")], user=NOBODY)
            (name,) = os.listdir(root + "/reports")
            status = os.stat(os.path.join(root, "reports", name))
            self.assertEqual((status.st_uid, stat.S_IMODE(status.st_mode)), (NOBODY, 0o600))

    @unittest.skipUnless(os.path.exists(STATIC_COMMAND), "the static command was not built")
    def test_the_command_in_an_image_without_libraries_of_its_own(self):
        with harness.Scratch() as scratch:
            root = self.image(scratch)
            command = ["/opt/unfreed/bin/unfreed", "run", "--output", "/reports/report.json", "--fail-on", "fd>0", "--", PROGRAM, "leak"]
            result = harness.bare(self.enter(root, command, {}, mounts=[self.proc(root), self.shared_memory(root, "64m")]))
            self.assertEqual(result.status, 23, result)
            report = harness.read_report(root + "/reports/report.json")
            self.assertEqual(report["totals"]["fd"]["live"], 3)
            self.assertIn("line", harness.top(harness.live_sites(report, "fd")[0]))

    def test_suppressions_lie_in_the_container(self):
        with harness.Scratch() as scratch:
            root = self.image(scratch)
            os.makedirs(root + "/etc/unfreed")
            with open(root + "/etc/unfreed/real", "w") as file:
                file.write("fd:sh\n")
            os.symlink("/etc/unfreed/real", root + "/etc/unfreed/known")  # from the container's root
            shutil.copy("/bin/dash", root + "/app/sh")
            script = "exec 5</etc/passwd; /app/sleep 60; exit"
            service = subprocess.Popen(self.enter(root, ["/app/sh", "-c", script], {
                **PRELOADED, "UNFREED_LEDGER_DIR": "/ledgers", "UNFREED_SUPPRESSIONS": "/etc/unfreed/known",
                "UNFREED_NO_DEFAULT_SUPPRESSIONS": "1"},
                mounts=[self.proc(root)]), env=harness.clean_environment())
            try:
                def is_there():
                    pid = harness.child_of(service)
                    with open(f"/proc/{pid}/task/{pid}/children") as children:
                        return os.path.basename(os.readlink(f"/proc/{pid}/exe")) == "sh" and children.read() and pid
                pid = harness.wait_for(is_there)
                result = harness.unfreed("snapshot", "--output", scratch.path("now.json"), "--fail-on", "fd>0", str(pid),
                                         env={"UNFREED_LEDGER_DIR": root + "/ledgers"})
                self.assertEqual(result.status, 0, result)
                self.assertEqual(harness.read_report(scratch.path("now.json"))["totals"]["fd"]["suppressed"], 1)
            finally:
                service.kill()
                service.wait()

    def test_a_sidecar_reads_the_ledger(self):
        """It sees the service's processes, by other pids, and has the folder for ledgers."""
        with harness.Scratch() as scratch:
            root = self.image(scratch)
            service = subprocess.Popen(self.enter(root, ["/app/sleep", "60"], {**PRELOADED, "UNFREED_LEDGER_DIR": "/ledgers"},
                                                  mounts=[self.proc(root)]), env=harness.clean_environment())
            try:
                env = {"UNFREED_LEDGER_DIR": root + "/ledgers"}

                def is_there():
                    children = harness.child_of(service)
                    return children and os.path.basename(os.readlink(f"/proc/{children}/exe")) == "sleep" and children
                pid = harness.wait_for(is_there)
                harness.wait_for(lambda: harness.unfreed("snapshot", "--quiet", "--force", "--output", scratch.path("now.json"),
                                                         str(pid), env=env).status == 0)
                report = harness.read_report(scratch.path("now.json"))
                self.assertEqual((report["process"]["pid"], report["trigger"]), (1, "snapshot"))
                metrics = harness.unfreed("report", "--format", "openmetrics", scratch.path("now.json"))
                self.assertIn('unfreed_held{program="sleep",pid="1",kind="fd"} 0', metrics.stdout)
                # For the whole machine: there every container has a process 1.
                exported = harness.unfreed("export", env=env)
                self.assertIn(f'unfreed_held{{program="sleep",pid="{pid}",kind="fd"}} 0', exported.stdout)
                self.assertIn("/app/sleep 60", harness.unfreed("list", env=env).stdout)
            finally:
                service.kill()
                service.wait()


if __name__ == "__main__":
    harness.main()
