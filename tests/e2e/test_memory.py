#!/usr/bin/env python3
"""--memory: what a job plans is known before anything is taken, and what does not fit is refused. And --kernels."""
import os

import harness
from harness import train_job

GIB = 1 << 30


def resident(server):
    with open(f'/proc/{server.process.pid}/statm', encoding='ascii') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def job_of(gigabytes):
    """A training job that plans about so much: activations grow with the batch."""
    job = train_job(train_images=8000, epochs=1, model={'name': 'resnet18', 'width': 64})
    job['params']['batch_size'] = int(128 * gigabytes / 0.75)
    return job


class Memory(harness.Case):
    def plan(self, server, job):
        answer = server.post('jobs?dry_run=1', job)
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json()

    def test_refused(self):
        """--memory 1G and a job that plans 3 GB: 422 with both figures, and nothing is allocated"""
        roomy = self.daemon('--memory', '64G', data='roomy')
        needs = self.plan(roomy, job_of(3))['memory_bytes']
        roomy.kill()
        self.assertGreater(needs, 2.5e9)
        self.assertLess(needs, 4e9)
        server = self.daemon('--memory', '1G')
        self.assertEqual(server.get('system').json()['limits']['memory_bytes'], GIB)
        server.post('jobs', job_of(3))  # warm: what a first answer takes once
        before = resident(server)
        for path in ('jobs', 'jobs?dry_run=1', 'jobs'):
            answer = server.post(path, job_of(3))
            self.assert_problem(answer, 422, '/params', str(needs))
            self.assert_problem(answer, 422, '/params', str(GIB))
        self.assertLess(resident(server) - before, 16 << 20)
        self.assertEqual(server.get('jobs').json()['items'], [])
        fits = self.plan(server, train_job())
        self.assertLess(fits['memory_bytes'], GIB)
        self.assertGreater(fits['flops'], 1e6)
        self.assertEqual((fits['steps'], fits['epochs'], fits['memory_limit_bytes']), (8, 2, GIB))
        self.assertIsNone(fits['estimated_seconds'])
        job_id = server.submit(train_job())
        server.finish(job_id)
        self.assertGreater(self.plan(server, train_job())['estimated_seconds'], 0)
        evaluate = {'kind': 'evaluate', 'params': {'dataset': 'shapes', 'checkpoint': {'job': job_id}, 'batch_size': 256}}
        self.assertGreater(self.plan(server, evaluate)['memory_bytes'], 1e5)

    def test_lowered(self):
        """a limit that was lowered while the job waited: it fails before it begins, with both figures"""
        server = self.daemon('--memory', '4G')
        first = server.submit(train_job(train_images=4096, epochs=50, model={'name': 'resnet18', 'width': 16}))
        second = server.submit(job_of(1.2))
        server.wait(first, lambda job: job['state'] == 'running', 'the first job')
        server.post(f'jobs/{first}/cancel')
        server.kill()
        server = self.daemon('--memory', '1G')
        job = server.finish(second, 'failed')
        self.assertIn(str(GIB), job['reason'])
        self.assertEqual(job['progress']['step'], 0)

    def test_kernels(self):
        """--kernels picks the family that jobs compute with; one that is not there is refused by name"""
        server = self.daemon('--kernels', 'generic')
        self.assertEqual(server.get('system').json()['cpu']['kernels'], 'generic')
        job = server.finish(server.submit(train_job(epochs=1)))
        self.assertEqual(job['record']['kernels'], 'generic')
        code, out, err = self.leased('serve', '--listen', '127.0.0.1:0', '--data-dir', self.path('other'), '--kernels', 'abacus')
        self.assertEqual((code, out), (2, ''))
        self.assertIn('generic', err)


if __name__ == '__main__':
    harness.main()
