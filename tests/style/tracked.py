#!/usr/bin/env python3
"""What may be in the repository: no large files, no addresses in lock files, no broken links between pages of docs."""
import os
import re

import rule

BYTES_MAX = 200 * 1000
LINES_SMELL = 400  # a smell, printed and not failing


def tracked(tree):
    violations = []
    names = tree.tracked()
    for name in names:
        size = os.path.getsize(tree.path(name))
        if size > BYTES_MAX:
            violations.append(f'{name}: {size} bytes, over {BYTES_MAX}')
        if os.path.basename(name) == 'package-lock.json' and re.search(r'"resolved":\s*"\w+://', tree.text(name)):
            violations.append(f'{name}: names download addresses; write it with `npm install --omit-lockfile-registry-resolved`')
        if name.endswith('.md'):
            violations += broken_links(tree, name)
    return violations


def broken_links(tree, name):
    prose = re.sub(r'```.*?```|`[^`\n]*`', '', tree.text(name), flags=re.S)
    for target in re.findall(r'\]\(([^)#\s]+)', prose):
        if not re.match(r'\w+:', target) and not os.path.exists(tree.path(os.path.join(os.path.dirname(name), target))):
            yield f'{name}: link to {target}, which is not there'


def smells(tree):
    for name in tree.files('.c', '.h', '.ts', '.tsx', '.py'):
        lines = tree.text(name).count('\n')
        if lines > LINES_SMELL:
            yield f'smell: {name} has {lines} lines; is it still one concept?'


BAD = [
    ('docs/large.bin', 'x' * (BYTES_MAX + 1), 'docs/large.bin: 200001 bytes'),
    ('web/package-lock.json', '{"resolved": "https://example.org/x.tgz"}', 'names download addresses'),
    ('docs/x.md', 'see [there](absent.md)', 'link to absent.md'),
]
GOOD = [('docs/a.md', '[b](b.md#x) [web](https://example.org) `[code](absent)`'), ('docs/b.md', 'b'),
        ('web/package-lock.json', '{"integrity": "sha512-x"}')]

if __name__ == '__main__':
    for smell in smells(rule.Tree(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))):
        print(smell)
    rule.main(tracked, BAD, GOOD)
