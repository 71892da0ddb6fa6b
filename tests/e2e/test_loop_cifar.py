#!/usr/bin/env python3
"""The whole loop on real images by curl alone: docs/examples/lease-loop.sh in small forms (by itself it takes 5,000 images)."""
import glob
import os
import re
import subprocess
import unittest

import harness

SAMPLE = os.path.join(os.environ.get('LEASED_TEST_DATA', ''), 'cifar10-sample')
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'docs', 'examples', 'lease-loop.sh')
SMALL = dict(BATCH=16, CHANNELS=4, CELLS=3, RATE=0.1, SEARCH_EPOCHS=1, EVALARCH_EPOCHS=1, WIDTH=8, STEPS=1, ROUNDS=1, HEATMAPS=1)
LEARNS = dict(LEASES='staged,resnet joint,se', TRAIN_IMAGES=1280, VAL_IMAGES=256, TEST_IMAGES=16, EXPLAINER_EPOCHS=2, AUDIENCE_EPOCHS=2,
              ARCHITECTURE_EPOCHS=0.125, JOINT_EPOCHS=2.25, ALPHA_START_EPOCH=2)
RUNS = dict(LEASES='staged,shake joint,given', TRAIN_IMAGES=64, TEST_IMAGES=8, EXPLAINER_EPOCHS=1, AUDIENCE_EPOCHS=1, JOINT_EPOCHS=1)
ROW = re.compile(r'^(staged|joint) +(\w+) +([0-9.]+) -> ([0-9.]+) +([0-9.]+) -> ([0-9.]+)', re.M)
NOT_LEARNED = 3


@unittest.skipUnless(os.environ.get('LEASED_TEST_DATA') and os.path.isdir(SAMPLE), 'no LEASED_TEST_DATA/cifar10-sample')
class Loop(harness.Case):
    def loop(self, exits, **variables):
        """The script's table, {(schedule, audience): numbers}, and its lease jobs."""
        server = self.daemon('--dataset', 'cifar10=' + SAMPLE, '--workers', '1')
        environment = {**harness.ENVIRONMENT, 'URL': server.url, 'MAPS': self.path('maps'),
                       **{key: str(value) for key, value in {**SMALL, **variables}.items()}}
        done = subprocess.run([SCRIPT], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, env=environment)
        self.assertIn(done.returncode, exits, done.stdout + done.stderr + server.log())
        self.assertIn('Genotype(normal=[', done.stdout)
        rows = {(mode, audience): [float(x) for x in numbers] for mode, audience, *numbers in ROW.findall(done.stdout)}
        self.assertEqual(set(rows), {tuple(lease.split(',')) for lease in variables['LEASES'].split()}, done.stdout)
        maps = glob.glob(self.path('maps/*.png'))
        self.assertEqual(len(maps), 2 + 2 * len(rows))
        for name in maps:
            with open(name, 'rb') as file:
                self.assertEqual(file.read(8), b'\x89PNG\r\n\x1a\n', name)
        return rows, [job['params'] for job in server.get('jobs?kind=lease').json()['items']]

    def test_learns(self):
        """search, derive, evalarch, heat maps; lease, staged and joint: both networks end above their first epoch"""
        rows, jobs = self.loop([0], **LEARNS)
        for explainer_first, explainer, audience_first, audience in rows.values():
            self.assertGreater(explainer, explainer_first, rows)
            self.assertGreater(audience, audience_first, rows)
        self.assertEqual([job['audience']['model']['attention'] for job in jobs], ['se', 'none'])

    def test_runs(self):
        """the same with a Shake-Shake audience and from a given explainer; too short to learn"""
        _, (given, shake) = self.loop([0, NOT_LEARNED], **RUNS)
        self.assertEqual(shake['audience']['model']['name'], 'shake_shake')
        self.assertIsNone(shake['explainer']['checkpoint'])
        self.assertIsNotNone(given['explainer']['checkpoint'])


if __name__ == '__main__':
    harness.main()
