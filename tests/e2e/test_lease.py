#!/usr/bin/env python3
"""The loop over HTTP alone: search, derive, evalarch, heat maps; explain, audience; and the whole of `lease`, both schedules. Each ends
with the same bits for any number of threads, killed or not."""
import json
import os
import struct

import harness
from harness import train_job

DATA = dict(dataset='shapes', train_images=64, test_images=16)
TINY = dict(channels=8, cells=5, space='s3_se_eca', batch_size=16)
AUGMENT = [{'name': 'crop', 'padding': 4}, {'name': 'flip'}]


def search_job(threads=1, epochs=4, **params):
    return {'kind': 'search', 'seed': 1, 'threads': threads, 'params': {**DATA, **TINY, 'epochs': epochs, 'augment': AUGMENT, **params}}


def lease_job(mode, threads=1, audience=None, **params):
    return {'kind': 'lease', 'seed': 1, 'threads': threads, 'params': {
        **DATA, 'mode': mode, 'rounds': 2, 'epochs': 3, 'explanation': {'steps': 2},
        'explainer': {**TINY, 'epochs': 2, 'augment': AUGMENT, 'optimizer': {'name': 'sgd', 'lr': 0.05}},
        'audience': {'model': audience or {'name': 'resnet18', 'width': 4, 'attention': 'se'}, 'batch_size': 16, 'epochs': 2,
                     'augment': AUGMENT, 'optimizer': {'name': 'sgd', 'lr': 0.05}}, **params}}


def tensors(body):
    """name -> (dtype, shape) of a safetensors file."""
    size = struct.unpack('<Q', body[:8])[0]
    header = json.loads(body[8:8 + size])
    return {name: (row['dtype'], row['shape']) for name, row in header.items() if name != '__metadata__'}


class Lease(harness.Case):
    def points(self, server, job_id, key):
        series = server.get(f'jobs/{job_id}/metrics?keys={key}').json()['series']
        self.assertEqual(len(series), 1, key)
        return [value for _, value, _ in series[0]['points']]

    def same_bits(self, job, artefact):
        """`job(threads)` leaves the same `artefact(server, id)` on 1 and 2 threads, and killed in the middle."""
        server = self.daemon()
        ids = [server.submit(job(threads)) for threads in (1, 2)]
        for job_id in ids:
            server.finish(job_id, seconds=240)
        digests = {artefact(server, job_id) for job_id in ids}
        self.assertEqual(len(digests), 1)
        again = server.submit(job(2))
        server.wait(again, lambda job: 1 <= job['progress']['epoch'] < job['progress']['epochs'], 'an epoch')
        server.kill()
        server = self.daemon()
        killed = server.finish(again, seconds=240)
        self.assertEqual(killed['attempt'], 2)
        self.assertGreater(killed['resumed_step'], 0)
        digests.add(artefact(server, again))
        self.assertEqual(len(digests), 1, 'killed and resumed')
        return server, again

    def test_loop(self):
        """search -> derive -> evalarch -> heat maps, by HTTP alone; killed with kill -9, the same bits"""
        server, search = self.same_bits(search_job, lambda server, job_id: server.checkpoint(job_id).sha256())
        done = server.job(search)
        epochs = done['progress']['epochs']
        self.assertEqual(done['params']['val_images'], 32, 'half')
        self.assertGreater(done['latest']['search/entropy/normal'], 0)
        for epoch in range(1, epochs + 1):
            alphas = server.get(f'jobs/{search}/alphas?epoch={epoch}')
            self.assertEqual(alphas.status, 200, alphas.body)
            self.assertEqual(len(alphas.json()['cells']['normal']['edges']), 14)
        self.assert_problem(server.get(f'jobs/{search}/alphas?epoch={epochs + 1}'), 404)
        self.assertEqual(server.get(f'jobs/{search}/heatmaps/0.png').status, 200)

        derive = server.finish(server.submit({'kind': 'derive', 'params': {'job': search}}))
        self.assertEqual(derive['result']['genotype'], done['result']['genotype'])
        genotype = derive['result']['genotype']
        text = server.get(f'genotypes/{genotype}?format=darts').body.decode()
        self.assertTrue(text.startswith('Genotype(normal=['), text)

        evalarch = server.finish(server.submit({'kind': 'evalarch', 'params': {
            **DATA, 'val_images': 16, 'genotype': genotype, 'channels': 8, 'cells': 5, 'epochs': 1, 'batch_size': 16}}), seconds=120)
        self.assertEqual(evalarch['result']['genotype'], genotype)
        self.assertEqual(evalarch['result']['accuracy'], evalarch['latest']['test/accuracy'])
        scored = server.get(f'genotypes/{genotype}').json()
        self.assertIn(evalarch['id'], [score['job'] for score in scored['scores']])
        self.assertEqual(server.get(f'jobs/{evalarch["id"]}/heatmaps/0.png').status, 200)

    def test_explain_and_audience(self):
        """explain -> audience: the same files for any threads; killed with kill -9, an audience ends with the same bits"""
        server = self.daemon()
        trained = server.submit(train_job(train_images=256, val_images=64, epochs=1))
        server.finish(trained)
        explain = {'kind': 'explain', 'seed': 1, 'params': {'dataset': 'shapes', 'test_images': 64, 'checkpoint': {'job': trained}}}
        ids = [server.submit({**explain, 'threads': threads}) for threads in (1, 2)]
        for job_id in ids:
            server.finish(job_id)
        for split, images in (('train', 192), ('val', 64), ('test', 64)):
            files = [server.get(f'jobs/{job_id}/maps/{split}') for job_id in ids]
            self.assertEqual(files[0].sha256(), files[1].sha256())
            self.assertEqual(files[0].headers['ETag'].strip('"'), files[0].sha256())
            self.assertEqual(tensors(files[0].body), {'delta': ('F16', [images, 3, 32, 32]), 'max': ('F32', [images]),
                                                      'index': ('I64', [images])})
        audience = {'kind': 'audience', 'seed': 1, 'params': {
            'dataset': 'shapes', 'maps': {'job': ids[0]}, 'model': {'name': 'resnet18', 'width': 4}, 'batch_size': 16, 'epochs': 6,
            'augment': AUGMENT}}
        one = server.submit({**audience, 'threads': 1})
        server.finish(one)
        digest = server.checkpoint(one).sha256()
        two = server.submit({**audience, 'threads': 2})
        server.wait(two, lambda job: 1 <= job['progress']['epoch'] < 6, 'an epoch')
        server.kill()
        server = self.daemon()
        job = server.finish(two)
        self.assertEqual(job['attempt'], 2)
        self.assertEqual(server.checkpoint(two).sha256(), digest)
        self.assertIn('audience/val/raw/accuracy', job['latest'])
        self.assertEqual(job['latest']['audience/val/reweighted/accuracy'], job['latest']['val/accuracy'])

    def test_killed_explain(self):
        """an explain job that is killed goes on, and leaves the files it would have left"""
        server = self.daemon()
        trained = server.submit(train_job(train_images=256, val_images=64, epochs=1))
        server.finish(trained)
        job = {'kind': 'explain', 'seed': 1, 'params': {'dataset': 'shapes', 'test_images': 64, 'checkpoint': {'job': trained},
                                                        'explanation': {'steps': 40}}}
        whole = server.submit(job)
        server.finish(whole)
        killed = server.submit(job)
        server.wait(killed, lambda job: job['progress']['step'] >= 64 and job['state'] == 'running', 'the first images')
        server.kill()
        server = self.daemon()
        server.finish(killed)
        for split in ('train', 'val', 'test'):
            self.assertEqual(server.get(f'jobs/{killed}/maps/{split}').sha256(), server.get(f'jobs/{whole}/maps/{split}').sha256())

    def lease(self, mode):
        server, job_id = self.same_bits(lambda threads: lease_job(mode, threads), lambda server, job_id: server.checkpoint(job_id).sha256())
        job = server.job(job_id)
        for key in ('explainer/val/raw/accuracy', 'explainer/val/reweighted/accuracy', 'audience/val/raw/accuracy',
                    'audience/val/reweighted/accuracy', 'val/accuracy', 'test/accuracy', 'search/entropy/normal'):
            self.assertEqual(len(self.points(server, job_id, key)), job['progress']['epochs'], key)
        names = tensors(server.checkpoint(job_id).body)
        self.assertIn('explainer.alphas_normal', names)
        self.assertIn('audience.conv1.weight', names)
        part = tensors(server.get(f'jobs/{job_id}/checkpoints/latest?part=audience&weights=1').body)
        self.assertIn('conv1.weight', part)
        self.assertFalse([name for name in part if name.startswith(('optimizer.', 'audience.'))])
        for network in ('explainer', 'audience'):
            self.assertEqual(server.get(f'jobs/{job_id}/heatmaps/0.png?model={network}').status, 200, network)
        derive = server.finish(server.submit({'kind': 'derive', 'params': {'job': job_id}}))
        self.assertEqual(derive['result']['genotype'], job['result']['genotype'])

    def test_staged(self):
        """lease, staged, with an SE-ResNet18 audience: both networks, raw and reweighted, each epoch; killed, the same bits"""
        self.lease('staged')

    def test_joint(self):
        """lease, joint: the same"""
        self.lease('joint')

    def test_given_explainer(self):
        """lease from a given explainer checkpoint: its split is inherited, its weights are where it starts"""
        server = self.daemon()
        trained = server.submit(train_job(train_images=64, test_images=16, val_images=32, epochs=1, model={
            'name': 'supernet', 'space': 's3', 'channels': 8, 'cells': 5, 'partial': 4}))
        server.finish(trained)
        job = lease_job('staged', audience={'name': 'shake_shake', 'width': 4}, rounds=1)
        job['params']['explainer'] = {'checkpoint': {'job': trained}, 'batch_size': 16, 'epochs': 1}
        done = server.finish(server.submit(job), seconds=120)
        self.assertEqual(done['params']['split_seed'], 1)
        self.assertEqual(done['params']['val_images'], 32)
        self.assertIn('genotype', done['result'])


class Refused(harness.Case):
    def test_fields(self):
        """bad searches, explanations, audiences: a 4xx that names the field, before anything runs"""
        server = self.daemon()
        trained = server.submit(train_job(epochs=1, val_images=32))
        server.finish(trained)
        maps = server.submit({'kind': 'explain', 'params': {'dataset': 'shapes', 'test_images': 64, 'checkpoint': {'job': trained}}})
        server.finish(maps)
        tests = server.submit({'kind': 'explain', 'params': {'dataset': 'shapes', 'test_images': 64, 'checkpoint': {'job': trained},
                                                             'splits': ['test']}})
        server.finish(tests)
        explain = {'dataset': 'shapes', 'checkpoint': {'job': trained}}
        audience = {'dataset': 'shapes', 'maps': {'job': maps}, 'model': {'name': 'resnet18', 'width': 4}}
        evalarch = {**DATA, 'genotype': 'darts_v2', 'channels': 4, 'cells': 3, 'epochs': 1}
        for kind, params, pointer in (
                ('search', {**DATA, 'space': 's9'}, '/params/space'),
                ('search', {**DATA, 'space': {'normal': [['none', 'magic']]}}, '/params/space/normal/0/1'),
                ('search', {**DATA, 'space': {'normal': [['none']]}}, '/params/space/normal/0'),
                ('search', {**DATA, **TINY, 'channels': 6}, '/params/searcher/k'),
                ('search', {**DATA, **TINY, 'val_images': 0}, '/params/val_images'),
                ('search', {**DATA, **TINY, 'update': 'alphas'}, '/params/explainer'),
                ('evalarch', {**evalarch, 'genotype': "Genotype(normal=[('magic', 0)], normal_concat=[2], reduce=[], reduce_concat=[2])"},
                 '/params/genotype'),
                ('evalarch', {**evalarch, 'genotype': 77}, '/params/genotype'),
                ('explain', {**explain, 'explanation': {'eps': -0.5}}, '/params/explanation/eps'),
                ('explain', {**explain, 'explanation': {'source': 'gradcam', 'layer': 'nowhere'}}, '/params/explanation/layer'),
                ('explain', {**explain, 'val_images': 16}, '/params/val_images'),
                ('explain', {**explain, 'checkpoint': {'job': 99}}, '/params/checkpoint'),
                ('audience', {**audience, 'maps': {'job': 99}}, '/params/maps'),
                ('audience', {**audience, 'maps': {'job': trained}}, '/params/maps'),
                ('audience', {**audience, 'maps': {'job': tests}}, '/params/maps'),
                ('audience', {**audience, 'train_images': 127}, '/params/train_images'),
                ('derive', {'job': trained}, '/params/job'),
                ('derive', {'job': 99}, '/params/job'),
                ('lease', {**DATA, 'explanation': {'source': 'gradcam'}, 'explainer': TINY, 'audience': {'batch_size': 16}}, '/params/hypergrad'),
                ('lease', {**DATA, 'explainer': {**TINY, 'checkpoint': {'job': 99}}}, '/params/explainer/checkpoint')):
            self.assert_problem(server.post('jobs', {'kind': kind, 'params': params}), 422, pointer)
        self.assert_alive(server)

    def test_another_data_set(self):
        """an audience for another data set than its maps are of"""
        os.mkdir(self.path('ten'))
        for name in ('data_batch_1.bin', 'test_batch.bin'):
            with open(self.path(f'ten/{name}'), 'wb') as out:
                out.write(b''.join(bytes([i % 10]) + bytes(3072) for i in range(80)))
        server = self.daemon('--dataset', 'ten=' + self.path('ten'))
        trained = server.submit(train_job(train_images=64, epochs=1))
        server.finish(trained)
        maps = server.submit({'kind': 'explain', 'params': {'dataset': 'shapes', 'test_images': 64, 'checkpoint': {'job': trained}}})
        server.finish(maps)
        answer = server.post('jobs', {'kind': 'audience', 'params': {'dataset': 'ten', 'maps': {'job': maps}}})
        self.assert_problem(answer, 422, '/params/dataset', 'shapes')


if __name__ == '__main__':
    harness.main()
