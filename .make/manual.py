"""Writes the man pages suitegate(1), from the program's help texts, and suitegate.ini(5), from the
tables of the configuration and the beginning of the sample file.
usage: manual.py PROGRAM DOCS_PROGRAM SAMPLE DATE FOLDER"""

import re
import subprocess
import sys
import textwrap

import helptexts

program, docs, sample, date, folder = sys.argv[1:]
version = subprocess.run([program, "--version"], check=True, capture_output=True,
                         text=True).stdout.split()[1]


def words(text):
    """text so that it stands in a page as it is."""
    text = text.replace("\\", "\\e").replace("`", "\\(ga").replace("~", "\\(ti")
    text = text.replace("^", "\\(ha").replace('"', "\\(dq")
    text = re.sub(r"(?<![\w-])--?(?=\w)", lambda m: "\\-" * len(m[0]), text)
    return re.sub(r"^([.'])", r"\\&\1", text)


def roff(text):
    """The same in short lines."""
    return "\n".join(map(words, textwrap.wrap(text, 72, break_long_words=False,
                                              break_on_hyphens=False)))


def bold(text):
    return f".B {words(text)}"


def listed(rows):
    for term, text in rows:
        yield from (".TP", bold(term), roff(text))


def body(parts):
    """The parts of a help text."""
    for part in parts:
        if isinstance(part, list):
            yield from listed(part)
        else:
            yield from (".PP", roff(part))


def head(name, section, title, what):
    return [f'.TH {name.upper()} {section} {date} "suitegate {version}" "{title}"', ".SH NAME",
            f"{name} \\- {what}"]


def usage(lines):
    yield ".nf"
    for line in lines:
        yield bold(line)
    yield ".fi"


def commands(of):
    for command in of:
        if command.subcommands:
            yield from commands(command.subcommands)
            continue
        yield from (f".SS {words(' '.join(('suitegate', *command.words)))}", *usage(command.usage),
                    *body(command.parts))


def program_page():
    top = helptexts.read(program)
    what = top.parts[0].partition(". ")[0]
    yield from head("suitegate", 1, "User Commands", what.partition(": a ")[2])
    yield from (".SH SYNOPSIS", *usage(top.usage), ".SH DESCRIPTION", roff(top.parts[0]))
    yield from body(top.parts[1:])
    yield from (".SH COMMANDS", *commands(top.subcommands))
    yield from (".SH SEE ALSO", ".BR suitegate.ini (5)")


def configuration_page():
    yield from head("suitegate.ini", 5, "File Formats", "the configuration of suitegate")
    yield ".SH DESCRIPTION"
    with open(sample, encoding="utf-8") as file:
        first = file.read().partition("\n\n")[0]
    yield roff(" ".join(line.lstrip("; ") for line in first.splitlines()))
    rows = subprocess.run([docs, "keys"], check=True, capture_output=True, text=True).stdout
    section = None
    for row in rows.splitlines():
        of, key, default, name, repeats, text = row.split("\t")
        if of != section:
            section = of
            yield f".SH [{of}{name and ' ' + name}]"
        shown = words(f"{key} = {default}" if default else key).replace(" ", "\\ ")
        yield from (".TP", f".BR {shown}" + (' " (repeats)"' if repeats else ""), roff(text))
    yield from (".SH SEE ALSO", ".BR suitegate (1)")


for name, lines in (("suitegate.1", program_page()), ("suitegate.ini.5", configuration_page())):
    with open(f"{folder}/{name}", "w", encoding="utf-8") as page:
        page.write("\n".join(lines) + "\n")
