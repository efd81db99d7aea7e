#!/usr/bin/python3
"""scripts/release: what it makes is complete, the same every time, and works where it is unpacked."""
import glob
import json
import os
import re
import shutil
import subprocess
import tarfile
import unittest

import harness

SCRIPT = os.path.join(harness.SOURCE, "scripts", "release")
STATIC_COMMAND = harness.COMMAND + "-static"


def call(*command, **keywords):
    return subprocess.run(command, capture_output=True, text=True, check=False, env=harness.clean_environment(), **keywords)


class Release(unittest.TestCase):
    """Of the build under test: a build for this alone would take minutes."""

    @classmethod
    def setUpClass(cls):
        if not os.path.exists(STATIC_COMMAND):
            raise unittest.SkipTest("the static command was not built: one of libdw, libelf, bz2, lzma and z is no archive here")
        if call("git", "-C", harness.SOURCE, "rev-parse", "HEAD").returncode:
            raise unittest.SkipTest("the sources are no git repository, and a release names its commit")
        cls.scratch = harness.Scratch()
        cls.made = []
        for number in range(2):
            folder = cls.scratch.path(f"made{number}")
            done = call(SCRIPT, "--build", harness.BUILD, folder)
            assert done.returncode == 0, done
            cls.made.append(folder)
        cls.tree = cls.scratch.path("somewhere")
        with tarfile.open(cls.file("unfreed-*-linux-x86_64.tar.gz")) as archive:
            cls.members = archive.getmembers()
            archive.extractall(cls.tree)
        (cls.tree,) = glob.glob(os.path.join(cls.tree, "unfreed-*"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.scratch.folder)
        shutil.rmtree(cls.scratch.ledgers)

    @classmethod
    def file(cls, pattern):
        (path,) = glob.glob(os.path.join(cls.made[0], pattern))
        return path

    def test_is_the_same_every_time(self):
        names = sorted(os.listdir(self.made[0]))
        self.assertEqual(len(names), 4, names)
        self.assertEqual(sorted(os.listdir(self.made[1])), names)
        for name in names:
            with open(os.path.join(self.made[0], name), "rb") as one, open(os.path.join(self.made[1], name), "rb") as other:
                self.assertTrue(one.read() == other.read(), name)
        self.assertEqual({(member.uid, member.gid, member.uname, member.gname) for member in self.members}, {(0, 0, "", "")})
        self.assertEqual(len({member.mtime for member in self.members}), 1)

    def test_checksums(self):
        done = call("sha256sum", "--strict", "--check", "SHA256SUMS", cwd=self.made[0])
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stdout.count(": OK"), 3)

    def test_version_is_the_build_systems(self):
        with open(os.path.join(harness.SOURCE, "meson.build")) as file:
            version = re.search(r"version: '([\d.]+)'", file.read())[1]
        self.assertEqual({re.search(r"(?<=unfreed[-_])[\d.]+\d", os.path.basename(path))[0]
                          for path in glob.glob(os.path.join(self.made[0], "unfreed*"))}, {version})
        shown = call(os.path.join(self.tree, "bin", "unfreed"), "--version")
        self.assertEqual(shown.stdout.splitlines()[0], f"unfreed {version}")
        field = call("dpkg-deb", "--field", self.file("*.deb"), "Version")
        self.assertEqual(field.stdout.strip(), version)

    def test_has_every_file_that_is_installed(self):
        with harness.Scratch() as scratch:
            done = call("meson", "install", "-C", harness.BUILD, "--no-rebuild", "--quiet", "--destdir", scratch.folder)
            self.assertEqual(done.returncode, 0, done)
            installed = {name for _, _, names in os.walk(scratch.folder) for name in names}
        packed = {os.path.basename(member.name) for member in self.members}
        self.assertGreaterEqual(len(installed), 5)
        self.assertLessEqual(installed, packed)
        contents = call("dpkg-deb", "--contents", self.file("*.deb")).stdout
        for name in installed:
            self.assertRegex(contents, rf"/{re.escape(name)}(\.gz)?( ->|\n)")

    def test_works_where_it_is_unpacked(self):
        with harness.Scratch() as scratch:
            report = scratch.path("report.json")
            command = os.path.join(self.tree, "bin", "unfreed")
            library = os.path.join(self.tree, "lib", "unfreed", "libunfreed.so")
            env = {"UNFREED_LEDGER_DIR": scratch.ledgers, "UNFREED_OUTPUT": report, "UNFREED_FAIL_ON": "fd>0"}
            for way, arguments, more in (("run", [command, "run", "--"], {}), ("preload", [], {"LD_PRELOAD": library})):
                with self.subTest(way=way):
                    result = harness.bare([*arguments, harness.program("fd_open"), "leak"], env={**env, **more})
                    self.assertEqual(result.status, 23, result)
                    sites = harness.live_sites(harness.read_report(report), "fd")
                    self.assertEqual(sum(site["live"] for site in sites), 3)
                    self.assertTrue(all("line" in harness.top(site) for site in sites), sites)
                    os.remove(report)

    def test_bill_of_materials_names_every_archive_that_is_linked_in(self):
        with open(self.file("*.spdx.json")) as file:
            bill = json.load(file)
        self.assertEqual(bill["spdxVersion"], "SPDX-2.3")
        names = {package["name"] for package in bill["packages"]}
        identifiers = {package["SPDXID"] for package in bill["packages"]} | {"SPDXRef-DOCUMENT"}
        self.assertEqual(len(identifiers), len(bill["packages"]) + 1)
        for relationship in bill["relationships"]:
            self.assertLessEqual({relationship["spdxElementId"], relationship["relatedSpdxElement"]}, identifiers)
        # What the linker was given, and what the compiler adds by itself.
        linked = call("ninja", "-C", harness.BUILD, "-t", "commands", "src/cli/unfreed-static").stdout
        archives = {os.path.realpath(path) for path in re.findall(r"/usr/lib\S*\.a", linked)}
        for name in ("libstdc++.a", "libgcc_eh.a", "libc.a", "libiberty.a"):
            archives.add(os.path.realpath(call("c++", f"-print-file-name={name}").stdout.strip()))
        self.assertGreater(len(archives), 6)
        owners = {line.split(":")[0] for line in call("dpkg", "-S", *archives).stdout.splitlines()}
        self.assertGreater(len(owners), 6)
        self.assertEqual(owners - names, set())

    def test_debian_package_is_clean(self):
        if not shutil.which("lintian"):
            self.skipTest("lintian is not installed")
        done = call("lintian", "--allow-root", "--fail-on", "error,warning,info", self.file("*.deb"))
        self.assertEqual((done.returncode, done.stdout), (0, ""), done)

    def clone(self, scratch):
        """The sources as a repository of their own, with this script in it."""
        copy = scratch.path("copy")
        done = call("git", "clone", "--quiet", "--no-local", "--depth", "1", f"file://{harness.SOURCE}", copy)
        self.assertEqual(done.returncode, 0, done)
        shutil.copy(SCRIPT, os.path.join(copy, "scripts", "release"))
        return copy

    def failing(self, scratch, name):
        """A PATH on which a program of that name fails."""
        with open(scratch.path(name), "w") as file:
            file.write("#!/bin/sh\nexit 1\n")
        os.chmod(scratch.path(name), 0o755)
        return f"PATH={scratch.folder}:{os.environ['PATH']}"

    def test_a_build_that_fails_leaves_earlier_packages(self):
        with harness.Scratch() as scratch:
            copy = self.clone(scratch)
            done = call("git", "-C", copy, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--all",
                        "--allow-empty", "--message", "its script")
            self.assertEqual(done.returncode, 0, done)
            earlier = os.path.join(copy, "build-release", "packages", "unfreed-0.0.1.spdx.json")
            os.makedirs(os.path.dirname(earlier))
            with open(earlier, "w") as file:
                file.write("earlier")
            done = call("env", self.failing(scratch, "meson"), os.path.join(copy, "scripts", "release"))
            self.assertEqual(done.returncode, 125, done)
            self.assertIn("meson setup failed", done.stderr)
            self.assertTrue(os.path.exists(earlier))

    def test_packing_that_fails_leaves_no_file(self):
        with harness.Scratch() as scratch:
            output = scratch.path("output")
            done = call("env", self.failing(scratch, "dpkg-deb"), SCRIPT, "--build", harness.BUILD, output)
            self.assertNotEqual(done.returncode, 0, done)
            self.assertFalse(os.path.exists(output))

    def test_refuses_what_names_no_commit(self):
        with harness.Scratch() as scratch:
            copy = self.clone(scratch)
            with open(os.path.join(copy, "README.md"), "a") as file:
                file.write("changed\n")
            done = call(os.path.join(copy, "scripts", "release"))
            self.assertEqual(done.returncode, 125, done)
            self.assertIn("not committed", done.stderr)


if __name__ == "__main__":
    harness.main()
