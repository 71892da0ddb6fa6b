#!/usr/bin/env python3
"""clang-tidy finds no fault in core/ and server/: `analysis.py BUILD_DIR [FILE...]`, with the flags of BUILD_DIR/compile_commands.json.

The checks are those of .clang-tidy. Skipped, and said aloud, where clang-tidy is not installed. `--selftest` demands that a leak, a use of freed
memory and a null dereference are found.
"""
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

import rule

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
ASSUME = '--extra-arg-before=-include' + os.path.join(ROOT, 'tests/style/failure.h')
EXTRA = ['--quiet', f'--config-file={ROOT}/.clang-tidy', f'--header-filter={ROOT}/(core|server)/.*',
         '--extra-arg=-Wno-everything', '--extra-arg=-Qunused-arguments', f'--extra-arg-before=-I{ROOT}']


def findings(build_dir, name):
    assume = [] if name.endswith('core/base/error.c') else [ASSUME]  # which defines what the header wraps
    answer = subprocess.run(['clang-tidy', '-p', build_dir, *EXTRA, *assume, name], capture_output=True, text=True)
    found = [line for line in answer.stdout.splitlines() if re.search(r'(warning|error): ', line)]
    if answer.returncode != 0 and not found:
        found = [f'{name}: clang-tidy failed: {answer.stderr.strip()[-500:]}']
    return [line.replace('../', '').replace(ROOT + '/', '') for line in found]


def sources(build_dir):
    with open(os.path.join(build_dir, 'compile_commands.json'), encoding='utf-8') as file:
        names = {os.path.normpath(os.path.join(entry['directory'], entry['file'])) for entry in json.load(file)}
    return sorted(name for name in names if name.startswith((f'{ROOT}/core/', f'{ROOT}/server/')))


def analyse(build_dir, names):
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        lists = pool.map(lambda name: findings(build_dir, name), names)
        return sorted({line for found in lists for line in found})


FAULTS = [
    ('#include <stdlib.h>\nint f(void)\n{\n    int *p = malloc(4);\n\n    return p == NULL;\n}\n', 'unix.Malloc'),
    ('#include <stdlib.h>\nint f(int *p)\n{\n    free(p);\n    return *p;\n}\n', 'unix.Malloc'),
    ('int f(int *p)\n{\n    if (p == 0)\n        return *p;\n    return 0;\n}\n', 'core.NullDereference'),
]


def selftest():
    with tempfile.TemporaryDirectory() as folder:
        for i, (text, check) in enumerate(FAULTS):
            name = os.path.join(folder, f'{i}.c')
            with open(name, 'w', encoding='utf-8') as file:
                file.write(text)
            with open(os.path.join(folder, 'compile_commands.json'), 'w', encoding='utf-8') as file:
                json.dump([{'directory': folder, 'file': name, 'command': f'cc -std=gnu11 -D_GNU_SOURCE -c {name}'}], file)
            found = findings(folder, name)
            if not any(check in line for line in found):
                yield f'not caught: {check} in {text!r} (found: {found})'


if __name__ == '__main__':
    if shutil.which('clang-tidy') is None:
        print('skipped: clang-tidy is not installed (./check installs it)')
        sys.exit(rule.SKIP)
    if len(sys.argv) < 2:
        sys.exit('usage: analysis.py BUILD_DIR [FILE...] | --selftest')
    if sys.argv[1] == '--selftest':
        violations = list(selftest())
    else:
        violations = analyse(sys.argv[1], [os.path.abspath(n) for n in sys.argv[2:]] or sources(sys.argv[1]))
    print('\n'.join(violations) if violations else 'no findings')
    sys.exit(1 if violations else 0)
