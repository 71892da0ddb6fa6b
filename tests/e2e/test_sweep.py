#!/usr/bin/env python3
"""Sweeps: the paper's second table in small, cells cancelled together, and requests that are sent twice."""
import json
import statistics
import struct
import time

import harness
from harness import FINAL, train_job

TABLE_S = 600


def tensors(checkpoint):
    """Names -> bytes of a safetensors file."""
    size = struct.unpack('<Q', checkpoint[:8])[0]
    header = json.loads(checkpoint[8:8 + size])
    data = checkpoint[8 + size:]
    return {name: data[slice(*row['data_offsets'])] for name, row in header.items() if name != '__metadata__'}


class Sweep(harness.Case):
    def sweep(self, server, body, **headers):
        answer = server.post('sweeps', body, headers=headers)
        self.assertEqual(answer.status, 201, answer.body)
        return answer

    def end(self, server, sweep_id, seconds=TABLE_S):
        deadline = time.monotonic() + seconds
        while True:
            sweep = server.get(f'sweeps/{sweep_id}').json()
            if sweep['state'] in FINAL:
                return sweep
            self.assertLess(time.monotonic(), deadline, f'{sweep}\n{server.log()}')
            time.sleep(0.2)

    def test_table(self):
        """seed-table2 in its tiny form fills its table over three seeds (here on a third of its images, in as many steps)"""
        server = self.daemon('--workers', '2')
        params = {'train_images': 320, 'test_images': 160, 'batch_size': 8}
        sweep_id = self.sweep(server, {'preset': 'seed-table2-tiny', 'base': {'threads': 1, 'params': params}}).json()['id']
        sweep = self.end(server, sweep_id)
        self.assertEqual(sweep['state'], 'succeeded')
        self.assertEqual(sweep['cells'], {'succeeded': 24})
        self.assertEqual(len(sweep['rows']), 8)
        for row in sweep['rows']:
            values = [server.job(job_id)['latest']['test/accuracy'] for job_id in row['jobs']]
            self.assertEqual(row['values'], values)
            self.assertEqual(row['failed'], 0)
            self.assertAlmostEqual(row['mean'], statistics.mean(values), places=12)
            self.assertAlmostEqual(row['sd'], statistics.stdev(values), places=12)
            for job_id in row['jobs']:
                loss = [value for _, value, _ in server.get(f'jobs/{job_id}/metrics?keys=train/epoch_loss').json()['series'][0]['points']]
                self.assertLess(loss[-1], loss[0], row)
        self.assert_alphas_fixed(server, sweep)

    def assert_alphas_fixed(self, server, sweep):
        """Rows that differ in how images are mixed have the same alphas after training, and other weights: `train` does
        not move them from where the seed put them."""
        rows = {row['label']: row['jobs'] for row in sweep['rows']}
        for column in range(3):
            cutmix, mixup = (tensors(server.checkpoint(rows[label][column]).body) for label in ('CutMix', 'Mixup'))
            for name in ('alphas_normal', 'alphas_reduce', 'betas_normal', 'betas_reduce'):
                self.assertEqual(cutmix[name], mixup[name])
            self.assertNotEqual(cutmix['stem.0.weight'], mixup['stem.0.weight'])

    def test_failed(self):
        """a cell that fails stops nothing, and is counted"""
        server = self.daemon('--workers', '1')
        base = train_job(train_images=64, epochs=1)
        sweep = self.sweep(server, {'base': base, 'seeds': [0, 1], 'list': [
            {'label': 'diverges', 'set': {'/params/optimizer/lr': 1e8}}, {'label': 'learns'}]}).json()
        sweep = self.end(server, sweep['id'])
        self.assertEqual((sweep['state'], sweep['cells']), ('failed', {'failed': 2, 'succeeded': 2}))
        diverges, learns = sweep['rows']
        self.assertEqual((diverges['failed'], diverges['values'], diverges['mean'], diverges['sd']), (2, [None, None], None, None))
        self.assertEqual(learns['failed'], 0)
        self.assertIsNotNone(learns['sd'])

    def test_cancel(self):
        """cancelling a sweep cancels its cells, those that run and those that wait, and no other job"""
        server = self.daemon('--workers', '1')
        sweep = self.sweep(server, {'base': train_job(train_images=8000, epochs=50)}).json()
        other = server.submit(train_job(train_images=64, epochs=1))
        first = sweep['rows'][0]['jobs'][0]
        server.wait(first, lambda job: job['state'] == 'running', 'its start')
        answer = server.post(f'sweeps/{sweep["id"]}/cancel')
        self.assertEqual(answer.status, 202, answer.body)
        sweep = self.end(server, sweep['id'])
        self.assertEqual((sweep['state'], sweep['cells']), ('cancelled', {'cancelled': 3}))
        server.finish(other)
        self.assertEqual(server.post(f'sweeps/{sweep["id"]}/cancel').status, 409)

    def test_again(self):
        """the same Idempotency-Key starts nothing, after kill -9 neither; another body is refused"""
        server = self.daemon('--workers', '1')
        body = {'base': train_job(train_images=64, epochs=1)}
        key = {'Idempotency-Key': 'table-7'}
        first = self.sweep(server, body, **key)
        job = server.post('jobs', train_job(), headers=key)
        self.assertEqual(job.status, 201)
        self.end(server, first.json()['id'])
        server.kill()
        server = self.daemon('--workers', '1')
        again = self.sweep(server, body, **key)
        self.assertEqual((again.body, again.headers['Location']), (first.body, first.headers['Location']))
        again = server.post('jobs', train_job(), headers=key)
        self.assertEqual((again.status, again.body), (201, job.body))
        self.assert_problem(server.post('jobs', train_job(epochs=3), headers=key), 422, word='another body')
        self.assertEqual(len(server.get('jobs').json()['items']), 4)
        self.assertEqual(len(server.get('sweeps').json()['items']), 1)


if __name__ == '__main__':
    harness.main()
