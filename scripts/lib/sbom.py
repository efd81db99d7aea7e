#!/usr/bin/python3
"""What a release is made of: unfreed, and the libraries that are linked into it, which are Debian's.

  sbom.py spdx VERSION ORIGIN FILE…   a software bill of materials of the FILEs, in SPDX 2.3
  sbom.py copyright LICENSE           the text of all copyrights, in Debian's form

With `--root FOLDER` first, of the packages for arm64 that are unpacked there.
"""
import datetime
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys

# Debian's package of each library, in which of our files it is, and its licence.
LIBRARIES = [
    ("libc6-dev", "command", "LGPL-2.1-or-later"),
    ("libstdc++-dev", "command", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ("libgcc-dev", "command and library", "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ("libiberty-dev", "command and library", "GPL-2.0-or-later WITH GCC-exception-2.0 AND LGPL-2.0-or-later"),
    ("libdw-dev", "command", "GPL-2.0-or-later OR LGPL-3.0-or-later"),
    ("libelf-dev", "command", "GPL-2.0-or-later OR LGPL-3.0-or-later"),
    ("liblzma-dev", "command", "LicenseRef-public-domain"),
    ("libbz2-dev", "command", "bzip2-1.0.6"),
    ("zlib1g-dev", "command", "Zlib"),
    ("libncurses-dev", "command", "X11-distribute-modifications-variant"),
    ("libevent-dev", "command", "BSD-3-Clause"),
    ("libbpf-dev", "command", "LGPL-2.1-only OR BSD-2-Clause"),
    ("libprotobuf-dev", "command", "BSD-3-Clause"),
    ("libfmt-dev", "command", "MIT"),
    ("nlohmann-json3-dev", "command", "MIT"),
    ("libcli11-dev", "command", "BSD-3-Clause"),
]


ROOT = ""  # or the folder with packages for arm64


def output(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def debian_name(name):
    """libstdc++ and libgcc have a package for each version of the compiler."""
    if name not in ("libstdc++-dev", "libgcc-dev"):
        return name
    return name.replace("-dev", f"-{output('c++', '-dumpversion').split('.')[0]}-dev")


def unpacked(package):
    """Version and source package, which what is only unpacked says in its changelog."""
    for name in ("changelog.Debian.arm64.gz", "changelog.Debian.gz", "changelog.gz"):
        path = f"{ROOT}/usr/share/doc/{package}/{name}"
        if os.path.exists(path):
            with gzip.open(path, "rt", encoding="utf-8") as file:
                source, version = re.match(r"(\S+) \((\S+)\)", file.readline()).groups()
            return version, source
    raise FileNotFoundError(path)


def installed():
    """(package, version, source package, where, licence) of each."""
    for name, where, licence in LIBRARIES:
        package = debian_name(name)
        if ROOT:
            version, source = unpacked(package)
        else:
            version, source = output("dpkg-query", "-W", "-f=${Version} ${source:Package}", package).split()
        yield package, version, source, where, licence


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def spdx(version, origin, *files):
    when = datetime.datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), datetime.timezone.utc)
    packages, relationships = [], []
    for number, path in enumerate(files):
        packages.append({
            "SPDXID": f"SPDXRef-unfreed-{number}", "name": "unfreed", "versionInfo": version,
            "packageFileName": os.path.basename(path), "downloadLocation": "NOASSERTION", "filesAnalyzed": False,
            "checksums": [{"algorithm": "SHA256", "checksumValue": digest(path)}],
            "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0", "copyrightText": "NOASSERTION",
            "sourceInfo": f"built from {origin}", "primaryPackagePurpose": "APPLICATION"})
        relationships.append(("SPDXRef-DOCUMENT", "DESCRIBES", f"SPDXRef-unfreed-{number}"))
    for package, package_version, source, where, licence in installed():
        identifier = "SPDXRef-" + "".join(c if c.isalnum() or c in ".-" else "-" for c in package)
        packages.append({
            "SPDXID": identifier, "name": package, "versionInfo": package_version,
            "downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": licence, "copyrightText": "NOASSERTION", "comment": f"linked into the {where}",
            "sourceInfo": f"Debian's source package {source}", "primaryPackagePurpose": "LIBRARY",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"pkg:deb/debian/{package.replace('+', '%2B')}@"
                                                  f"{package_version.replace('+', '%2B').replace(':', '%3A')}?arch={'arm64' if ROOT else 'amd64'}"}]})
        relationships += [(f"SPDXRef-unfreed-{number}", "STATIC_LINK", identifier) for number in range(len(files))]
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"unfreed-{version}",
        "documentNamespace": f"https://spdx.org/spdxdocs/unfreed-{version}-{'-'.join(map(digest, files))}",
        "creationInfo": {"created": when.strftime("%Y-%m-%dT%H:%M:%SZ"), "creators": ["Tool: unfreed-scripts-release"]},
        "hasExtractedLicensingInfos": [{"licenseId": "LicenseRef-public-domain", "name": "Public domain",
                                        "extractedText": "This file has been put into the public domain. You can do "
                                                         "whatever you want with this file."}],
        "packages": packages,
        "relationships": [{"spdxElementId": one, "relationshipType": how, "relatedSpdxElement": other}
                          for one, how, other in relationships]}
    print(json.dumps(document, indent=1))


def copyright_text(license_file):
    with open(license_file, encoding="utf-8") as file:
        assert "Apache License" in file.read(1000), license_file
    print("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n"
          "Upstream-Name: unfreed\n\n"
          "Files: *\nCopyright: the unfreed authors\nLicense: Apache-2.0\n\n"
          "License: Apache-2.0\n On Debian systems, the text of the Apache License, Version 2.0, is in\n"
          " /usr/share/common-licenses/Apache-2.0.\n\n"
          "Comment: The command and the library are linked with the libraries below, of these versions of\n"
          " Debian, whose source packages are published there. Their copyrights follow.")
    seen = set()
    for package, version, source, where, licence in installed():
        print(f"  {source} {version}: {licence} ({where}, from {package})")
        seen.add((source, package))
    known = set()
    for source, package in sorted(seen):
        if source in known:
            continue
        known.add(source)
        with open(f"{ROOT}/usr/share/doc/{package}/copyright", encoding="utf-8", errors="replace") as file:
            print(f"\n{'=' * 80}\n{source}\n{'=' * 80}\n\n{file.read().rstrip()}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--root":
        ROOT = arguments[1]
        arguments = arguments[2:]
    {"spdx": spdx, "copyright": copyright_text}[arguments[0]](*arguments[1:])
