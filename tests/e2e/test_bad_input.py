#!/usr/bin/env python3
"""Whatever comes in from outside: a clear answer that names the field, nothing lost, the daemon alive."""
import os
import socket

import harness
from harness import train_job

RECORD = 1 + 3 * 32 * 32


def record(label, value=0):
    return bytes([label]) + bytes([value]) * (RECORD - 1)


class BadRequests(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.daemon()

    def refused(self, body, status, pointer=None, word=None, **options):
        self.assert_problem(self.server.post('jobs', body, **options), status, pointer, word)
        self.assert_alive(self.server)
        self.assertEqual(self.server.get('jobs').json()['items'], [], 'nothing was queued')

    def changed(self, **params):
        job = train_job()
        job['params'].update(params)
        return job

    def test_unknown_kind(self):
        """an unknown kind"""
        self.refused({'kind': 'levitate', 'params': {'dataset': 'shapes'}}, 422, '/kind', 'train')

    def test_missing_fields(self):
        """no kind, no dataset, no params"""
        self.refused({'params': {'dataset': 'shapes'}}, 422, '/kind')
        self.refused({'kind': 'train', 'params': {}}, 422, '/params/dataset')
        self.refused({'kind': 'train'}, 422)
        self.refused([], 422)

    def test_unknown_keys(self):
        """an unknown key, at every depth"""
        self.refused({**train_job(), 'colour': 'red'}, 422, '/colour')
        self.refused(self.changed(bach_size=32), 422, '/params/bach_size', ', timelapse"')
        self.refused(self.changed(optimizer={'name': 'sgd', 'lrr': 1}), 422, '/params/optimizer/lrr')
        self.refused(self.changed(augment=[{'name': 'flip', 'padding': 4}]), 422, '/params/augment/0/padding')

    def test_wrong_types(self):
        """the wrong type"""
        self.refused({**train_job(), 'seed': 'one'}, 422, '/seed')
        self.refused({**train_job(), 'params': []}, 422, '/params')
        self.refused(self.changed(batch_size='32'), 422, '/params/batch_size')
        self.refused(self.changed(batch_size=32.5), 422, '/params/batch_size')
        self.refused(self.changed(augment={'name': 'flip'}), 422, '/params/augment')
        self.refused(self.changed(optimizer={'name': 'sgd', 'nesterov': 'yes'}), 422, '/params/optimizer/nesterov')

    def test_out_of_range(self):
        """out of range"""
        self.refused({**train_job(), 'seed': -1}, 422, '/seed')
        self.refused({**train_job(), 'seed': 2 ** 53}, 422, '/seed')
        self.refused({**train_job(), 'threads': 65}, 422, '/threads')
        self.refused(self.changed(batch_size=0), 422, '/params/batch_size')
        self.refused(self.changed(epochs=-1), 422, '/params/epochs')
        self.refused(self.changed(train_images=10 ** 9), 422, '/params/train_images')
        self.refused(self.changed(val_images=128), 422, '/params/val_images')
        self.refused(self.changed(optimizer={'name': 'sgd', 'lr': -1}), 422, '/params/optimizer/lr')
        self.refused(self.changed(model={'name': 'resnet19'}), 422, '/params/model/name')
        self.refused(self.changed(image_size=64), 422, '/params/image_size', 'shapes')
        self.refused(self.changed(groups=[{'match': 'nowhere.*'}]), 422, '/params/groups/0/match')
        self.refused(self.changed(lookahead={'every': 5, 'decay': 1.5}), 422, '/params/lookahead/decay')
        self.refused(self.changed(label_smoothing=-0.1), 422, '/params/label_smoothing')
        self.refused(self.changed(model={'name': 'genotype', 'genotype': "__import__('os')"}), 422, '/params/model/genotype', 'darts_v1')
        self.refused(self.changed(model={'name': 'genotype', 'genotype': 'x' * 5000}), 422, '/params/model/genotype', '4095')
        self.refused(self.changed(model={'name': 'supernet', 'space': 's9'}), 422, '/params/model/space', 's3_se_eca')

    def test_presets(self):
        """presets that are not there, or do not go with what the job says"""
        self.refused({'preset': 'giant'}, 422, '/preset', 'airbench94')
        self.refused({'preset': 'tiny', 'kind': 'evaluate'}, 422, '/kind', 'tiny')
        self.refused({'preset': 'resnet18'}, 422, '/params/dataset')
        self.refused({'preset': 'tiny', 'params': {'model': {'widht': 8}}}, 422, '/params/model/widht')

    def test_all_at_once(self):
        """every bad field is named in one answer"""
        job = {**self.changed(batch_size=0, epochs='many'), 'seed': -1}
        for pointer in ('/seed', '/params/batch_size', '/params/epochs'):
            self.refused(job, 422, pointer)

    def test_not_json(self):
        """not JSON, and JSON that is not well"""
        for body in (b'', b'{', b'kind=train', b'\xff\xfe', b'{"kind": "train", "kind": "train"}', b'{"seed": 1e999}'):
            self.refused(body, 400)

    def test_nested_brackets(self):
        """10 MB of nested brackets"""
        self.refused(b'[' * 10_000_000, 413)
        self.refused(b'[' * 500_000, 400)
        self.refused(b'{"params":' * 50_000, 400)

    def test_not_json_type(self):
        """another content type"""
        self.refused(b'{}', 415, headers={'Content-Type': 'text/plain'})

    def test_unknown_data_set(self):
        """an unknown data set: the answer lists those there are"""
        self.refused(self.changed(dataset='imagenet'), 422, '/params/dataset', 'shapes')
        self.refused(self.changed(dataset='../../etc'), 422, '/params/dataset')

    def test_unknown_addresses(self):
        """an unknown path, job or method"""
        self.assert_problem(self.server.get('nowhere'), 404)
        self.assert_problem(self.server.get('jobs/1'), 404)
        self.assert_problem(self.server.get('jobs/99999999999999999999'), 404)
        self.assert_problem(self.server.get('jobs/-1'), 404)
        self.assert_problem(self.server.request('PUT', 'jobs', {}), 405)
        self.assert_problem(self.server.post('jobs/1/cancel'), 404)
        self.assert_alive(self.server)


class Divergence(harness.Case):
    def test_not_finite(self):
        """a loss that is not finite: the job fails, names step and layer, and keeps its last good checkpoint"""
        server = self.daemon()
        job_id = server.submit(train_job(train_images=32, epochs=20, optimizer={'name': 'sgd', 'lr': 1e9},
                                         schedule={'name': 'one_cycle', 'start': 0, 'peak': 1}))
        job = server.finish(job_id, 'failed')
        self.assertRegex(job['reason'], r'step \d+.*layer "[a-z0-9.]+"')
        self.assertGreaterEqual(job['progress']['epoch'], 1)
        kept = server.get(f'jobs/{job_id}/checkpoints').json()['items'][0]
        self.assertEqual(kept['epoch'], job['progress']['epoch'])
        self.assertEqual(server.checkpoint(job_id).sha256(), kept['sha256'])
        self.assertEqual(server.get(f'jobs/{job_id}/heatmaps/0.png').status, 200)
        again = {'kind': 'evaluate', 'params': {'dataset': 'shapes', 'checkpoint': {'job': job_id, 'epoch': kept['epoch']}}}
        server.finish(server.submit(again))


class BadDataSets(harness.Case):
    def folder_of(self, name, train, test):
        os.mkdir(self.path(name))
        for file, content in (('data_batch_1.bin', train), ('test_batch.bin', test)):
            if content is not None:
                with open(self.path(f'{name}/{file}'), 'wb') as out:
                    out.write(content)
        return f'{name}={self.path(name)}'

    def test_broken_files(self):
        """truncated, mislabelled, empty and absent CIFAR files: the job is refused, naming the file; others go on"""
        good = b''.join(record(i % 10, 20 * (i % 10)) for i in range(80))
        sets = {
            'truncated': (self.folder_of('truncated', good[:-1], good), 'data_batch_1.bin'),
            'mislabelled': (self.folder_of('mislabelled', good, good + record(10)), 'test_batch.bin'),
            'empty': (self.folder_of('empty', b'', good), 'data_batch_1.bin'),
            'half': (self.folder_of('half', good, None), 'test_batch.bin'),
            'absent': ('absent=' + self.path('nowhere'), 'absent'),
        }
        fine = self.folder_of('fine', good, good)
        server = self.daemon(*(x for spec in [fine] + [s for s, _ in sets.values()] for x in ('--dataset', spec)))
        for name, (_, word) in sets.items():
            self.assert_problem(server.post('jobs', train_job(dataset=name, train_images=64)), 422, '/params/dataset', word)
        server.finish(server.submit(train_job(dataset='fine', train_images=64, epochs=1)))

    def test_file_not_there_yet(self):
        """a data set that opens later is tried again"""
        good = b''.join(record(i % 10) for i in range(80))
        server = self.daemon('--dataset', 'late=' + self.path('late'))
        self.assert_problem(server.post('jobs', train_job(dataset='late', train_images=64)), 422, '/params/dataset')
        self.folder_of('late', good, good)
        server.finish(server.submit(train_job(dataset='late', train_images=64, epochs=1)))


class BadStarts(harness.Case):
    def refuses(self, *arguments, word):
        """`leased serve` ends with a non-zero status and one clear line that says `word`."""
        code, out, err = self.leased('serve', *arguments, seconds=20)
        self.assertNotEqual(code, 0)
        self.assertGreater(code, 0, 'not by a signal')
        self.assertEqual(out, '')
        self.assertIn(word, err)

    def test_unwritable_data_directory(self):
        """a data directory that cannot be made"""
        with open(self.path('file'), 'w', encoding='utf-8'):
            pass
        self.refuses('--listen', '127.0.0.1:0', '--data-dir', self.path('file/data'), word=self.path('file/data'))

    def test_port_in_use(self):
        """a port in use"""
        with socket.socket() as taken:
            taken.bind(('127.0.0.1', 0))
            taken.listen()
            address = '127.0.0.1:%d' % taken.getsockname()[1]
            self.refuses('--listen', address, '--data-dir', self.path('data'), word=address)

    def test_two_daemons(self):
        """two daemons on one data directory: the second is refused, the first does not notice"""
        server = self.daemon()
        self.refuses('--listen', '127.0.0.1:0', '--data-dir', server.data_dir, word=server.data_dir)
        self.assert_alive(server)
        server.finish(server.submit(train_job(epochs=1)))

    def test_bad_settings(self):
        """settings that are not there or make no sense"""
        self.refuses('--colour', 'red', word='--colour')
        self.refuses('--workers', 'many', word='workers')
        self.refuses('--workers', '-1', word='workers')
        self.refuses('--listen', 'nonsense', '--data-dir', self.path('data'), word='listen')
        self.refuses('--dataset', 'no-path', '--data-dir', self.path('data'), word='no-path')

    def test_foreign_files(self):
        """foreign files in the data directory are tolerated"""
        os.mkdir(self.path('data'), 0o700)
        with open(self.path('data/shopping.txt'), 'w', encoding='utf-8') as file:
            file.write('milk\n')
        server = self.daemon()
        server.finish(server.submit(train_job(epochs=1)))
        self.assertEqual(server.stop(), 0)
        with open(self.path('data/shopping.txt'), encoding='utf-8') as file:
            self.assertEqual(file.read(), 'milk\n')


if __name__ == '__main__':
    harness.main()
