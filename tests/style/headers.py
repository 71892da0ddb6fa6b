#!/usr/bin/env python3
"""Every header compiles alone, and twice in a row: whoever includes it needs to know nothing else."""
import os
import re
import shlex
import subprocess

import rule

PACKAGES = ('libmicrohttpd', 'jansson', 'sqlite3', 'openblas', 'libpng', 'libjpeg', 'libarchive', 'libcurl', 'gnutls', 'cmocka')
COMPILER = shlex.split(os.environ.get('CC', 'cc'))


def include_flags():
    flags = []
    for package in PACKAGES:
        answer = subprocess.run(['pkg-config', '--cflags', package], capture_output=True, text=True)
        flags += shlex.split(answer.stdout) if answer.returncode == 0 else []
    return flags


def headers(tree):
    command = COMPILER + ['-x', 'c', '-std=gnu11', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror', '-fsyntax-only',
                          '-I', tree.root] + include_flags() + ['-']
    violations = []
    for name in tree.files('.h', under=('core', 'server', 'tests')):
        source = f'#include "{name}"\n#include "{name}"\n'
        answer = subprocess.run(command, input=source, capture_output=True, text=True)
        if answer.returncode != 0:
            reason = re.search(r'error: (.*)', answer.stderr)
            violations.append(f'{name} does not compile alone: {reason.group(1) if reason else answer.stderr.strip()}')
        if '#pragma once' not in tree.text(name):
            violations.append(f'{name}: no #pragma once')
    return violations


BAD = [
    ('core/base/x.h', '#pragma once\nsize_t f(void);\n', 'does not compile alone'),
    ('core/base/x.h', '#pragma once\n#include "core/base/absent.h"\n', 'does not compile alone'),
    ('core/base/x.h', 'int f(void);\n', 'no #pragma once'),
    ('server/api/x.h', 'struct x { int a; };\n', 'redefinition'),
]
GOOD = [('core/base/x.h', '#pragma once\n#include <stddef.h>\nstruct x { size_t a; };\n')]

if __name__ == '__main__':
    rule.main(headers, BAD, GOOD)
