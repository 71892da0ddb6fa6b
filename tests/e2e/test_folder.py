#!/usr/bin/env python3
"""Folders of images: PNG trees made here, damaged ones, and, where it is, a real archive of 60,000 JPEGs."""
import io
import os
import struct
import subprocess
import tarfile
import time
import unittest
import zlib

import harness
from harness import train_job

ARCHIVE = os.path.join(os.environ.get('LEASED_TEST_DATA', ''), 'cifar10-jpeg.tar.xz')
TINY = {'name': 'resnet18', 'width': 4}


def png(width, height, colour):
    """An 8-bit RGB PNG with a gradient of this colour."""
    rows = b''.join(b'\0' + bytes((c * (x + y + 1) // (width + height)) & 255 for x in range(width) for c in colour)
                    for y in range(height))

    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)) +
            chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def pets(count=24):
    """Paths and bytes of a two-class tree; images of many sizes."""
    for split, images in (('train', count), ('test', count // 2)):
        for i in range(images):
            yield f'{split}/cat/{i}.png', png(20 + i, 30, (250, 9 * i, 30))
            yield f'{split}/dog/{i}.png', png(40, 18 + 2 * i, (20, 9 * i, 240))


class Folder(harness.Case):
    def tree(self, name, files):
        for path, content in files:
            full = os.path.join(self.path(name), path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, 'wb') as out:
                out.write(content)
        return f'{name}={self.path(name)}'

    def archive(self, name, files):
        with tarfile.open(self.path(name), 'w:gz') as tar:
            for path, content in files:
                info = tarfile.TarInfo('pets/' + path)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return f'archive={self.path(name)}'

    def listed(self, server, name):
        return next(item for item in server.get('datasets').json()['items'] if item['name'] == name)

    def job(self, dataset, **params):
        job = train_job(dataset=dataset, epochs=1, train_images=40, model=TINY, **params)
        job['params'].update(test_images=None, batch_size=8)
        return job

    def test_trains(self):
        """a directory and an archive of the same images train to the same bits, in the size asked for; maps and evaluation follow"""
        server = self.daemon('--dataset', self.tree('tree', pets()), '--dataset', self.archive('pets.tar.gz', pets()))
        ids = [server.submit(self.job(name)) for name in ('tree', 'archive')]
        for job_id in ids:
            server.finish(job_id)
        self.assertEqual(*(server.checkpoint(job_id).sha256() for job_id in ids))
        item = self.listed(server, 'tree')
        self.assertEqual((item['layout'], item['train_images'], item['test_images'], item['class_names'], item['skipped_images']),
                         ('folder', 48, 24, ['cat', 'dog'], 0))
        large = server.submit(self.job('tree', image_size=48))
        job = server.finish(large)
        self.assertEqual(job['params']['image_size'], 48)
        self.assertEqual(server.job(ids[0])['params']['image_size'], 32)
        self.assertEqual(server.get(f'jobs/{large}/heatmaps/0.png?scale=1').status, 200)
        self.assertEqual(server.get(f'jobs/{large}/layers').json()['items'][0]['shape'][:2], [48, 48])
        evaluate = {'kind': 'evaluate', 'params': {'dataset': 'tree', 'checkpoint': {'job': large}}}
        result = server.finish(server.submit(evaluate))
        self.assertEqual(result['params']['image_size'], 48)
        self.assertAlmostEqual(result['latest']['test/loss'], job['latest']['test/loss'], places=4)
        evaluate['params']['image_size'] = 32
        self.assert_problem(server.post('jobs', evaluate), 422, '/params/image_size')
        preview = server.get('datasets/tree/preview.png?image_size=48&images=4&scale=1')
        self.assertEqual((preview.status, preview.headers.get_content_type()), (200, 'image/png'))
        for size in range(8, 16):  # pictures in any number of sizes leave jobs theirs
            for _ in range(200):
                preview = server.get(f'datasets/tree/preview.png?image_size={size}&images=1&scale=1')
                if preview.status != 503:
                    break
                time.sleep(harness.POLL_S)
            self.assertEqual(preview.status, 200, preview.body)
        self.assertEqual(server.post('jobs?dry_run=1', self.job('tree', image_size=24)).status, 200)

    def test_cache(self):
        """what was decoded is kept: the second start gives the same bits"""
        spec = self.tree('tree', pets())
        digests = []
        for _ in range(2):
            server = self.daemon('--dataset', spec)
            job_id = server.submit(self.job('tree'))
            server.finish(job_id)
            digests.append(server.checkpoint(job_id).sha256())
            self.assertEqual(server.stop(), 0)
        self.assertEqual(digests[0], digests[1])
        cache = self.path('data/cache')
        self.assertEqual(os.stat(cache).st_mode & 0o777, 0o700)
        self.assertTrue(os.listdir(cache))

    def test_damaged_images(self):
        """damaged images are left out, counted and logged; the rest trains"""
        files = [*pets(), ('train/cat/broken.png', png(9, 9, (1, 2, 3))[:-30]), ('train/dog/empty.jpg', b''),
                 ('train/dog/notes.txt', b'a good dog')]
        server = self.daemon('--dataset', self.tree('tree', files))
        item = self.listed(server, 'tree')
        self.assertEqual((item['skipped_images'], item['foreign_files'], item['train_images']), (2, 1, 48), item)
        self.assertIn('broken.png', item['note'])
        self.assertEqual(server.log().count('2 images are left out'), 1, server.log())
        server.finish(server.submit(self.job('tree')))

    def test_refused(self):
        """class folders without images, one class alone, a damaged archive, a set that is none: refused by name, others go on"""
        good = list(pets())
        data = self.path('cut.tar.gz')
        spec = self.archive('cut.tar.gz', good)
        with open(data, 'r+b') as file:
            file.truncate(os.path.getsize(data) // 2)
        sets = {
            'hollow': (self.tree('hollow', [*good, ('train/fox/readme.txt', b'none yet')]), 'fox'),
            'lonely': (self.tree('lonely', [(p, c) for p, c in good if '/cat/' in p]), 'lonely'),
            'archive': (spec, 'archive'),
            'nothing': (self.tree('nothing', [('a.txt', b'a')]), 'nothing'),
        }
        fine = self.tree('fine', good)
        server = self.daemon(*(x for spec in [fine] + [s for s, _ in sets.values()] for x in ('--dataset', spec)))
        for name, (_, word) in sets.items():
            self.assert_problem(server.post('jobs', self.job(name)), 422, '/params/dataset', word)
            self.assertTrue(self.listed(server, name)['error'])
        for size in (0, 513, 'large', 2.5):
            self.assert_problem(server.post('jobs', self.job('fine', image_size=size)), 422, '/params/image_size')
        self.assert_problem(server.post('jobs', self.job('shapes', image_size=64)), 422, '/params/image_size', 'shapes')
        server.finish(server.submit(self.job('fine')))
        self.assert_alive(server)


@unittest.skipUnless(os.environ.get('LEASED_TEST_DATA') and os.path.isfile(ARCHIVE), 'no LEASED_TEST_DATA/cifar10-jpeg.tar.xz')
class Archive(harness.Case):
    def test_trains(self):
        """60,000 JPEGs in one archive: a job trains on them, and its heat map and checkpoint come"""
        server = self.daemon('--dataset', 'jpeg=' + ARCHIVE)
        self.assertEqual(server.get('/livez').status, 200)
        job = train_job(dataset='jpeg', train_images=2000, epochs=1, threads=2, model=TINY)
        answer = server.post('jobs', job)
        deadline = time.monotonic() + 240
        while answer.status == 503 and time.monotonic() < deadline:  # it is still being read
            time.sleep(float(answer.headers['Retry-After']))
            answer = server.post('jobs', job)
        self.assertEqual(answer.status, 201, answer.body)
        job_id = answer.json()['id']
        done = server.finish(job_id, seconds=120)
        self.assertGreater(done['latest']['train/epoch_accuracy'], 0.1)
        item = next(item for item in server.get('datasets').json()['items'] if item['name'] == 'jpeg')
        self.assertEqual((item['train_images'], item['test_images'], item['classes'], item['skipped_images']), (50000, 10000, 10, 0))
        self.assertEqual(item['class_names'][0], 'airplane')
        self.assertEqual(server.get(f'jobs/{job_id}/heatmaps/0.png?layer=layer3').status, 200)
        self.assertGreater(len(server.checkpoint(job_id).body), 10000)
        self.assertEqual(server.get('/readyz').status, 200)
        self.assertEqual(server.stop(), 0)
        began = time.monotonic()
        server = self.daemon('--dataset', 'jpeg=' + ARCHIVE)  # from the cache
        server.finish(server.submit(train_job(dataset='jpeg', train_images=64, epochs=1, model=TINY)))
        self.assertLess(time.monotonic() - began, 15)


    def test_stops_while_reading(self):
        """SIGTERM while the archive is being read: exit 0 within 10 s"""
        process = subprocess.Popen([harness.BINARY, 'serve', '--listen', '127.0.0.1:0', '--data-dir', self.path('data'),
                                    '--dataset', 'jpeg=' + ARCHIVE], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   env=harness.ENVIRONMENT)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        time.sleep(1.5)
        process.terminate()
        self.assertEqual(process.wait(10), 0)
        process.stdout.close()


if __name__ == '__main__':
    harness.main()
