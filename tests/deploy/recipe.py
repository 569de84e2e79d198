"""Reads a Dockerfile and a .dockerignore, as far as this project uses them; anything else is an error."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

KNOWN = {
    *("ARG", "FROM", "COPY", "RUN", "ENV", "LABEL", "WORKDIR", "USER", "VOLUME", "EXPOSE"),
    *("HEALTHCHECK", "CMD"),
}


@dataclass
class Stage:
    """One ``FROM`` and what follows it."""

    base: str
    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, word):
        """What the last instruction of a kind says."""
        return [text for kind, text in self.steps if kind == word][-1]

    def command(self):
        """The words of CMD."""
        return json.loads(self.last("CMD"))

    def healthcheck(self):
        """The words of the HEALTHCHECK."""
        return json.loads(self.last("HEALTHCHECK").partition("CMD ")[2])

    def environ(self):
        """All that ENV sets."""
        pairs = [each for kind, text in self.steps if kind == "ENV" for each in text.split()]
        return dict(each.split("=", 1) for each in pairs)


def stages(text):
    """The stages of a Dockerfile."""
    joined = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ")
    given, found = {}, []
    for line in filter(None, (each.strip() for each in joined.splitlines())):
        word, _, rest = line.partition(" ")
        rest = re.sub(r"\s+", " ", rest.strip())
        if word not in KNOWN:
            msg = f"tests/deploy/recipe.py does not know the instruction {word}"
            raise ValueError(msg)
        if word == "ARG":
            name, _, value = rest.partition("=")
            given[name] = value
        elif word == "FROM":
            base, _, name = re.sub(r"\$\{(\w+)\}", lambda match: given[match[1]], rest).partition(" AS ")
            found.append(Stage(base, name))
        else:
            found[-1].steps.append((word, rest))
    return found


def context(root, ignore):
    """The files of the build context, relative to ``root``: the last matching line of a .dockerignore decides."""
    lines = [line.strip() for line in ignore.splitlines() if line.strip() and not line.startswith("#")]
    rules = [(not line.startswith("!"), _pattern(line.removeprefix("!"))) for line in lines]
    yield from sorted(_walk(root, rules, Path()))


def _walk(root, rules, folder):
    for path in (root / folder).iterdir():
        inside = folder / path.name
        if path.is_dir() and not path.is_symlink():
            # A folder that is left out is looked into only where a later line may bring something back.
            if not _left_out(inside, rules) or any(not out for out, _ in rules):
                yield from _walk(root, rules, inside) if inside.parts[0] not in {".git", ".venv"} else ()
        elif not _left_out(inside, rules):
            yield inside


def _left_out(path, rules):
    names = [str(path), *map(str, path.parents)]
    out = False
    for leaves_out, pattern in rules:
        if any(pattern.fullmatch(name) for name in names):
            out = leaves_out
    return out


def _pattern(text):
    pieces = re.split(r"(\*\*/|\*|\?)", text)
    known = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(known.get(piece, re.escape(piece)) for piece in pieces))
