#!/usr/bin/env python3
"""Real images, where they are: a short training on CIFAR-10 in the official binary layout learns."""
import os
import unittest

import harness
from harness import train_job

SAMPLE = os.path.join(os.environ.get('LEASED_TEST_DATA', ''), 'cifar10-sample')


@unittest.skipUnless(os.environ.get('LEASED_TEST_DATA') and os.path.isdir(SAMPLE), 'no LEASED_TEST_DATA/cifar10-sample')
class Cifar(harness.Case):
    def test_learns(self):
        """two epochs on 5,000 real images are well above chance"""
        server = self.daemon('--dataset', 'cifar10=' + SAMPLE)
        job_id = server.submit(train_job(dataset='cifar10', train_images=5000, epochs=2, threads=2, batch_size=64,
                                         test_images=1000, model={'name': 'resnet18', 'width': 8}))
        job = server.finish(job_id, seconds=120)
        self.assertGreater(job['latest']['test/accuracy'], 0.2)
        self.assertEqual(server.get(f'jobs/{job_id}/heatmaps/0.png?layer=layer3&class=3').status, 200)


if __name__ == '__main__':
    harness.main()
