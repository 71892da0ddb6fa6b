#!/usr/bin/env python3
"""Functions that overrun buffers, hide failures or end the process, and words that mark something unfinished."""
import re

import rule

# name -> (why, files that may). Matched as calls, in C without comments and strings.
EVERYWHERE = ('core', 'server', 'tests', 'tools')
PRODUCT = ('core', 'server')
CALLS = [
    (r'strcpy|stpcpy|strcat|sprintf|vsprintf|gets', 'overruns: use snprintf', EVERYWHERE),
    (r'strncpy|strncat', 'truncates silently: use snprintf', PRODUCT),
    (r'strtok|rand|srand|random|drand48|localtime|gmtime|asctime|ctime', 'has hidden static state', PRODUCT),
    (r'atoi|atol|atoll|atof', 'cannot say that it failed: use strtol and friends', EVERYWHERE),
    (r'alloca', 'unbounded stack', EVERYWHERE),
    (r'system|popen', 'runs a shell', PRODUCT),
    (r'exit|_exit|_Exit|quick_exit|abort', 'ends the daemon: return a Status', PRODUCT),
]
ALLOWED = {('server/main.c', 'exit'), ('server/main.c', '_exit')}
MARKERS = re.compile(r'\b(' + '|'.join(('TO' 'DO', 'FIX' 'ME', 'XX' 'X', 'HA' 'CK')) + r')\b')
MARKED = ('.c', '.h', '.ts', '.tsx', '.py', '.sh', '.css', '.sql', '.json', '.html', 'meson.build')


def banned(tree):
    violations = []
    for calls, why, folders in CALLS:
        pattern = re.compile(rf'(?<![\w.>])({calls})\s*\(')
        for name in tree.files('.c', '.h', under=folders):
            for number, line in enumerate(rule.without_comments(tree.text(name)).splitlines(), 1):
                violations += [f'{name}:{number}: {m.group(1)}() {why}' for m in pattern.finditer(line)
                               if (name, m.group(1)) not in ALLOWED]
    for name in tree.files(*MARKED):
        for number, line in enumerate(tree.text(name).splitlines(), 1):
            if MARKERS.search(line) and not name.endswith('package-lock.json'):
                violations.append(f'{name}:{number}: unfinished: {line.strip()}')
    return violations


BAD = [(f'core/base/x.c', f'void f(void)\n{{\n    {call};\n}}\n', f'{call.split("(")[0].strip()}()') for call in (
    'strcpy(a, b)', 'strcat (a, b)', 'sprintf(a, "x")', 'vsprintf(a, b, c)', 'strtok(a, b)', 'gets(a)', 'strncpy(a, b, 1)',
    'atoi(a)', 'atol(a)', 'atof(a)', 'system("ls")', 'popen("ls", "r")', 'alloca(4)', 'rand()', 'srand(1)', 'exit(1)', 'abort()',
    '_exit(1)', 'localtime(&t)')] + [
    ('tests/unit/x.c', 'int n = atoi(a);\n', 'atoi()'),
    ('server/api/x.c', '/* TO' 'DO: later */\n', 'unfinished'),
    ('tests/e2e/x.py', '# FIX' 'ME\n', 'unfinished'),
    ('web/src/x.ts', '// XX' 'X\n', 'unfinished'),
]
GOOD = [
    ('server/main.c', 'int main(void)\n{\n    exit(1);\n}\n'),
    ('core/base/x.c', '/* strcpy(a, b) is banned */\nconst char *s = "exit(1) TO-DO";\nq->exit(1);\nmy_exit(1);\nsnprintf(a, 1, "x");\n'),
    ('tests/unit/x.c', 'abort();\n'),
]

if __name__ == '__main__':
    rule.main(banned, BAD, GOOD)
