"""Puts the kernel's program into a header, as bytes.

    embed_object.py OBJECT OUTPUT
"""
import sys


def main(path, output):
    with open(path, "rb") as file:
        data = file.read()
    with open(output, "w", encoding="ascii") as file:
        file.write("// Made by embed_object.py.\n#pragma once\n\nnamespace unfreed::trace {\n\n")
        file.write("alignas(8) inline constexpr unsigned char kKernelObject[] = {\n")
        for at in range(0, len(data), 24):
            file.write(",".join(map(str, data[at:at + 24])) + ",\n")
        file.write("};\n\n}  // namespace unfreed::trace\n")


main(*sys.argv[1:])
