"""What every rule of this folder shares: where the tree is, which files it has, and how a rule is run.

A rule is a function from a Tree to a list of violations, one line each. `x.py` prints them and exits 1 if there are any;
`x.py --selftest` builds a small tree that breaks the rule in every way and demands that each one is named (and that a tree
which keeps the rule passes), so that no rule can rot into one that always passes.
"""
import os
import re
import subprocess
import sys
import tempfile

SKIP = 77  # what meson takes as "skipped"
SOURCE_FOLDERS = ('core', 'server', 'web', 'tests', 'tools', 'schema')
NOT_OURS = re.compile(r'(^|/)(build[^/]*|node_modules|dist|__pycache__|\.git)(/|$)')


class Tree:
    def __init__(self, root):
        self.root = os.path.abspath(root)

    def path(self, name):
        return os.path.join(self.root, name)

    def text(self, name):
        with open(self.path(name), encoding='utf-8', errors='replace') as file:
            return file.read()

    def files(self, *suffixes, under=SOURCE_FOLDERS):
        """Names below the given folders, with '/' and from the root, sorted."""
        found = []
        for top in under:
            for folder, folders, names in os.walk(self.path(top)):
                here = os.path.relpath(folder, self.root)
                folders[:] = [f for f in folders if not NOT_OURS.search(f'{here}/{f}')]
                found += [os.path.normpath(f'{here}/{n}') for n in names if not suffixes or n.endswith(suffixes)]
        return sorted(found)

    def tracked(self):
        """What git tracks, or would after `git add .`; without git, everything that is not a build product."""
        listed = subprocess.run(['git', '-C', self.root, 'ls-files', '-z', '-co', '--exclude-standard'],
                                capture_output=True, text=True)
        if listed.returncode == 0:
            return sorted(n for n in set(listed.stdout.split('\0')) if n and os.path.isfile(self.path(n)))
        return self.files(under=('.',))


def without_comments(text):
    """C with comments and the insides of literals blanked out; line numbers stay."""
    def blank(match):
        kept = '\n' * match.group().count('\n')
        return '""' + kept if match.group()[0] == '"' else kept + ' '
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', blank, text, flags=re.S)


def selftest(rule, bad, good):
    """bad: [(name, content, word that the violation must contain)]; good: [(name, content)]."""
    failures = []
    for name, content, word in bad:
        found = run_on(rule, [(name, content)])
        if not any(word in line for line in found):
            failures.append(f'not caught: {name}: {content!r} (found: {found})')
    found = run_on(rule, good)
    if found:
        failures.append(f'wrongly caught: {found}')
    return failures


def run_on(rule, files):
    with tempfile.TemporaryDirectory() as folder:
        for name, content in files:
            path = os.path.join(folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as file:
                file.write(content)
        return rule(Tree(folder))


def main(rule, bad, good, root=None):
    if sys.argv[1:] == ['--selftest']:
        violations = selftest(rule, bad, good)
        passed = f'selftest: {len(bad)} violations caught'
    else:
        violations = rule(Tree(root or os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')))
        passed = 'no violations'
    print('\n'.join(violations) if violations else passed)
    sys.exit(1 if violations else 0)
