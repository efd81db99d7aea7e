"""Puts the page's scripts, styles and skeleton into a header, with the hashes by which the page's policy names them.

    make_assets.py OUTPUT FILE...
"""
import base64
import hashlib
import sys


def literal(text):
    """In pieces, each a raw string."""
    pieces = [text[at:at + 12000] for at in range(0, len(text), 12000)]
    return "\n    ".join(f'R"__({piece})__"' for piece in pieces) or '""'


def main(output, *paths):
    parts = {"js": [], "css": [], "html": []}
    for path in paths:
        with open(path, encoding="utf-8") as file:
            parts[path.rsplit(".", 1)[1]].append(file.read())
    script = "\n(() => {\n'use strict';\n" + "\n".join(parts["js"]) + "})();\n"
    style = "\n" + "\n".join(parts["css"])
    for text in (script, style):
        # Where an element ends is found without looking at what is a string in it.
        assert "</script" not in text and "</style" not in text and "<!--" not in text and ')__"' not in text

    def hash_of(text):
        return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    with open(output, "w", encoding="utf-8") as file:
        file.write("// Made by make_assets.py.\n#pragma once\n\n#include <string_view>\n\nnamespace unfreed::render {\n\n")
        for name, text in (("PageScript", script), ("PageStyle", style), ("PageBody", "\n".join(parts["html"]))):
            file.write(f"inline constexpr std::string_view k{name} =\n    {literal(text)};\n")
        file.write(f'inline constexpr std::string_view kPageScriptHash = "{hash_of(script)}";\n')
        file.write(f'inline constexpr std::string_view kPageStyleHash = "{hash_of(style)}";\n')
        file.write("\n}  // namespace unfreed::render\n")


main(*sys.argv[1:])
