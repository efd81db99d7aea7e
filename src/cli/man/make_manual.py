#!/usr/bin/env python3
"""make_manual.py UNFREED TEMPLATE VERSION > unfreed.1

Fills in the manual page from what the command says of itself (`unfreed --describe`, `unfreed COMMAND --describe`): its
commands, settings, options, exit statuses, and what rules can name. The rest stands in the template.
"""
import subprocess
import sys
import textwrap


def lines(program, *arguments):
    out = subprocess.run([program, *arguments, "--describe"], check=True, capture_output=True, text=True).stdout
    return [line.split("\t") for line in out.splitlines()]


def roff(text):
    """Plain text as roff source. No line begins with a dot or an apostrophe, which would be a request."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def sentence(text):
    text = text[:1].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def entry(head, body):
    return ".TP\n" + head + "\n" + "\n".join(
        line if line[0] not in ".'" else "\\&" + line for line in textwrap.wrap(roff(body), 110))


def option(names, value, variable, text, more, commands=()):
    head = f'.BR "{roff(names.replace(",", ", "))}"' + (f' "{" " if value[0] != "[" else ""}\\fI{value}\\fP"' if value else "")
    if variable:
        head += f' " ({variable}{"" if value else "=1"})"'
    if commands:
        head += f' " ({", ".join(commands)})"'
    return entry(head, " ".join([sentence(text), more]).strip())


def main():
    program, template, version = sys.argv[1:]
    rows = lines(program)
    commands = [row[1:] for row in rows if row[0] == "command"]
    settings, options = {}, {}
    for command, _usage, _summary in commands:
        for names, value, _completes, variable, text, more in lines(program, command):
            if variable:
                settings.setdefault(names, option(names, value, variable, text, more))
            else:
                options.setdefault((names, value, text), []).append(command)
    for _, variable, text in (row for row in rows if row[0] == "variable"):
        settings[variable] = entry(f".B {variable}=1", sentence(text))
    parts = {
        "SYNOPSIS": "\n.br\n".join(f".B unfreed {name}\n{roff(usage)}" for name, usage, _summary in commands),
        "SETTINGS": "\n".join(settings.values()),
        "OPTIONS": "\n".join(option(names, value, "", text, "", of if len(of) < len(commands) else ())
                             for (names, value, text), of in options.items()),
        "STATUSES": "\n".join(entry(f".B {number}", sentence(meaning))
                              for kind, number, meaning in (row for row in rows if row[0] == "status")),
        "SUBJECTS": " | ".join(row[1] for row in rows if row[0] == "subject"),
        "FIELDS": " | ".join(row[1] for row in rows if row[0] == "field"),
        "VERSION": version,
    }
    with open(template) as file:
        text = file.read()
    for name, value in parts.items():
        text = text.replace(f"@{name}@", value)
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
