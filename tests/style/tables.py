#!/usr/bin/env python3
"""The lists in meson.build and the files on disk agree: a file nobody builds is a row somebody forgot.

`tables.py BUILD_DIR` reads meson's own record of every target's sources (BUILD_DIR/meson-info/intro-targets.json), so a name that a
`foreach` puts together counts too. The other direction needs no rule: meson refuses a list that names an absent file.
A test script that its folder's meson.build does not run is found the same way.
"""
import json
import os
import sys

import rule

COMPILED = ('core', 'server', 'tests', 'tools')


def built_sources(build_dir):
    with open(os.path.join(build_dir, 'meson-info', 'intro-targets.json'), encoding='utf-8') as file:
        targets = json.load(file)
    return {os.path.realpath(source) for target in targets for group in target['target_sources']
            for source in group.get('sources', [])}


def tables(tree, build_dir=None):
    built = built_sources(build_dir or tree.path('build'))
    violations = [f'{name}: no target builds it; its folder\'s meson.build misses a row'
                  for name in tree.files('.c', under=COMPILED) if os.path.realpath(tree.path(name)) not in built]
    for name in tree.files('.sql', under=('schema',)):
        text = tree.text('schema/meson.build') if os.path.exists(tree.path('schema/meson.build')) else ''
        if os.path.basename(name)[:-4] not in text:
            violations.append(f'{name}: schema/meson.build does not embed it')
    for name in tree.files('.py', under=('tests',)):
        stem, text = os.path.basename(name)[:-3], os.path.join(os.path.dirname(name), 'meson.build')
        if stem.startswith('test_') and (not os.path.exists(tree.path(text)) or stem[5:] not in tree.text(text)):
            violations.append(f'{name}: {text} does not run it')
    numbers = sorted(os.path.basename(n)[:4] for n in tree.files('.sql', under=('schema/migrations',)))
    if numbers != [f'{i:04}' for i in range(1, len(numbers) + 1)]:
        violations.append(f'schema/migrations: numbers are not 0001, 0002, ...: {" ".join(numbers)}')
    return violations


def in_fixture(tree):
    """The rule on a self-test's tree: its build directory is made up of the file `built`, a list of names."""
    os.makedirs(tree.path('build/meson-info'), exist_ok=True)
    listed = tree.text('tests/built').split() if os.path.exists(tree.path('tests/built')) else []
    with open(tree.path('build/meson-info/intro-targets.json'), 'w', encoding='utf-8') as file:
        json.dump([{'target_sources': [{'sources': [tree.path(n) for n in listed]}]}], file)
    return tables(tree)


BAD = [
    ('core/ops/op_x.c', '\n', 'core/ops/op_x.c: no target builds it'),
    ('tests/unit/test_x.c', '\n', 'tests/unit/test_x.c: no target'),
    ('tests/e2e/test_x.py', '\n', 'tests/e2e/meson.build does not run it'),
    ('schema/migrations/0001_jobs.sql', '\n', 'does not embed it'),
    ('schema/migrations/0002_jobs.sql', '\n', 'numbers are not'),
]
GOOD = [('core/ops/op_x.c', '\n'), ('tests/built', 'core/ops/op_x.c\n'), ('schema/migrations/0001_jobs.sql', '\n'),
        ('schema/meson.build', "files('migrations/0001_jobs.sql')\n")]

if __name__ == '__main__':
    if len(sys.argv) != 2:
        sys.exit('usage: tables.py BUILD_DIR | --selftest')
    rule.main(in_fixture if sys.argv[1] == '--selftest' else lambda tree: tables(tree, sys.argv[1]), BAD, GOOD)
