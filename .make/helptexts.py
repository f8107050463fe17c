"""The program's commands, as their own help texts show them: man pages and completions are made of
these, so each fact stays in one place."""

import collections
import re
import subprocess
import sys

OPTION = re.compile(r"(?:-(\w), )?(?:--([\w-]+))(?: (\S+))?$")


class Option:
    """--name VALUE: choices if the value is one of some words."""

    def __init__(self, letter, name, value, text, usage):
        self.letter, self.name, self.value, self.text = letter, name, value, text
        choices = re.search(rf"--{name} ([a-z]+(?:\|[a-z]+)*)\b", usage)
        self.choices = choices[1].split("|") if value and choices else []


class Command:
    """words: ("ca", "init"); usage: its lines; parts: paragraphs (text), lists of (term, text)."""

    def __init__(self, program, *words):
        self.words, self.subcommands = words, []
        text = subprocess.run([program, *words, "--help"], check=True, capture_output=True,
                              text=True).stdout
        lines = text.rstrip("\n").split("\n")
        start = next((i for i, line in enumerate(lines) if line.startswith("Usage: ")), None)
        if start is None:
            sys.exit(f"{program} {' '.join(words)} --help names no usage")
        end = lines.index("", start)
        self.usage = [re.sub("^Usage: ", "", line.strip()) for line in lines[start:end]]
        self.parts = list(parts_of(lines[:start] + lines[end:]))
        usage = " ".join(self.usage)
        self.options = [Option(*found.groups(), text, usage)
                        for part in self.parts if isinstance(part, list)
                        for term, text in part if (found := OPTION.match(term))]
        operands = re.sub(r"\[-[^]]*\]", "", usage)
        self.takes_files = bool(re.search(r"\bFILE\b", operands))
        self.runs_command = "-- COMMAND" in operands
        # What the first sentence begins with.
        first = next(part for part in self.parts if isinstance(part, str))
        self.summary = re.match(r"[^.:;?]*\??", first)[0]


def parts_of(lines):
    """Paragraphs, and lists of (term, text): what is indented. A paragraph of its own begins with
    "Exit status:"."""
    block = []
    for line in [*lines, ""]:
        indented = line.startswith("  ")
        if block and (not line or indented != block[0].startswith("  ")
                      or line.startswith("Exit status:")):
            yield list_of(block) if block[0].startswith("  ") else " ".join(block)
            block = []
        if line:
            block.append(line)


def list_of(block):
    """The column where the texts begin is that of most lines."""
    columns = collections.Counter(found.end() for line in block
                                  if (found := re.match(r"  +\S+(?: \S+)*  +(?=\S)", line)))
    column = columns.most_common(1)[0][0]
    rows = []
    for line in block:
        term, text = line[:column].strip(), line[column:]
        if term:
            rows.append((term, text))
        else:
            rows[-1] = rows[-1][0], f"{rows[-1][1]} {text}"
    return rows


def read(program):
    """The program itself, with its commands as .subcommands, and these with theirs. The program's
    own list has shorter summaries for most."""
    top = Command(program)
    listed = {}
    for part in top.parts:
        for term, text in part if isinstance(part, list) else []:
            if words := tuple(re.match("((?:[a-z]+ ?)*)", term)[0].split()):
                listed[words] = text
    for name in dict.fromkeys(words[0] for words in listed):
        command = Command(program, name)
        top.subcommands.append(command)
        if (name,) not in listed:
            command.subcommands = [Command(program, name, word) for line in command.usage
                                   for word in re.findall("[a-z]+", re.match(
                                       rf"suitegate {name}([a-z| ]*)", line)[1])]
        for one in (command, *command.subcommands):
            one.summary = listed.get(one.words, one.summary)
    return top
