#!/usr/bin/env python3
"""The method's public code is known for fourteen faults: each has a test that is named after it and shows that it is not ours.

`fault_N_...` is a C function that a cmocka row names, or `test_fault_N_...` a method of a Python test.
"""
import re

import rule

FAULTS = range(1, 15)
C_TEST = re.compile(r'^static void fault_(\d+)_(\w+)\(void \*\*state\)', re.M)
PYTHON_TEST = re.compile(r'^    def test_fault_(\d+)_\w+\(self', re.M)


def faults(tree):
    found = set()
    for name in tree.files('.c', under=('tests',)):
        text = rule.without_comments(tree.text(name))
        for number, words in C_TEST.findall(text):
            if re.search(rf'\(fault_{number}_{words}\)', text):  # its row
                found.add(int(number))
    for name in tree.files('.py', under=('tests',)):
        found.update(int(number) for number in PYTHON_TEST.findall(tree.text(name)))
    return [f'fault {number} has no test: tests/ knows no fault_{number}_...' for number in FAULTS if number not in found]


def c_tests(numbers, row='    cmocka_unit_test({}),\n'):
    names = [f'fault_{number}_is_not_ours' for number in numbers]
    return ''.join(f'static void {name}(void **state)\n{{\n}}\n' for name in names) + ''.join(row.format(name) for name in names)


BAD = [
    ('tests/unit/test_x.c', c_tests(range(2, 15)), 'fault 1 has'),
    ('tests/unit/test_x.c', c_tests(range(1, 14)), 'fault 14 has'),
    ('tests/unit/test_x.c', c_tests(FAULTS, row='/* {} */\n'), 'fault 7 has'),
    ('tests/e2e/test_x.py', '    def test_other(self):\n', 'fault 13 has'),
]
GOOD = [('tests/unit/test_x.c', c_tests(range(1, 13)) + c_tests([14], row='    RIG_TEST({}),\n')),
        ('tests/e2e/test_x.py', '    def test_fault_13_no_terminal(self):\n')]

if __name__ == '__main__':
    rule.main(faults, BAD, GOOD)
