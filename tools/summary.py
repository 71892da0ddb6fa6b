#!/usr/bin/env python3
"""summary.py BUILD_DIR... -- adds up meson's test logs. Names what failed and, one by one, what was skipped and why; the last line is
`N passed, N failed, N skipped`. A test that speaks TAP counts once for each of its points. Exits 1 if anything failed or a
directory has no log (nothing ran there)."""
import json
import os
import re
import sys

POINT = re.compile(r'^(ok|not ok)\b\s*\d*\s*-?\s*(.*?)(?:\s*#\s*(skip\S*)\s*(.*))?$', re.I)


def points(test):
    """(verdict, name, note) of each point of a test; a test that does not speak TAP, or died in the middle, is one point more."""
    name, result = test['name'], test['result']
    found = []
    for line in test.get('stdout', '').splitlines():
        match = POINT.match(line)
        if match:
            verdict = 'skipped' if match.group(3) else 'passed' if match.group(1) == 'ok' else 'failed'
            found.append((verdict, f'{name}: {match.group(2)}', match.group(4) or ''))
    verdicts = [verdict for verdict, _, _ in found]
    if result in ('FAIL', 'TIMEOUT', 'ERROR', 'INTERRUPT', 'UNEXPECTEDPASS') and 'failed' not in verdicts:
        found.append(('failed', name, result.lower()))
    elif result == 'SKIP' and 'skipped' not in verdicts:
        found.append(('skipped', name, test.get('stdout', '').strip()))
    elif not found:
        found.append(('passed', name, ''))
    return found


def main(build_dirs):
    count = {'passed': 0, 'failed': 0, 'skipped': 0}
    for build_dir in build_dirs:
        log = os.path.join(build_dir, 'meson-logs', 'testlog.json')
        if not os.path.exists(log):
            print(f'FAILED {build_dir}: no test ran')
            count['failed'] += 1
            continue
        with open(log, encoding='utf-8') as file:
            for line in file:
                for verdict, name, note in points(json.loads(line)):
                    count[verdict] += 1
                    if verdict != 'passed':
                        print(f'{verdict.upper()} {build_dir} {name}{": " if note else ""}{note}')
    print('{passed} passed, {failed} failed, {skipped} skipped'.format(**count))
    return 1 if count['failed'] else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
