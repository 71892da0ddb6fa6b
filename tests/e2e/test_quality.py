#!/usr/bin/env python3
"""Explanations as numbers, over HTTP: quality and robustness of a trained network, the same however the daemon ended meanwhile; and what
they refuse."""
import harness
from harness import train_job

DATA = {'dataset': 'shapes', 'train_images': 256, 'test_images': 64}
METRICS = {'deletion_auc', 'insertion_auc', 'road', 'average_drop', 'increase', 'pointing_game', 'pointing_game_off_centre', 'energy_in_mask', 'sanity_randomisation'}


class Quality(harness.Case):
    def trained(self, server):
        job = server.submit(train_job(train_images=256, epochs=3))
        server.finish(job)
        return job

    def quality(self, job, threads=1, **params):
        return {'kind': 'quality', 'seed': 3, 'threads': threads, 'params': {**DATA, 'checkpoint': {'job': job}, **params}}

    def test_numbers_and_comparison(self):
        """every metric with its interval; methods beside each other; the same for any threads"""
        server = self.daemon()
        job = self.trained(server)
        jobs = [server.submit(self.quality(job, images=32)), server.submit(self.quality(job, threads=2, images=32)),
                server.submit(self.quality(job, images=32, method='edges'))]
        cam, again, edges = [server.finish(each) for each in jobs]
        self.assertEqual(set(cam['result']['quality']), METRICS)
        self.assertEqual(cam['result'], again['result'])
        for name, row in cam['result']['quality'].items():
            if name == 'pointing_game_off_centre':
                self.assertLess(row['n'], 32)
                continue
            self.assertEqual(row['n'], 32)
            self.assertAlmostEqual(row['mean'] - row['low'], row['high'] - row['mean'], places=12)
            for suffix, member in (('', 'mean'), ('/low', 'low'), ('/high', 'high')):
                self.assertAlmostEqual(cam['latest'][f'quality/{name}{suffix}'], row[member], places=12)
        self.assertFalse(edges['result']['quality']['sanity_randomisation']['passed'])
        self.assertEqual([row['block'] for row in cam['result']['quality']['sanity_randomisation']['cascade']],
                         ['fc', 'layer4', 'layer3', 'layer2', 'layer1', 'bn1', 'conv1'])
        step = server.job(job)['progress']['step']
        for each in (jobs[0], jobs[2]):  # under the same key, at the step of the network's checkpoint
            series = server.get(f'jobs/{each}/metrics?keys=quality/road').json()['series']
            self.assertEqual([point[0] for point in series[0]['points']], [step])

    def test_kill_and_drain(self):
        """killed, drained: the same numbers"""
        server = self.daemon()
        job = self.trained(server)
        quality = self.quality(job, metrics=['road', 'sanity_randomisation'])
        attack = {'kind': 'robustness', 'seed': 3, 'threads': 1, 'params': {
            **DATA, 'checkpoint': {'job': job}, 'attacks': [{'name': 'pgd_linf', 'eps': [0.01, 0.03], 'steps': 5}, {'name': 'fgsm', 'eps': [0]}]}}
        for spec in (quality, attack):
            whole = server.finish(server.submit(spec))['result']
            for end in ('kill', 'stop'):
                one = server.submit(spec)
                server.wait(one, lambda job: job['progress']['step'] > 0, 'some images')
                getattr(server, end)()
                server = self.daemon()
                self.assertEqual(server.finish(one)['result'], whole)
        self.assertEqual(whole['robustness']['fgsm']['0'], whole['clean'])
        self.assertLessEqual(whole['robustness']['pgd_linf']['0.03']['mean'], whole['clean']['mean'])

    def test_refusals(self):
        """a bad measurement is refused by field, and a dry run knows its memory"""
        server = self.daemon()
        job = self.trained(server)
        for params, pointer, word in (
                ({'metrics': ['road', 'taste']}, '/params/metrics/1', 'deletion_auc'), ({'layer': 'layer9'}, '/params/layer', 'layer3'),
                ({'method': 'lime'}, '/params/method', 'gradcam'), ({'images': 65}, '/params/images', '64'),
                ({'split': 'val'}, '/params/split', 'val')):
            self.assert_problem(server.post('jobs', self.quality(job, **params)), 422, pointer, word)
        attack = {'kind': 'robustness', 'params': {**DATA, 'checkpoint': {'job': job}, 'attacks': [{'name': 'fgsm', 'eps': [0.1, -1]}]}}
        self.assert_problem(server.post('jobs', attack), 422, '/params/attacks/0/eps/1')
        dry = server.post('jobs?dry_run=1', self.quality(job)).json()
        self.assertGreater(dry['memory_bytes'], 1 << 20)
        self.assert_alive(server)


if __name__ == '__main__':
    harness.main()
