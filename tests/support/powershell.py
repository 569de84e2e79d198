"""Enough of PowerShell to carry out the snippet of the console where ``pwsh`` is not to be had.

A grammar of the language reads the text; what it cannot read, and what nobody taught this file to do, is an
error. So a snippet that comes through is one of PowerShell, and means what it is meant to mean.

    python -m tests.support.powershell FILE
"""

import importlib
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import requests

PACKAGES = ("tree_sitter", "tree_sitter_powershell")
# Windows PowerShell and PowerShell 7 end a string in quotes at each of these, and take two of them for one.
QUOTES = "'\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
QUOTES += "\N{SINGLE LOW-9 QUOTATION MARK}\N{SINGLE HIGH-REVERSED-9 QUOTATION MARK}"


def missing():
    """What this environment lacks to read PowerShell and what mends it, or nothing."""
    lacking = [name for name in PACKAGES if find_spec(name) is None]
    return f"{' and '.join(lacking)} not installed; run `make test`" if lacking else ""


class Session:
    """Variables, and what was put out."""

    def __init__(self):
        self.variables, self.output = {}, []

    def run(self, text):
        """Carry out a script; each line that it puts out."""
        watchdog, grammar = map(importlib.import_module, PACKAGES)
        root = watchdog.Parser(watchdog.Language(grammar.language())).parse(text.encode()).root_node
        if root.has_error:
            msg = f"this is no PowerShell: {text}"
            raise SyntaxError(msg)
        (statements,) = root.named_children
        for statement in statements.named_children:
            found = self.value(statement)
            if found is not None:
                self.output.append(found)
        return self.output

    def value(self, node):
        """What a part of the script stands for; an assignment puts nothing out."""
        known = getattr(self, f"_{node.type}", None)
        if known is not None:
            return known(node)
        if node.text and len(node.named_children) == 1 and node.named_children[0].text == node.text:
            return self.value(node.named_children[0])
        msg = f"nobody taught this to carry out {node.type}: {node.text.decode()}"
        raise NotImplementedError(msg)

    def _assignment_expression(self, node):
        left, operator, right = node.children
        assert operator.text == b"="
        self.variables[left.text.decode().casefold()] = self.value(right)

    def _variable(self, node):
        return self.variables[node.text.decode().casefold()]

    def _verbatim_string_characters(self, node):
        inner = node.text.decode()[1:-1]
        if re.sub(f"[{QUOTES}]{{2}}", "", inner) != re.sub(f"[{QUOTES}]", "", inner):
            msg = f"the string ends before it ends: {inner}"
            raise SyntaxError(msg)
        return re.sub(f"[{QUOTES}]([{QUOTES}])", r"\1", inner)

    def _hash_literal_expression(self, node):
        (body,) = node.named_children
        assert {entry.type for entry in body.named_children} == {"hash_entry"}
        return {entry.children[0].text.decode(): self.value(entry.children[-1]) for entry in body.named_children}

    def _member_access(self, node):
        whole, _dot, name = node.children
        return self.value(whole)[name.text.decode()]

    def _command(self, node):
        name, elements = node.named_children
        assert name.text == b"Invoke-RestMethod"
        words = [each for each in elements.named_children if each.type != "command_argument_sep"]
        names = [each.text.decode() for each in words[::2]]
        assert {each.type for each in words[::2]} == {"command_parameter"}
        given = dict(zip(names, map(self.value, words[1::2]), strict=True))
        assert set(given) == {"-Method", "-Uri", "-Body"}
        answer = requests.request(given["-Method"].upper(), given["-Uri"], data=given["-Body"], timeout=10)
        answer.raise_for_status()
        return answer.json()

    def _generic_token(self, node):
        return node.text.decode()


if __name__ == "__main__":
    for line in Session().run(Path(sys.argv[1]).read_text(encoding="utf-8")):
        sys.stdout.write(f"{line}\n")
