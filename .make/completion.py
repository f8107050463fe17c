"""Writes the completions for bash, zsh and fish, from the program's help texts.
usage: completion.py PROGRAM FOLDER"""

import sys

import helptexts

program, folder = sys.argv[1:]
top = helptexts.read(program)
GROUPS = [c for c in top.subcommands if c.subcommands]
# Those that have options and operands.
COMMANDS = [inner for c in top.subcommands for inner in c.subcommands or [c]]


def names(command):
    return " ".join(c.words[-1] for c in command.subcommands)


def quoted(text):
    return "'" + text.replace("'", "'\\''") + "'"


def flags(option):
    return ([f"-{option.letter}"] if option.letter else []) + [f"--{option.name}"]


# ---- bash ----

# What to offer for a value, by its name in the help text.
BASH_VALUES = {"FILE": "-f", "DIR": "-d"}
BASH = r"""# bash completion for suitegate, made from its help texts
_suitegate()
{{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}}
    local command=${{COMP_WORDS[1]}} first=2 options='' i
    COMPREPLY=()
    case $COMP_CWORD:$command in
    1:*) mapfile -t COMPREPLY < <(compgen -W '{commands}' -- "$word"); return ;;
{groups}
    esac
    for ((i = first; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -- ]] || continue
        if [[ $command != exec ]]; then :
        elif declare -F _command_offset >/dev/null; then _command_offset $((i + 1))
        else mapfile -t COMPREPLY < <(compgen -c -- "$word")
        fi
        return
    done
    case "$command $before" in
{values}
    esac
    case $command in
{options}
    *) return ;;
    esac
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
        return
    fi
    case $command in
    {takes_files}) _suitegate_files -f ;;
    esac
}}
_suitegate_files()
{{
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen "$1" -- "$word")
}}
complete -F _suitegate suitegate
"""


def bash_values():
    for command in COMMANDS:
        for option in filter(lambda o: o.value, command.options):
            at = "|".join(f'"{" ".join(command.words)} {flag}"' for flag in flags(option))
            if option.choices:
                offer = (f"mapfile -t COMPREPLY < <(compgen -W '{' '.join(option.choices)}' "
                         '-- "$word"); ')
            elif option.value in BASH_VALUES:
                offer = f"_suitegate_files {BASH_VALUES[option.value]}; "
            else:
                offer = ""
            yield f"    {at}) {offer}return ;;"


def bash():
    groups = "\n".join(
        f"    2:{g.words[0]}) mapfile -t COMPREPLY < <(compgen -W '{names(g)}' -- \"$word\"); "
        f"return ;;\n    *:{g.words[0]}) command=\"$command ${{COMP_WORDS[2]}}\" first=3 ;;"
        for g in GROUPS)
    options = "\n".join(
        f"    {quoted(' '.join(c.words))}) options="
        f"{quoted(' '.join(flag for o in c.options for flag in flags(o)))} ;;" for c in COMMANDS)
    return BASH.format(
        commands=names(top) + " --version --help", groups=groups, options=options,
        values="\n".join(bash_values()),
        takes_files=" | ".join(quoted(" ".join(c.words)) for c in COMMANDS if c.takes_files))


# ---- zsh ----

ZSH_VALUES = {"FILE": "_files", "DIR": "_files -/"}
ZSH = r"""#compdef suitegate
# zsh completion for suitegate, made from its help texts
_suitegate() {{
    local -a choices
    if (( CURRENT == 2 )); then
        choices=({commands})
        _describe command choices
        return
    fi
    local command=$words[2]
    case $command in
{groups}
    esac
    shift words
    (( CURRENT-- ))
    case $command in
{arguments}
    esac
}}
_suitegate "$@"
"""


def zsh_described(commands):
    return " ".join(quoted(f"{c.words[-1]}:{c.summary}") for c in commands)


def zsh_option(option):
    text = option.text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    value = ""
    if option.value:
        what = f"({' '.join(option.choices)})" if option.choices else \
            ZSH_VALUES.get(option.value, " ")
        value = f":{option.value}:{what}"
    for flag in flags(option):
        yield quoted(f"*{flag}[{text.replace(':', chr(92) + ':')}]{value}")


def zsh():
    groups = "\n".join(
        f"    {g.words[0]})\n        if (( CURRENT == 3 )); then\n"
        f"            choices=({zsh_described(g.subcommands)})\n"
        "            _describe command choices\n            return\n        fi\n"
        "        command+=\" $words[3]\"\n        shift words\n        (( CURRENT-- ))\n        ;;"
        for g in GROUPS)
    arguments = []
    for c in COMMANDS:
        rows = [row for option in c.options for row in zsh_option(option)]
        if c.takes_files:
            rows.append("'*:file:_files'")
        if c.runs_command:
            rows += ["'(-)1:command: _command_names -e'", "'*::argument: _normal'"]
        arguments.append(f"    {quoted(' '.join(c.words))})\n        _arguments \\\n            "
                         + " \\\n            ".join(rows) + "\n        ;;")
    return ZSH.format(commands=zsh_described(top.subcommands), groups=groups,
                      arguments="\n".join(arguments))


# ---- fish ----

FISH_VALUES = {"FILE": " -r -F", "DIR": " -x -a '(__fish_complete_directories)'"}
FISH = """# fish completion for suitegate, made from its help texts
function __suitegate_at --description 'the words after suitegate begin with these'
    set -l words (commandline -opc)
    set -l last (math 1 + (count $argv))
    test "$words[2..$last]" = "$argv"
end
function __suitegate_before --description 'the words after suitegate are these'
    set -l words (commandline -opc)
    test "$words[2..]" = "$argv"
end
complete -c suitegate -f
complete -c suitegate -n __suitegate_before -l version
complete -c suitegate -n __suitegate_before -l help
"""


def fish_rows():
    for of in (top, *GROUPS):
        for c in of.subcommands:
            before = " ".join(("__suitegate_before", *of.words))
            yield f"complete -c suitegate -n '{before}' -a {c.words[-1]} -d {quoted(c.summary)}"
    for c in COMMANDS:
        at = f"complete -c suitegate -n '__suitegate_at {' '.join(c.words)}'"
        for o in c.options:
            value = ""
            if o.value:
                value = f" -x -a '{' '.join(o.choices)}'" if o.choices else \
                    FISH_VALUES.get(o.value, " -x")
            letter = f" -s {o.letter}" if o.letter else ""
            yield f"{at}{letter} -l {o.name}{value} -d {quoted(o.text)}"
        if c.takes_files:
            yield f"{at} -F"
        if c.runs_command:
            yield f"{at} -x -a '(__fish_complete_subcommand)'"


for name, text in (("suitegate.bash", bash()), ("_suitegate", zsh()),
                   ("suitegate.fish", FISH + "\n".join(fish_rows()) + "\n")):
    with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
        file.write(text)
