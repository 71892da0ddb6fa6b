#!/usr/bin/env python3
"""C is formatted as .clang-format says. Skipped, and said aloud, where clang-format is not installed."""
import os
import shutil
import subprocess
import sys

import rule

STYLE = rule.Tree(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')).path('.clang-format')


def formatted(tree):
    names = tree.files('.c', '.h', under=('core', 'server', 'tests', 'tools'))
    if not names:
        return []
    answer = subprocess.run(['clang-format', f'--style=file:{STYLE}', '--dry-run', '-Werror', *names], cwd=tree.root,
                            capture_output=True, text=True)
    bad = {line.split(':')[0]: line.split(':')[1] for line in reversed(answer.stderr.splitlines()) if ': error:' in line}
    if answer.returncode != 0 and not bad:
        return [answer.stderr.strip()]
    return [f'{name}:{line}: run clang-format -i {name}' for name, line in sorted(bad.items())]


BAD = [('core/base/x.c', 'int f(void)\n{\n  return 1;\n}\n', 'core/base/x.c:'), ('tests/unit/x.h', 'int   f(void);\n', 'tests/unit/x.h:1')]
GOOD = [('core/base/x.c', 'int f(void)\n{\n    return 1;\n}\n')]

if __name__ == '__main__':
    if shutil.which('clang-format') is None:
        print('skipped: clang-format is not installed (./check installs it)')
        sys.exit(rule.SKIP)
    rule.main(formatted, BAD, GOOD)
